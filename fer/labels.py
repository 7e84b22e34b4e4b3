"""The eight emotions: their order, their colours, and what other data sets call them.

This is the only place where the order is written down. Everything that stores
or reads class indices (data sets, checkpoints, tables) goes through it.
"""

from fer.errors import DataInvalid

EMOTIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""AffectNet's order: the index of a name is its class index."""

UNCERTAIN = "uncertain"
"""What a face is called when no emotion reaches the confidence threshold. Not a class."""

COLOURS = {
    "neutral": (153, 153, 153),
    "happiness": (240, 228, 66),
    "sadness": (0, 114, 178),
    "surprise": (230, 159, 0),
    "fear": (204, 121, 167),
    "disgust": (0, 158, 115),
    "anger": (213, 94, 0),
    "contempt": (86, 180, 233),
    UNCERTAIN: (220, 220, 220),
}
"""RGB, 0-255. The Okabe-Ito palette, which stays apart under the common colour blindnesses."""

ALIASES = {
    "happy": "happiness",
    "happily": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "afraid": "fear",
    "fearful": "fear",
    "scared": "fear",
    "disgusted": "disgust",
    "angry": "anger",
    "contemptuous": "contempt",
}
"""Names used by FER2013, RAF-DB, ImageFolder copies and other tools, lower case, to ours."""


def percent(probability: float) -> int:
    """Return whole per cent, as probabilities are shown: rounded down, or 39.6 % would look like a threshold of 40."""
    return int(100 * float(probability) + 1e-9)


def label(emotion: int, probability: float, threshold: float) -> str:
    """Return what a face is called that most probably shows this emotion, an index: what is shown of it decides."""
    return EMOTIONS[emotion] if percent(probability) / 100 >= threshold else UNCERTAIN


def index(name: str) -> int:
    """Return the class index of an emotion's name, ours or an alias, in any case.

    Raises:
        DataInvalid: the name is none of them.
    """
    word = name.strip().lower()
    word = ALIASES.get(word, word)
    if word not in EMOTIONS:
        raise DataInvalid(f"{name!r} is not an emotion known here; expected one of {', '.join(EMOTIONS)}.")
    return EMOTIONS.index(word)
