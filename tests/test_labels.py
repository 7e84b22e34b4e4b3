"""The order of the classes is AffectNet's, and other names find their place in it."""

import subprocess
import sys

import pytest

import fer
from fer import labels
from fer.labels import EMOTIONS, UNCERTAIN, index


def test_order_is_that_of_affectnet():
    """The numbers in AffectNet's ``_exp.npy`` files are these."""
    order = {0: "neutral", 1: "happiness", 2: "sadness", 3: "surprise"}
    order |= {4: "fear", 5: "disgust", 6: "anger", 7: "contempt"}
    assert dict(enumerate(EMOTIONS)) == order


@pytest.mark.parametrize(
    ("name", "expected"),
    [("happy", 1), ("Happiness", 1), (" SAD ", 2), ("angry", 6), ("contempt", 7), ("fearful", 4), ("joy", 1)],
)
def test_names_of_other_data_sets(name, expected):
    assert index(name) == expected


@pytest.mark.parametrize("name", ["", "unknown", UNCERTAIN, "nf"])
def test_a_name_that_is_no_emotion_is_refused(name):
    with pytest.raises(ValueError, match="expected one of neutral, happiness"):
        index(name)


def test_every_alias_means_an_emotion_and_hides_none():
    for alias, emotion in labels.ALIASES.items():
        assert alias == alias.lower()
        assert alias not in EMOTIONS
        assert emotion in EMOTIONS


def test_labels_import_nothing_heavy():
    code = "import sys, fer.labels; print(sorted(name for name in sys.modules if name.partition('.')[0] == 'fer'))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['fer', 'fer.errors', 'fer.interrupt', 'fer.labels', 'fer.lazy']"


def test_the_package_lists_its_public_names_and_those_of_any_module():
    assert {*fer.__all__, "__version__", "__doc__", "__file__"} <= set(dir(fer))
