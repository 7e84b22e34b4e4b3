"""No damaged file ends in a traceback: a few inputs of each format; ``python -m tests.fuzz`` tries more."""

import pytest
from fuzz.formats import FORMATS
from fuzz.trying import Trial

SEEDS = 150


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(name, tmp_path):
    trial = Trial(name, tmp_path)
    trial.format.read(trial.intact)
    outcomes = [trial.run(seed) for seed in range(SEEDS)]
    assert "refused" in outcomes or name.startswith("part of a table"), outcomes  # which is completed
