"""Predictions on a data set, their metrics, and the record of both beside a model."""
