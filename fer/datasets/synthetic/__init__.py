"""The built-in sample: synthetic faces in AffectNet8's layout, so that everything runs without gated data."""
