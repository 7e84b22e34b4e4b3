"""What a run starts from: new and trained networks, and an allocator that keeps what is freed."""

import platform
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from training_support import same

from fer.checkpoint import save
from fer.errors import DataInvalid
from fer.model import ARCHITECTURES, build
from fer.training import TrainConfig, new_model


def trained(folder, name="emotion_net", size=None, **options):
    torch.manual_seed(1)
    usual = ARCHITECTURES[name].preprocess
    model = build(name, preprocess=replace(usual, size=size or usual.size, scaling="fixed"), **options)
    save(folder, model, {"known_by": "this"})
    return model


def test_going_on_begins_with_the_weights_and_the_preprocessing_of_the_other(tmp_path):
    other = trained(tmp_path, size=24)
    model = new_model(TrainConfig(model="emotion_net", init=tmp_path))
    assert same(model.state_dict(), other.state_dict())
    assert model.preprocess == other.preprocess and model.preprocess.scaling == "fixed"
    assert model.started_from["known_by"] == "this"
    wider = new_model(TrainConfig(model="emotion_net", init=tmp_path, size=32))
    assert wider.preprocess == replace(other.preprocess, size=32)


def test_the_last_layer_first_then_all(tmp_path):
    trained(tmp_path, "resnet18", size=32, frozen=True)
    model = new_model(TrainConfig(model="resnet18", init=tmp_path))
    assert all(p.requires_grad for p in model.parameters())
    assert model.options == {}


def test_another_architecture_is_no_beginning(tmp_path):
    trained(tmp_path)
    with pytest.raises(DataInvalid, match=r"holds \('emotion_net', .*ask for \('baseline', "):
        new_model(TrainConfig(model="baseline", init=tmp_path))
    with pytest.raises(DataInvalid, match=r"ask for \('emotion_net', .*valence_arousal"):
        new_model(TrainConfig(model="emotion_net", init=tmp_path, targets="expression,valence-arousal"))
    trained(tmp_path, num_classes=7)
    with pytest.raises(DataInvalid, match=r"holds \('emotion_net', 7, .*\('emotion_net', 8, "):
        new_model(TrainConfig(model="emotion_net", init=tmp_path))


COUNT_FAULTS = """
import resource, sys
import torch
from fer.training.start import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
torch.zeros(8 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.zeros(8 << 20)  # 32 MB, 8,192 pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has the setting")
def test_pages_are_fetched_once():
    commands = ([sys.executable, "-c", COUNT_FAULTS, mode] for mode in ("keep", "plain"))
    kept, plain = (int(subprocess.check_output(command)) for command in commands)
    assert kept < plain / 2
