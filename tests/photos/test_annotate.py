"""The timeline beside the annotated copy of a video; the copies themselves are tested with the script."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer.labels import EMOTIONS
from fer.live import timeline
from fer.photos.annotate import Annotator
from fer.photos.bulk import Picture
from fer.photos.listing import File
from fer.predictor import FaceEmotion


def face(emotion, x):
    return FaceEmotion.from_probabilities(
        (x, 20, 60, 60), np.eye(8, dtype=np.float32)[EMOTIONS.index(emotion)], 0.4
    )


@pytest.mark.parametrize("step_s", [0.04, 1.0, 10.0])
def test_each_person_of_a_video_has_a_strip(tmp_path, monkeypatch, step_s):
    """However far apart the analysed frames are; the largest face comes first, so that places change."""
    seen, strips = {}, timeline.strips

    def watched(faces, end_s):
        faces = list(faces)
        seen.update({name: (times, values) for name, times, values in faces}, end_s=end_s)
        return strips(faces, end_s)

    monkeypatch.setattr(timeline, "strips", watched)
    file = File(tmp_path / "v.mov", Path("below/v.mov"))
    annotator = Annotator(tmp_path / "out", [file])
    for n in range(20):
        people = [face("fear" if n < 10 else "anger", 20 + n), face("happiness", 200)][:: -1 if n % 3 else 1]
        false_alarm = [face("disgust", 130)] * (n == 7)
        image = np.zeros((100, 300, 3), np.uint8)
        annotator.write(Picture(file, n, n * step_s, [*people, *false_alarm], image))
    annotator.close()
    assert sorted(path.name for path in (tmp_path / "out" / "below").iterdir()) == ["v.mp4", "v.timeline.png"]
    assert set(seen) == {"face 1", "face 2", "end_s"} and seen["end_s"] == pytest.approx(19 * step_s)
    shown = {}
    for name in ("face 1", "face 2"):
        times, values = seen[name]
        filled = ~np.isnan(values[:, 0])
        assert times[filled][-1] == pytest.approx(19 * step_s, abs=0.1)
        shown[name] = [EMOTIONS[k] for k in values[filled].argmax(1)]
    fearful, happy = sorted(shown.values(), key=lambda names: "happiness" in names)
    assert set(happy) == {"happiness"} and (fearful[0], fearful[-1]) == ("fear", "anger")


def test_a_photo_that_was_too_large_to_be_read_whole_is_annotated_in_half_its_size(tmp_path):
    small, large = face("fear", 20), face("fear", 40)
    large = replace(large, box=tuple(2 * side for side in small.box))
    copies = []
    for factor, found in ((1, small), (2, large)):
        file = File(tmp_path / "a.png", Path(f"{factor}.png"))
        Annotator(tmp_path, [file]).write(
            Picture(file, faces=[found], image=np.zeros((100, 300, 3), np.uint8), factor=factor)
        )
        copies.append((tmp_path / file.inner).read_bytes())
    assert copies[0] == copies[1]


def test_a_timeline_and_the_copy_of_a_photo_never_have_the_same_name(tmp_path):
    files = [File(tmp_path / name, Path(name)) for name in ("v.timeline.png", "v.mp4", "v.avi")]
    annotator = Annotator(tmp_path / "out", files)
    image = np.zeros((100, 300, 3), np.uint8)
    for file in files:
        annotator.write(Picture(file, 0 if file.is_video else None, image=image))
    annotator.close()
    names = ["v-2.mp4", "v-2.timeline.png", "v-3.mp4", "v-3.timeline.png", "v.timeline.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
