"""Facial-emotion classification: data, models, training, scoring and live demos.

Importing this package does nothing but name its version; each module is imported by name.
"""

__version__ = "0.1.0"
