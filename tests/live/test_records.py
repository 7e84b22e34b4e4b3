"""Tables and summaries."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from fer.errors import DataInvalid
from fer.labels import EMOTIONS, UNCERTAIN
from fer.live.analysis import Analysis, TrackedFace
from fer.live.capture import Frame
from fer.live.records import CsvWriter, Tally
from fer.predictor import FaceEmotion


def analysis(time_s, *faces, index=0):
    """An analysis whose faces are (track, emotion, detected)."""
    tracked = []
    for track, emotion, detected in faces:
        probabilities = np.full(8, 0.3 / 7, np.float32)
        probabilities[EMOTIONS.index(emotion) if emotion in EMOTIONS else 0] = 0.7
        face = FaceEmotion((1, 2, 30, 40), probabilities, emotion, 0.7)
        tracked.append(TrackedFace(face, track, [], detected))
    frame = Frame(np.zeros((64, 64, 3), np.uint8), time_s, index)
    return Analysis(frame, tuple(tracked), np.zeros((0, 4)), frame.image[..., 0])


def test_the_table_has_the_published_columns_and_is_on_disk_at_once(tmp_path):
    table = CsvWriter(tmp_path / "deep" / "out.csv")
    table.write(analysis(1.5, (3, "fear", True), (4, UNCERTAIN, True), (5, "anger", False), index=37))
    (waits,) = (waiting := analysis(1.6, (3, "fear", True), index=38)).faces
    over = waits.at(np.array([-5, 50, 30, 40]))  # the border
    table.write(replace(waiting, faces=(replace(waits, classified=False), over)))
    with (tmp_path / "deep" / "out.csv").open() as file:  # not closed yet
        header, *rows = csv.reader(file)
    assert ",".join(header) == (
        "time_s,frame,track,x,y,w,h,emotion,confidence,"
        "neutral,happiness,sadness,surprise,fear,disgust,anger,contempt"
    )
    assert [row[:9] for row in rows] == [
        ["1.500", "37", "3", "1", "2", "30", "40", "fear", "0.7000"],
        ["1.500", "37", "4", "1", "2", "30", "40", "uncertain", "0.7000"],
        ["1.600", "38", "3", "1", "2", "30", "40", "fear", ""],
        ["1.600", "38", "3", "0", "50", "25", "14", "fear", "0.7000"],
    ]
    assert rows[2][9:] == [""] * 8
    assert sum(map(float, rows[0][9:])) == pytest.approx(1, abs=0.001)


def test_a_table_is_replaced_when_the_first_frame_comes(tmp_path):
    """A source that cannot be read must not cost the table of the run before."""
    old = tmp_path / "old.csv"
    old.write_text("of the run before")
    table = CsvWriter(old)
    table.close()
    assert not table.written and old.read_text() == "of the run before"
    table.write(analysis(0.0))
    table.close()
    assert table.written
    assert old.read_text().startswith("time_s,frame,") and "before" not in old.read_text()


def test_a_table_on_a_full_disk_ends_with_a_whole_row(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of the size of files, as POSIX has them")
    table, before = CsvWriter(tmp_path / "out.csv"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        with pytest.raises(DataInvalid, match=r"out\.csv cannot be written"):
            for step in range(9):
                table.write(analysis(step, (1, "anger", True)))
        table.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    *_, last, rest = (tmp_path / "out.csv").read_text().split("\n")
    assert last.startswith("1.000,") and last.count(",") == 16 and not rest


def test_seconds_and_proportions_per_face():
    tally = Tally()
    # 4 s at 10 frames a second: 3 s fear, then 1 s anger; somebody else comes for the last second.
    for step in range(41):
        faces = [(1, "fear" if step <= 30 else "anger", True)]
        if step >= 30:
            faces.append((2, UNCERTAIN, True))
        tally.add(analysis(step / 10, *faces))
    lines = [line.split() for line in tally.table().splitlines()]
    assert lines[1:] == [
        ["1", "fear", "3.0", "75.0%"],
        ["1", "anger", "1.0", "25.0%"],
        ["2", "uncertain", "1.0", "100.0%"],
    ]


def test_absence_is_not_counted():
    tally = Tally()
    for time_s in (0.0, 0.5, 60.0, 60.5):
        tally.add(analysis(time_s, (1, "neutral", True)))
    assert tally.faces[1].seconds == {"neutral": pytest.approx(1.0)}
    name, times, probabilities = next(iter(tally.curves()))
    assert name == "face 1" and probabilities.shape == (4, 8)
    assert times == pytest.approx([0.05, 0.55, 60.05, 60.55]) and np.allclose(probabilities.sum(1), 1)


def test_of_a_crowd_the_faces_seen_longest_are_shown():
    tally = Tally()
    for second in range(3600):
        tally.add(analysis(float(second), (1, "happiness", True), (2 + second // 30, "sadness", True)))
    names = [name for name, _, _ in tally.curves()]
    assert len(names) == 64 and names[0] == "face 1"
    assert "(57 faces that were seen more briefly are left out)" in tally.table()


def test_a_long_run_keeps_little_and_counts_all(monkeypatch):
    """Ten hours, in which ever new faces come; in the first half the one that stays is happy, then angry."""
    monkeypatch.setattr("fer.live.records.MOST_FACES", 8)
    tally, hours = Tally(), 10 * 3600
    for second in range(hours):
        stays = "happiness" if second < hours / 2 else "anger"
        tally.add(analysis(float(second), (1, stays, True), (2 + second // 60, "fear", True)))
    assert sum(len(face.steps) for face in tally._all.values()) < 10_000
    assert tally.faces[1].seconds == {"happiness": hours / 2 - 1, "anger": hours / 2}
    assert "(593 faces that were seen more briefly are left out)" in tally.table()
    _, times, probabilities = next(tally.curves())
    assert 1200 < len(times) == len(probabilities) <= 2400
    best = [EMOTIONS[k] for k in probabilities.argmax(1)]
    assert all(best[k] == ("happiness" if times[k] < hours / 2 else "anger") for k in range(0, len(times), 7))


def test_the_table_of_an_empty_room_names_that():
    assert "no face" in Tally().table()


def test_photos_are_counted_and_kept_with_their_faces():
    tally = Tally(stills=True)
    for second, faces in enumerate([[(1, "fear", True), (2, "anger", True)], [], [(3, "fear", True)]]):
        tally.add(analysis(float(second), *faces, index=second))
    assert [(number, len(faces)) for number, faces in tally.photos.items()] == [(0, 2), (1, 0), (2, 1)]
    assert [line.split() for line in tally.table().splitlines()] == [
        ["emotion", "faces"],
        ["fear", "2"],
        ["anger", "1"],
        ["no", "face", "1"],
    ]
