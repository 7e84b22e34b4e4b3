"""The files that are damaged, each in a small world of its own, and what reads them."""

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image

from fer import checkpoint
from fer.card import read_card, sha256
from fer.datasets.affectnet8.dataset import AffectNet8
from fer.datasets.affectnet8.tarball import extract
from fer.datasets.ferplus import FOLDERS, VOTES, FERPlus
from fer.datasets.packed.dataset import Packed, pack
from fer.errors import DataInvalid, UserError
from fer.evaluation.predictions import Predictions
from fer.evaluation.recorded import RecordedModel, record
from fer.labels import EMOTIONS
from fer.model import build
from fer.photos.listing import Listing
from fer.photos.parts import Part, Parts, line
from fer.photos.reading import read_photo
from fer.predictor import EmotionPredictor
from fer.preprocess import Preprocess
from fer.runtime import ONNX
from fer.training.state import History

from .mutations import damage_bytes, damage_csv, damage_json, damage_npz

SIZE = 16


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        make: writes an intact world into a folder.
        file: the one in it that is damaged.
        read: does with the folder what the programs do; it may raise UserErrors alone.
        damage: from bytes and a random.Random to other bytes.
        seal: makes check sums right again after the damage.
    """

    make: Callable[[Path], object]
    file: str
    read: Callable[[Path], object]
    damage: Callable = damage_bytes
    seal: Callable[[Path], object] | None = None


# --- AffectNet8


def _faces(root: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "annotations"):
        (root / "train_set" / folder).mkdir(parents=True)
    for i in range(3):
        pixels = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"train_set/images/{i}.jpg", quality=90)
        values = {"exp": np.array(str(i % 8)), "val": np.array("0.25"), "aro": np.array("-0.5")}
        for kind, value in (values | {"lnd": rng.random(136) * SIZE}).items():
            np.save(root / f"train_set/annotations/{i}_{kind}.npy", value)


def _plus(root: Path) -> None:
    _faces(root)
    values = {"valence": 0.25, "arousal": "-0.5", "landmark-68": list(range(136))}
    for file in (root / "train_set/annotations").iterdir():
        file.unlink()
    for i in range(3):
        text = json.dumps({"human-label": i, "meta-data": values})
        (root / f"train_set/annotations/{i}.json").write_text(text)


def _tar(root: Path, **options: object) -> None:
    _faces(root)
    with tarfile.open(root / "train_set.tar", "w", **options) as tar:
        tar.add(root / "train_set", "train_set")
    shutil.rmtree(root / "train_set")


def _indexed(make: Callable[[Path], object], root: Path) -> None:
    make(root)
    faces = AffectNet8(root)
    assert len(faces.valence) == 3


def _read_faces(root: Path, on_error: str = "raise") -> None:
    faces = AffectNet8(root, on_error=on_error, limit=8)
    faces.__getitems__(range(len(faces)))
    assert len(faces.valence) == len(faces.arousal) == len(faces)
    for i in range(len(faces)):
        faces.annotations(i)


def _read_leniently(root: Path) -> None:
    _read_faces(root, "skip")


def _extract(root: Path) -> None:
    list(extract(root / "train_set.tar", root / "out"))


def _seal_index(file: Path) -> None:
    data = file.read_bytes()[32:]
    file.write_bytes(hashlib.sha256(data).digest() + data)


def _inside(damage: Callable, data: bytes, rng: object) -> bytes:
    """Damage the .npz, or the text in it, after an index's check sum."""
    if damage is damage_npz:
        return data[:32] + damage_npz(data[32:], rng)
    arrays = dict(np.load(io.BytesIO(data[32:])))
    arrays["about"] = np.frombuffer(damage(arrays["about"].tobytes(), rng), np.uint8)
    out = io.BytesIO()
    np.savez(out, **arrays)
    return data[:32] + out.getvalue()


# --- packs


def _pack(root: Path) -> None:
    _faces(root / "source")
    pack(AffectNet8(root / "source"), root / "pack", 8)


def _read_pack(root: Path) -> None:
    faces = Packed(root / "pack", limit=8)
    faces.__getitems__(np.arange(len(faces)))
    faces.annotations(0)
    faces.verify()


def _seal_pack(root: Path) -> None:
    file = root / "pack/train/pack.json"
    manifest = json.loads(file.read_text("utf-8", "surrogatepass"))
    if isinstance(manifest, dict):
        manifest.pop("sha256", None)
        text = json.dumps(manifest, sort_keys=True).encode()
        file.write_text(json.dumps(manifest | {"sha256": hashlib.sha256(text).hexdigest()}))


def _seal_faces(root: Path) -> None:
    file = root / "pack/train/pack.json"
    digest = hashlib.sha256((root / "pack/train/faces.npz").read_bytes()).hexdigest()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"faces_sha256": digest}))
    _seal_pack(root)


# --- FER+


def _ferplus(root: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in FOLDERS.values():
        (root / folder).mkdir(parents=True)
        rows = []
        for i in range(8):
            image = Image.fromarray(rng.integers(0, 256, (48, 48), np.uint8))
            image.save(root / folder / f"fer{i}.png")
            rows.append(
                f'fer{i}.png,"(0, 0, 48, 48)",' + ",".join("9" if k == i else "0" for k in range(len(VOTES)))
            )
        (root / folder / "label.csv").write_text("\n".join(rows) + "\n")


def _zipped(root: Path) -> None:
    _ferplus(root / "source")
    with zipfile.ZipFile(root / "ferplus.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((root / "source").rglob("*.*")):
            archive.write(file, file.relative_to(root / "source"))
    shutil.rmtree(root / "source")


def _read_ferplus(root: Path) -> None:
    for split in FOLDERS:
        faces = FERPlus(root, split, labels="soft")
        assert len(faces) == 0 or faces[0][0].shape == (1, 48, 48)


# --- models


def _model(root: Path) -> None:
    torch.manual_seed(0)
    model = build("emotion_net", preprocess=Preprocess(size=SIZE), widths=(8, 8, 16))
    card = {"temperature": 1.5, "crop_margins": [0.1, 0.2], "flip": True, "class_shares": [0.125] * 8}
    card |= {"prior_strength": 0.5, "train_data": "toy", "train_size": 9, "seconds": 1.0}
    checkpoint.save(root, model, card)


def _onnx(root: Path) -> None:
    """A card, and an exported network that is one matrix."""
    _model(root)
    card = json.loads((root / "card.json").read_text())
    weights = np.random.default_rng(0).normal(size=(SIZE * SIZE, 8)).astype(np.float32)
    nodes = [onnx.helper.make_node("Flatten", ["faces"], ["flat"])]
    nodes += [onnx.helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    kind = onnx.TensorProto.FLOAT
    inputs = [onnx.helper.make_tensor_value_info("faces", kind, ["n", 1, SIZE, SIZE])]
    outputs = [onnx.helper.make_tensor_value_info("logits", kind, ["n", 8])]
    tensors = [onnx.numpy_helper.from_array(weights, "w")]
    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs, tensors)
    opset = [onnx.helper.make_opsetid("", 17)]
    network = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    notes = {"emotions": list(EMOTIONS), "weights_sha256": card["weights_sha256"], "temperature": 1.5}
    onnx.helper.set_model_props(network, {f"fer.{key}": json.dumps(value) for key, value in notes.items()})
    onnx.save(network, root / ONNX)
    _seal_onnx(root)


def _seal_onnx(root: Path) -> None:
    file = root / "card.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"onnx_sha256": sha256(root / ONNX)}))


def _seal_weights(root: Path) -> None:
    file = root / "card.json"
    digest = sha256(root / "model.safetensors")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"weights_sha256": digest}))


def _damage_metadata(data: bytes, rng: object) -> bytes:
    network = onnx.load_from_string(data)
    entry = rng.choice(network.metadata_props)
    damaged = rng.choice((damage_bytes, damage_json))(entry.value.encode(), rng)
    entry.value = damaged.decode("utf-8", "replace")
    return network.SerializeToString()


def _read_card(root: Path) -> None:
    card = read_card(root)
    checkpoint.load(root)
    assert np.isfinite(card.get("temperature", 1.0))


def _load(root: Path) -> None:
    checkpoint.load(root)


def _predict(root: Path) -> None:
    crop = np.arange(20 * 20, dtype=np.uint32).astype(np.uint8).reshape(20, 20)
    predictor = EmotionPredictor(root, detector=lambda frame: np.array([[2, 2, 12, 12]]))
    for face in (*predictor.classify(crop, np.array([[2, 2, 30, 30]])), *predictor(np.dstack([crop] * 3))):
        assert abs(face.probabilities.sum() - 1) < 1e-3


def _state_dict(root: Path) -> None:
    model = build("baseline")
    torch.save({f"module.{key}": value for key, value in model.state_dict().items()}, root / "weights.pt")


def _load_bare(root: Path) -> None:
    checkpoint.load(root / "weights.pt", arch="baseline")


# --- records


def _records(root: Path) -> None:
    _model(root)
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(20, 8)).astype(np.float32), rng.integers(0, 8, 20)
    names = [f"test/{i}" for i in range(20)]
    record(root, "toy-test", Predictions(names, logits, labels), read_card(root))


def _read_metrics(root: Path) -> None:
    for entry in RecordedModel(root).metrics.values():
        assert 0 <= entry["accuracy"] <= 1
        assert [f"{row['recall']:.3f}" for row in entry["per_class"].values()]


def _read_predictions(root: Path) -> None:
    found = RecordedModel(root).predictions("toy-test")
    assert np.isfinite(found.uncalibrated).all()
    assert len(found.names) == len(found.labels) == len(found.probabilities)


def _history(root: Path) -> None:
    row = {
        "epoch": 1,
        "train_loss": 1.5,
        "valid_loss": 1.4,
        "valid_accuracy": 0.5,
        "valid_balanced_accuracy": 0.4,
    }
    row |= {"valid_macro_f1": 0.3, "seconds": 2.0, "chosen": 0}
    History([row, row | {"epoch": 2, "chosen": 1}]).save(root / "history.csv")


def _read_history(root: Path) -> None:
    history = History.load(root / "history.csv")
    assert str(history) and len(history.column("train_loss")) == len(history.rows)


# --- photos


def _photo(name: str, root: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(root / name, exif=exif)


def _read_photo(name: str, root: Path) -> None:
    read_photo(root / name, 32)


_COLUMNS = ["path", "face"]


def _parts(root: Path) -> tuple[list[str], Parts]:
    listing = Listing([root / "in"])
    return [str(file.path) for file in listing], Parts(root / "OUT.csv", _COLUMNS, listing, Part())


def _stopped_table(root: Path) -> None:
    (root / "in").mkdir()
    for n in range(12):
        (root / f"in/{n:02}.jpg").touch()
    paths, parts = _parts(root)
    parts.begin({"model": "one"}, resume=False)
    parts.write(line([os.path.relpath(path, root), 0]) for path in paths[:8])
    (table,) = parts.folder.glob("*.csv")
    table.rename(parts.folder / "table.csv")


def _resume_table(root: Path) -> None:
    with tempfile.TemporaryDirectory() as copy, contextlib.chdir(copy):
        shutil.copytree(root, copy, dirs_exist_ok=True)  # which is finished here
        paths, parts = _parts(Path())
        try:
            parts.begin({"model": "one"}, resume=True)
        except UserError as error:
            raise DataInvalid(f"{root}: {error}") from error
        parts.write(line([str(file.path), 0]) for file in parts.todo())
        parts.finish(lambda rows: rows)
        rows = csv.reader(Path("OUT.csv").read_text("utf-8", "replace").splitlines())
    written = [path for path, _ in groupby(os.path.normpath(row[0]) for row in rows)]
    assert len(written) == len({*written}) and {*written} >= {*paths}, written


_INDEX = "train_set/affectnet8.index"
_TARINDEX = "train_set.tar.index"


def _seal_folder_index(root: Path) -> None:
    _seal_index(root / _INDEX)


def _seal_tar_index(root: Path) -> None:
    _seal_index(root / _TARINDEX)


_pax = partial(_tar, format=tarfile.PAX_FORMAT, pax_headers={"a": "b" * 200})
_FOLDER, _IN_TAR = partial(_indexed, _faces), partial(_indexed, _tar)

FORMATS = {
    "npy": Format(_faces, "train_set/annotations/1_exp.npy", _read_faces),
    "npy val": Format(_faces, "train_set/annotations/1_val.npy", _read_faces),
    "npy lnd": Format(_faces, "train_set/annotations/1_lnd.npy", _read_faces),
    "json of AffectNet+": Format(_plus, "train_set/annotations/1.json", _read_faces, damage_json),
    "jpeg of a data set": Format(_faces, "train_set/images/1.jpg", _read_leniently),
    "tar": Format(_tar, "train_set.tar", _read_faces),
    "tar extracted": Format(_tar, "train_set.tar", _extract),
    "tar pax": Format(_pax, "train_set.tar", _extract),
    "index": Format(_FOLDER, _INDEX, _read_faces),
    "index sealed": Format(_FOLDER, _INDEX, _read_faces, seal=_seal_folder_index),
    "index arrays": Format(_FOLDER, _INDEX, _read_faces, partial(_inside, damage_npz), _seal_folder_index),
    "index text": Format(_FOLDER, _INDEX, _read_faces, partial(_inside, damage_json), _seal_folder_index),
    "index of a tar": Format(_IN_TAR, _TARINDEX, _read_faces, partial(_inside, damage_npz), _seal_tar_index),
    "pack": Format(_pack, "pack/train/pack.json", _read_pack),
    "pack sealed": Format(_pack, "pack/train/pack.json", _read_pack, damage_json, _seal_pack),
    "pack faces": Format(_pack, "pack/train/faces.npz", _read_pack, seal=_seal_faces),
    "pack arrays": Format(_pack, "pack/train/faces.npz", _read_pack, damage_npz, _seal_faces),
    "pack pixels": Format(_pack, "pack/train/pixels.npy", _read_pack),
    "label.csv bytes": Format(_ferplus, "FER2013Test/label.csv", _read_ferplus),
    "label.csv": Format(_ferplus, "FER2013Test/label.csv", _read_ferplus, damage_csv),
    "png of a data set": Format(_ferplus, "FER2013Test/fer0.png", _read_ferplus),
    "zip": Format(_zipped, "ferplus.zip", _read_ferplus),
    "card bytes": Format(_model, "card.json", _read_card),
    "card": Format(_model, "card.json", _read_card, damage_json),
    "card of a predictor": Format(_onnx, "card.json", _predict, damage_json),
    "safetensors": Format(_model, "model.safetensors", _load),
    "safetensors sealed": Format(_model, "model.safetensors", _load, seal=_seal_weights),
    "state_dict": Format(_state_dict, "weights.pt", _load_bare),
    "onnx": Format(_onnx, ONNX, _predict),
    "onnx sealed": Format(_onnx, ONNX, _predict, seal=_seal_onnx),
    "onnx metadata": Format(_onnx, ONNX, _predict, _damage_metadata, _seal_onnx),
    "metrics bytes": Format(_records, "metrics.json", _read_metrics),
    "metrics": Format(_records, "metrics.json", _read_metrics, damage_json),
    "predictions": Format(_records, "predictions-toy-test.npz", _read_predictions),
    "predictions arrays": Format(_records, "predictions-toy-test.npz", _read_predictions, damage_npz),
    "history bytes": Format(_history, "history.csv", _read_history),
    "history": Format(_history, "history.csv", _read_history, damage_csv),
    "options of a table": Format(_stopped_table, "OUT.csv.parts/options.json", _resume_table, damage_json),
    "part of a table": Format(_stopped_table, "OUT.csv.parts/table.csv", _resume_table),
    "part of a table, cells": Format(_stopped_table, "OUT.csv.parts/table.csv", _resume_table, damage_csv),
    "jpeg": Format(partial(_photo, "a.jpg"), "a.jpg", partial(_read_photo, "a.jpg")),
    "png": Format(partial(_photo, "a.png"), "a.png", partial(_read_photo, "a.png")),
}
