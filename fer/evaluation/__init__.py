"""Predictions on a data set, their metrics, and the record of both beside a model."""

from fer.lazy import exports

__getattr__, __dir__ = exports(
    __name__,
    {
        "Predictions": "predictions",
        "predict": "predictions",
        "Scores": "scores",
        "calibration_curve": "scores",
        "score": "scores",
        "record": "recorded",
        "recorded_model": "recorded",
        "recorded_models": "recorded",
        "preferred_set": "recorded",
    },
)
