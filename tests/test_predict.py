"""The script, from the command line's options to the table."""

import csv
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch
from helpers import ended
from PIL import Image
from video_support import write_video

from fer import checkpoint, predictor, threads
from fer.errors import DataInvalid, DataMissing, Stopped, UsageError
from fer.faces import FaceDetector, crop
from fer.labels import EMOTIONS, percent
from fer.model import build
from fer.photos import bulk
from fer.photos.jobs import share_cores
from fer.photos.listing import File
from fer.photos.parts import Part
from fer.predict import PredictOptions, main
from fer.predictor import EmotionPredictor
from synthetic_faces.actor import Actor

HEADER = "path,frame,face,x,y,w,h,emotion,confidence,neutral,happiness,sadness,surprise,fear,disgust,anger,contempt"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny untrained network."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    net = build("emotion_net", widths=(16, 16))
    checkpoint.save(folder, net, {"crop_margins": [0.1], "temperature": 1.0})
    return folder


@pytest.fixture(scope="module")
def scene():
    """A frame (240, 320, 3) with one face."""
    return Actor((320, 240)).frame(0.0)


def predict(model, *paths, **options):
    """Run the script into OUT.csv beside the first path; return its exit code and rows."""
    out = options.pop("csv", paths[0].parent / "OUT.csv")
    code = main(PredictOptions(paths=paths, csv=out, model=model, **options))
    with out.open(newline="", encoding="utf-8") as table:
        return code, list(csv.DictReader(table))


def save(path, image):
    """Write an image, BGR or grey; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_photo_with_a_face(tmp_path, model, scene, threshold):
    photo = save(tmp_path / "a.png", scene)
    code, (row,) = predict(model, photo, threshold=threshold)
    assert code == 0
    assert (row["path"], row["frame"], row["face"]) == (str(photo), "", "0")
    x, y, w, h = (int(row[k]) for k in "xywh")
    assert abs(x + w / 2 - 160) < 40 and abs(y + h / 2 - 120) < 40
    probabilities = [float(row[name]) for name in EMOTIONS]
    assert sum(probabilities) == pytest.approx(1, abs=1e-3)
    assert row["emotion"] == ("uncertain" if threshold else EMOTIONS[int(np.argmax(probabilities))])
    assert float(row["confidence"]) == max(probabilities)


def test_without_a_table_emotions_are_printed(tmp_path, model, scene, capsys):
    photos = tmp_path / "in"
    face = save(photos / "face,\u2028 a.png", np.hstack([scene, scene]))
    options = PredictOptions(paths=(face,), model=model, threshold=0)
    assert main(options) == 0
    lines = capsys.readouterr().out.split("\n")
    rows = predict(model, face, csv=tmp_path / "OUT.csv", threshold=0)[1]
    assert len(rows) == 2
    assert lines == [*(f"{face}: {row['emotion']} {percent(float(row['confidence']))}%" for row in rows), ""]
    plain = save(photos / "plain.png", np.full((100, 100, 3), 200, np.uint8))
    (photos / "text.jpg").write_text("no picture")
    write_video(photos / "v.avi")
    capsys.readouterr()
    options.paths = (photos,)
    before = sorted(tmp_path.rglob("*"))
    assert main(options) == 0
    printed = capsys.readouterr()
    assert printed.out.split("\n")[:4] == [
        *lines[:2],
        f"{plain}: no face",
        "2 photos and 6 video frames, 2 faces",
    ]
    assert printed.err.startswith(f"error: {photos / 'text.jpg'}: ") and printed.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    options.resume = True
    with pytest.raises(UsageError, match=r"^--resume: expected --csv, too"):
        main(options)


def test_an_earlier_table_is_replaced_with_a_word(tmp_path, model, scene, capsys):
    photo, word = save(tmp_path / "a.png", scene), f"replaces {tmp_path / 'OUT.csv'}"
    predict(model, photo)
    assert word not in capsys.readouterr().err
    predict(model, photo)
    assert word in capsys.readouterr().err


def test_nothing_disappears_silently(tmp_path, model, scene, capsys):
    """A face, no face, and every kind of broken file, in one run that goes on."""
    folder = tmp_path / "in"
    save(folder / "b" / "face.png", scene)
    save(folder / "a_plain.png", np.full((100, 100, 3), 200, np.uint8))
    (folder / "c_empty.jpg").touch()
    (folder / "d_text.jpg").write_text("no picture")
    (folder / "e_cut.jpg").write_bytes(cv2.imencode(".jpg", scene)[1].tobytes()[:2000])
    (folder / "f_text.mp4").write_text("no video")
    (folder / "g_phone.HEIC").write_bytes(bytes(100))
    (folder / "notes.txt").write_text("ignored, and counted")
    (folder / "._a_plain.png").write_bytes(b"ignored too")
    code, rows = predict(model, folder)
    assert code == 0
    found = {Path(row["path"]).name: row for row in rows}
    assert len(rows) == len(found) == 7
    assert found["face.png"]["x"]
    assert [v for k, v in found["a_plain.png"].items() if k != "path"] == [""] * 16
    broken = ["c_empty.jpg", "d_text.jpg", "e_cut.jpg", "f_text.mp4", "g_phone.HEIC"]
    printed = capsys.readouterr()
    for name in broken:
        filled = {k: v for k, v in found[name].items() if v}
        assert filled == {"path": str(folder / name), "emotion": "error"}
        assert f"{name}: " in printed.err
    assert "OUT.csv: 2 photos, 1 face\n" in printed.out
    totals = dict(line.split()[:2] for line in printed.out.replace("other files", "others").splitlines()[2:])
    assert totals == {"no": "face", "unreadable": "5", "others": "2"}
    assert not (tmp_path / "OUT.csv.parts").exists()


def test_all_broken_is_exit_code_1(tmp_path, model):
    (tmp_path / "a.jpg").touch()
    code, rows = predict(model, tmp_path / "a.jpg")
    assert code == 1
    assert [row["emotion"] for row in rows] == ["error"]


@pytest.mark.parametrize(
    ("name", "message"), [("absent.png", "no file or folder"), (".", "Found no photo or video")]
)
def test_without_a_photo_nothing_is_begun(tmp_path, model, name, message):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataMissing, match=message):
        predict(model, tmp_path / "in" / name, csv=tmp_path / "out" / "OUT.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("threshold", 2), ("every_seconds", -1), ("batch_size", 0), ("jobs", 0)),
        *(("part", "3/2"), ("csv", Path("."))),
    ],
)
def test_senseless_options_are_refused(tmp_path, model, scene, name, value):
    with pytest.raises(DataInvalid, match="--"):
        predict(model, save(tmp_path / "a.png", scene), **{name: value})


def test_whole_image_takes_the_picture_as_the_face(tmp_path, model):
    face = save(tmp_path / "face.png", np.full((48, 48), 90, np.uint8))
    _, rows = predict(model, face, whole_image=True)
    assert [rows[0][k] for k in "xywh"] == ["0", "0", "48", "48"]
    assert rows[0]["confidence"]


def test_the_fast_detector_misses_what_the_thorough_one_finds(tmp_path, model, scene):
    """A tilted head that fills the picture."""
    (box,) = FaceDetector()(scene)
    tight = crop(scene, box, -0.1)
    side = len(tight)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), 30, 1)
    photo = save(
        tmp_path / "a.png", cv2.warpAffine(tight, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    )
    x, y, w, h = (int(predict(model, photo)[1][0][k]) for k in "xywh")
    assert min(x, y) >= 0 and max(x + w, y + h) <= side  # though the face fills the picture
    assert not predict(model, photo, detector="fast")[1][0]["emotion"]


def test_exif_rotation_moves_the_box(tmp_path, model, scene):
    """A phone stores the upright photo lying on its side."""
    upright = predict(model, save(tmp_path / "a.png", scene))[1][0]
    lying, exif = Image.fromarray(np.rot90(scene)[:, :, ::-1]), Image.Exif()
    exif[0x0112] = 6
    lying.save(tmp_path / "b.png", exif=exif)
    rotated = predict(model, tmp_path / "b.png")[1][0]
    assert {k: v for k, v in rotated.items() if k != "path"} == {
        k: v for k, v in upright.items() if k != "path"
    }


@pytest.mark.parametrize(("options", "frames"), [({}, "012345"), ({"every_seconds": 0.3}, "03")])
def test_videos_have_frame_numbers(tmp_path, model, options, frames):
    _, rows = predict(model, write_video(tmp_path / "a.mp4"), whole_image=True, **options)
    assert "".join(row["frame"] for row in rows) == frames


def test_faces_of_several_pictures_share_a_forward_pass(tmp_path, model, monkeypatch):
    sizes = []
    classify = EmotionPredictor.classify_views

    def counted(self, faces, boxes):
        sizes.append(len(faces))
        return classify(self, faces, boxes)

    monkeypatch.setattr(EmotionPredictor, "classify_views", counted)
    rng = np.random.default_rng(0)
    for number in range(5):
        save(tmp_path / "in" / f"{number}.png", rng.integers(0, 256, (48, 48), np.uint8))
    _, together = predict(model, tmp_path / "in", whole_image=True, batch_size=4)
    assert sizes == [4, 1]
    _, alone = predict(model, tmp_path / "in", whole_image=True, batch_size=1)
    assert [row["path"] for row in together] == [str(tmp_path / "in" / f"{n}.png") for n in range(5)]
    for a, b in zip(together, alone, strict=True):
        assert [float(a[e]) for e in EMOTIONS] == pytest.approx([float(b[e]) for e in EMOTIONS], abs=2e-4)


def test_a_photo_that_comes_after_the_start_is_annotated_too(tmp_path, model, scene, monkeypatch):
    """Places of copies are chosen before the network is loaded; a camera may be filling the folder."""
    save(tmp_path / "in" / "a.png", scene)
    load = EmotionPredictor

    def slowly(*arguments, **options):
        save(tmp_path / "in" / "b.png", scene)
        return load(*arguments, **options)

    monkeypatch.setattr("fer.predictor.EmotionPredictor", slowly)
    _, rows = predict(model, tmp_path / "in", save_annotated=tmp_path / "annotated")
    assert {row["path"] for row in rows} == {str(tmp_path / "in" / name) for name in ("a.png", "b.png")}
    assert sorted(path.name for path in (tmp_path / "annotated").iterdir()) == ["a.png", "b.png"]


def test_annotated_copies_mirror_the_folder(tmp_path, model, scene):
    photos = tmp_path / "photos"
    save(photos / "a.png", scene)
    save(photos / "below" / "b.gif.bmp", scene)
    Image.fromarray(scene).save(photos / "below" / "c.gif")
    write_video(photos / "v.avi")
    before = {p: p.read_bytes() for p in photos.rglob("*") if p.is_file()}
    annotated = photos / "annotated"
    _, alone = predict(model, photos, save_annotated=annotated, batch_size=1)
    _, rows = predict(model, photos, save_annotated=annotated, batch_size=1, jobs=2)
    assert rows == alone  # the copies are not taken for photos
    assert {row["path"] for row in rows} == {str(p) for p in before}
    assert {str(p.relative_to(annotated)) for p in annotated.rglob("*") if p.is_file()} == {
        "a.png",
        "below/b.gif.bmp",
        "below/c.gif.png",
        "v.mp4",
        "v.timeline.png",
    }
    copy = cv2.imread(str(annotated / "a.png"))
    assert copy.shape == scene.shape
    assert (copy != scene).any()
    assert {p: p.read_bytes() for p in before} == before
    assert cv2.VideoCapture(str(annotated / "v.mp4")).read()[0]


def test_names_as_long_as_they_can_be(tmp_path, model, scene, capsys):
    """What is written beside them, and instead of them, has a longer name."""
    photos = [tmp_path / f"{'€' * 80}{n}{'x' * 10}.gif" for n in range(2)]
    for photo in photos:
        Image.fromarray(scene).save(photo)
    options = {"csv": tmp_path / f"{'c' * 251}.csv", "save_annotated": tmp_path / "copies", "jobs": 2}
    options["gallery"] = tmp_path / f"{'p' * 250}.html"
    _, rows = predict(model, tmp_path, **options)
    assert {row["path"] for row in rows} == set(map(str, photos))
    copies = os.listdir(tmp_path / "copies")
    assert len(copies) == 2 and all(name.startswith("€" * 70) and name.endswith(".png") for name in copies)
    (note,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("note: "))
    assert "2 annotated copies" in note and any(name in note for name in copies)
    assert options["gallery"].is_file()
    assert len(os.listdir(next(tmp_path.glob("ppp*~*.thumbnails")))) == 2


def test_annotated_copies_never_replace_photos_or_each_other(tmp_path, model, scene):
    one, two = save(tmp_path / "1" / "a.png", scene), save(tmp_path / "2" / "a.png", scene)
    other = save(tmp_path / "in" / "a.png", scene)
    for inputs, folder in (([one], "1"), ([other.parent], "."), ([one, two], "2/../2")):
        with pytest.raises(DataInvalid, match="which copies might replace"):
            predict(model, *inputs, save_annotated=tmp_path / folder)
    linked = save(tmp_path / "far" / "link" / "b.png", scene)
    (tmp_path / "in" / "link").symlink_to(linked.parent)
    with pytest.raises(DataInvalid, match="would overwrite"):
        predict(model, tmp_path / "in", save_annotated=tmp_path / "far")
    predict(model, one, two, save_annotated=tmp_path / "annotated", csv=tmp_path / "OUT.csv")
    assert sorted(p.name for p in (tmp_path / "annotated").iterdir()) == ["a-2.png", "a.png"]


def test_a_copy_that_cannot_be_written_says_why(tmp_path, model, scene, monkeypatch):
    def refuse(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    photo = save(tmp_path / "in" / "a.png", scene)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(DataInvalid, match=r"No space left on device: .*a\.png"):
        predict(model, photo, save_annotated=tmp_path / "annotated")


def test_a_copy_too_large_for_its_kind_of_file_becomes_a_png(tmp_path, model):
    wide = Image.new("L", (65_600, 2), 90)  # JPEG ends at 65,535
    wide.save(tmp_path / "wide.png")
    (tmp_path / "wide.png").rename(tmp_path / "wide.jpg")
    predict(model, tmp_path / "wide.jpg", whole_image=True, save_annotated=tmp_path / "annotated")
    assert [path.name for path in (tmp_path / "annotated").iterdir()] == ["wide.jpg.png"]


@pytest.mark.parametrize(
    ("table", "copies"),
    [("both", "both"), ("table", "table/copies"), ("OUT.csv", "file"), ("file/x.csv", None)],
)
def test_places_that_do_not_fit_are_refused_before_the_work(tmp_path, model, scene, table, copies):
    photo = save(tmp_path / "in" / "a.png", scene)
    (tmp_path / "file").touch()
    with pytest.raises(DataInvalid, match=r"expected|Not a directory"):
        predict(model, photo, csv=tmp_path / table, save_annotated=copies and tmp_path / copies)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "in"]


def test_a_photo_of_any_name_is_not_replaced_by_the_table(tmp_path, model, scene, monkeypatch):
    photo = save(tmp_path / "shot.png", scene).rename(tmp_path / "shot.bin")
    before = photo.read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataInvalid, match="would replace"):
        predict(model, photo, csv=Path("shot.bin"))
    assert photo.read_bytes() == before


def stop(model, folder, monkeypatch, **options):
    """Run until the reader comes to c.png, where Ctrl-C is pressed."""
    read = predictor.read_photo

    def interrupted(path, *a):
        if path.name == "c.png":
            raise KeyboardInterrupt
        return read(path, *a)

    with monkeypatch.context() as patch, pytest.raises(Stopped, match=r"OUT\.csv\.parts holds .*--resume"):
        patch.setattr(predictor, "read_photo", interrupted)
        predict(model, folder, batch_size=1, **options)


@pytest.fixture
def stopped(tmp_path, model, scene, monkeypatch):
    """A folder of three photos, of which two were done when Ctrl-C came."""
    for name in ("a", "b", "c"):
        save(tmp_path / "in" / f"{name}.png", scene)
    stop(model, tmp_path / "in", monkeypatch)
    return tmp_path


def test_stopped_it_leaves_what_was_done_and_goes_on(stopped, model, capsys, monkeypatch):
    assert not (stopped / "OUT.csv").exists()
    (part,) = (stopped / "OUT.csv.parts").glob("1-of-1.*.csv")
    with part.open() as table:
        assert [Path(row["path"]).name for row in csv.DictReader(table)] == ["a.png", "b.png"]

    seen, read = [], predictor.read_photo
    monkeypatch.setattr(predictor, "read_photo", lambda path, *a: seen.append(path.name) or read(path, *a))
    _, rows = predict(model, stopped / "in", resume=True, batch_size=7)
    assert seen == ["b.png", "c.png"]  # the last one done could have lacked rows
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b.png", "c.png"]
    assert "3 photos, 3 faces" in capsys.readouterr().out
    assert sorted(os.listdir(stopped)) == ["OUT.csv", "in"]
    assert predict(model, stopped / "in", csv=stopped / "unbroken.csv")[1] == rows

    written = (stopped / "OUT.csv").stat().st_mtime_ns
    assert predict(model, stopped / "in", resume=True) == (0, rows)
    assert (stopped / "OUT.csv").stat().st_mtime_ns == written
    assert "nothing to resume" in capsys.readouterr().err


def test_an_unfinished_table_is_not_started_over_unasked(stopped, model):
    with pytest.raises(DataInvalid, match=r"unfinished run.*--resume"):
        predict(model, stopped / "in")
    with pytest.raises(DataInvalid, match=r"threshold was 0\.4, is 0\.5"):
        predict(model, stopped / "in", resume=True, threshold=0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a device that is always full")
@pytest.mark.parametrize("full", ["", ".OUT."], ids=["meanwhile", "at the end"])
def test_a_full_disk_loses_nothing_and_says_how_to_go_on(stopped, model, monkeypatch, full):
    open_ = Path.open

    def open_full(path, mode="r", *args, **options):
        written = mode == "w" and path.name.startswith(full)
        return open_(Path("/dev/full") if written else path, mode, *args, **options)

    message = r"(?s)No space.*'.*OUT\.csv.*'.*\.parts .*--resume"
    with monkeypatch.context() as patch, pytest.raises(DataInvalid, match=message):
        patch.setattr(Path, "open", open_full)
        predict(model, stopped / "in", resume=True)
    _, rows = predict(model, stopped / "in", resume=True)
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b.png", "c.png"]


def test_the_gallery_is_the_same_however_the_work_was_shared(tmp_path, model, scene, monkeypatch):
    photos = tmp_path / "in"
    for n, name in enumerate("abcdefghij"):
        save(photos / f"{name}.png", np.roll(scene, n, 1))
    (photos / "cut.jpg").touch()
    write_video(photos / "v.mp4", frames=25)

    def places(how):
        return {"csv": tmp_path / how / "OUT.csv", "gallery": tmp_path / how / "faces.html"}

    def made(how):
        out = tmp_path / how
        assert sorted(os.listdir(out)) == ["OUT.csv", "faces.html", "faces.thumbnails"]
        return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    predict(model, photos, **places("alone"))
    alone = made("alone")
    assert len(alone) == 2 + 10 + 1 + 3  # of the video a frame each second, of the broken file the reason
    predict(model, photos, csv=tmp_path / "without.csv")
    assert (tmp_path / "without.csv").read_bytes() == alone["OUT.csv"]

    predict(model, photos, jobs=2, batch_size=3, **places("jobs"))
    assert made("jobs") == alone
    for part in ("2/2", "1/2"):
        assert main(PredictOptions(paths=(photos,), model=model, part=part, **places("parts"))) == 0
    assert made("parts") == alone
    stop(model, photos, monkeypatch, **places("stopped"))
    assert sorted(os.listdir(tmp_path / "stopped")) == ["OUT.csv.parts", "faces.thumbnails"]
    with pytest.raises(DataInvalid, match=r"gallery was .*faces\.html, is None"):
        predict(model, photos, csv=places("stopped")["csv"], resume=True)
    predict(model, photos, resume=True, **places("stopped"))
    assert made("stopped") == alone


def test_for_the_gallery_alone_a_large_photo_is_not_read_whole(tmp_path, model, scene, monkeypatch):
    photo = save(tmp_path / "a.jpg", cv2.resize(scene, (2560, 1920)))
    monkeypatch.setattr(bulk, "read_photo", None)
    _, (row,) = predict(model, photo, gallery=tmp_path / "faces.html")
    (thumbnail,) = (tmp_path / "faces.thumbnails").iterdir()
    image = cv2.imread(str(thumbnail)).astype(int)
    difference = np.abs(image - cv2.resize(scene, image.shape[1::-1], interpolation=cv2.INTER_AREA)).sum(2)
    x, y, w, h = (round(int(row[side]) * 280 / 2560) for side in "xywh")
    changed = np.flatnonzero(difference[y + h // 2] > 90)
    assert changed.min() == pytest.approx(x, abs=3) and changed.max() == pytest.approx(x + w, abs=3)


def test_thumbnails_among_the_photos_are_not_taken_for_photos(tmp_path, model, scene):
    photo = save(tmp_path / "in" / "a.png", scene)
    gallery = photo.with_name("faces.html")
    for _ in range(2):
        _, rows = predict(model, photo.parent, gallery=gallery)
        assert [row["path"] for row in rows] == [str(photo)]
    assert len(list(gallery.with_suffix(".thumbnails").iterdir())) == 1


@pytest.mark.parametrize(
    ("gallery", "message"),
    [
        ("faces.png", "a page of its own"),
        ("faces", "a page of its own"),
        ("in/page.html", "a page of its own"),  # an input
        ("OUT.html", "a page of its own"),  # the table
        ("in.html", "thumbnails: photos or the table are there"),
        ("taken.html", "is a file; expected a folder"),
        ("in/a.png/faces.html", "cannot be written"),
        (".", "is a folder"),
    ],
)
def test_a_gallery_replaces_nothing(tmp_path, model, scene, gallery, message):
    photo = save(tmp_path / "in.thumbnails" / "a.png", scene)
    (tmp_path / "in").symlink_to(photo.parent)
    (tmp_path / "in" / "page.html").write_bytes(photo.read_bytes())
    (tmp_path / "taken.thumbnails").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataInvalid, match=message):
        predict(
            *(model, photo, tmp_path / "in" / "page.html"),
            csv=tmp_path / "OUT.html",
            gallery=tmp_path / gallery,
        )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_gallery_of_a_finished_table_needs_another_run(tmp_path, model, scene, capsys):
    photo = save(tmp_path / "a.png", scene)
    predict(model, photo)
    predict(model, photo, resume=True, gallery=tmp_path / "faces.html")
    assert "Leave out --resume to make" in capsys.readouterr().err
    predict(model, photo, gallery=tmp_path / "faces.html")
    assert "OUT.csv and " in capsys.readouterr().out


@pytest.mark.parametrize("what", [".jpg", ".html"])
def test_a_disk_that_is_full_of_thumbnails_is_said(tmp_path, model, scene, monkeypatch, what):
    photo, places = save(tmp_path / "a.png", scene), {"gallery": tmp_path / "faces.html"}
    replace = Path.replace

    def full(path, target):
        if target.suffix == what:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(DataInvalid, match=rf"(?s)No space.*\{what}'.*--resume"):
            predict(model, photo, **places)
    left = {path.name for path in tmp_path.rglob("*")}
    assert not any(name.endswith((".tmp.jpg", ".tmp.html")) for name in left) and "OUT.csv" not in left
    predict(model, photo, resume=True, **places)
    assert places["gallery"].exists()


def test_photos_are_read_ahead_of_their_turn(tmp_path, model, monkeypatch):
    """The first photo's reader waits for the second's."""
    for name in ("a", "b"):
        save(tmp_path / "in" / f"{name}.png", np.full((48, 48), 90, np.uint8))
    read, other = bulk.read_photo, threading.Event()

    def waiting(path, *a):
        assert path.name == "b.png" or other.wait(60)
        other.set()
        return read(path, *a)

    monkeypatch.setattr(threads, "count", lambda: 2)
    monkeypatch.setattr(bulk, "read_photo", waiting)
    _, rows = predict(model, tmp_path / "in", whole_image=True)
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b.png"]


@pytest.fixture
def stuck(tmp_path, tmp_path_factory, monkeypatch):
    """The last of 18 files, of which one is broken: a pipe, taken for a file here, keeps its reader waiting."""
    start = tmp_path_factory.mktemp("start") / "sitecustomize.py"
    start.write_text(
        "import stat\nregular = stat.S_ISREG\n"
        "stat.S_ISREG = lambda mode: regular(mode) or stat.S_ISFIFO(mode)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(start.parent), os.environ.get("PYTHONPATH", "")]))
    rng = np.random.default_rng(0)
    for n in range(16):
        save(tmp_path / "in" / str(n // 6) / f"{n:02}.png", rng.integers(0, 256, (48, 48), np.uint8))
    (tmp_path / "in" / "broken.jpg").touch()
    os.mkfifo(tmp_path / "in" / "2" / "z.png")
    return tmp_path / "in" / "2" / "z.png"


def command(model, stuck, *options):
    folder = stuck.parents[1]
    return [
        *(sys.executable, "-m", "fer.predict", str(folder), "--csv", str(folder.with_name("OUT.csv"))),
        *("--model", str(model), "--whole-image", "--batch-size", "1", *options),
    ]


def assert_same_as_unbroken(model, stuck):
    together = stuck.parents[2] / "OUT.csv"
    assert sorted(os.listdir(together.parent)) == ["OUT.csv", "in"]
    before = together.read_text()
    predict(model, stuck.parents[1], whole_image=True, batch_size=1)
    assert together.read_text() == before


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that keeps its reader waiting")
@pytest.mark.parametrize(
    ("how", "code"),
    [
        *((name, 130) for name in ("SIGTERM", "SIGINT", "SIGHUP")),
        ("a job killed", 1),
        ("main killed", -signal.SIGKILL),
    ],
)
def test_jobs_that_are_stopped_go_on_to_the_same_table(tmp_path, model, stuck, wait_until, how, code):
    process = subprocess.Popen(
        command(model, stuck, "--jobs", "2"), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    table = wait_until(lambda: next((tmp_path / "OUT.csv.parts").glob("*.csv"), None))
    wait_until(lambda: table.read_bytes().count(b"\n") == 17)
    jobs = [p for p in psutil.Process(process.pid).children() if "spawn_main" in str(p.cmdline())]
    if how.startswith(
        "SIG"
    ):  # to all of them, as a cluster does; and a terminal with Ctrl-C, or when it is closed
        os.killpg(process.pid, getattr(signal, how))
    else:
        (jobs[1] if how == "a job killed" else process).kill()
    ((found, _, printed),) = ended([process])
    assert found == code
    assert "Traceback" not in printed and (code < 0 or "--resume" in printed.splitlines()[-1]), printed
    assert len(jobs) == 2 and not psutil.wait_procs(jobs, 60)[1]

    stuck.unlink()
    save(stuck, np.zeros((48, 48), np.uint8))
    predict(model, tmp_path / "in", whole_image=True, batch_size=1, resume=True)
    assert_same_as_unbroken(model, stuck)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that keeps its reader waiting")
def test_two_runs_do_not_write_one_table(tmp_path, model, stuck, wait_until):
    first = subprocess.Popen(command(model, stuck))
    try:
        wait_until((tmp_path / "OUT.csv.parts").exists)
        second = subprocess.run(
            command(model, stuck, "--resume"), stderr=subprocess.PIPE, text=True, check=False
        )
        assert second.returncode == 2
        assert f"OUT.csv part 1 of 1 is being written by process {first.pid} on " in second.stderr
    finally:
        first.kill()
        first.wait()
    stuck.unlink()
    save(stuck, np.zeros((48, 48), np.uint8))
    predict(model, tmp_path / "in", whole_image=True, batch_size=1, resume=True)
    assert_same_as_unbroken(model, stuck)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that keeps its reader waiting")
def test_parts_share_the_work_and_one_may_be_killed(tmp_path, model, stuck, wait_until, monkeypatch, capsys):
    """One is killed, the other ends its part; then three go on to the table that one alone writes."""
    number = Part(count=2).number_of(File(stuck, stuck))
    killed = subprocess.Popen(command(model, stuck, "--part", f"{number}/2"))
    table = wait_until(lambda: next((tmp_path / "OUT.csv.parts").glob(f"{number}-of-2.*.csv"), None))
    wait_until(lambda: table.read_bytes().count(b"\n") > 2)
    killed.kill()
    killed.wait()

    def part(text=None):
        options = {"csv": tmp_path / "OUT.csv", "model": model, "whole_image": True, "batch_size": 1}
        assert main(PredictOptions(paths=(tmp_path / "in",), part=text, **options)) == 0
        return "".join(capsys.readouterr())

    finished = f"Part {3 - number} of 2 is finished; of 2 parts not finished: {number}."
    assert finished in part(f"{3 - number}/2")
    stuck.unlink()
    save(stuck, np.zeros((48, 48), np.uint8))
    monkeypatch.setenv("WORLD_SIZE", "3")  # as torchrun says it
    for rank in range(3):
        assert not (tmp_path / "OUT.csv").exists()
        monkeypatch.setenv("RANK", str(rank))
        printed = part()
    assert "17 photos, 17 faces" in printed and "no face" not in printed
    assert "  unreadable          1\n" in printed
    assert "nothing to resume" in part("2/2")
    monkeypatch.delenv("WORLD_SIZE")
    assert_same_as_unbroken(model, stuck)


def test_processes_share_the_cores(monkeypatch):
    before = cv2.getNumThreads()
    monkeypatch.setattr(threads, "_limit", [])
    share_cores(10**6)
    assert (cv2.getNumThreads(), threads.count()) == (1, 1)
    cv2.setNumThreads(before)


def test_the_command_line_from_end_to_end(tmp_path, model, scene):
    photo = save(tmp_path / "a.png", scene)
    out = tmp_path / "o" / "OUT.csv"
    command = [sys.executable, "-m", "fer.predict", photo, "--csv", out, "--model", model]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert out.read_text().startswith(HEADER + "\n" + str(photo))
    without_paths = subprocess.run(command[:3] + command[4:], capture_output=True, text=True, check=False)
    assert without_paths.returncode == 2
