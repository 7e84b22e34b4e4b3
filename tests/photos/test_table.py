"""The totals that a run ends with."""

from collections import Counter

from fer.labels import EMOTIONS
from fer.photos.table import COLUMNS, Summary


def row(path, emotion, frame="", face="0"):
    return [path, frame, face if emotion not in ("", "error") else "", *[""] * 4, emotion, *[""] * 9]


def test_totals_say_photos_and_frames_apart_and_the_most_frequent_emotion_first():
    table = [
        *(row("a.jpg", "fear"), row("a.jpg", "happiness", face="1"), row("b.jpg", "happiness")),
        *(row("c.jpg", ""), row("d.jpg", "error"), row("e.jpg", "uncertain")),
        *(row("v.mp4", "happiness", str(frame)) for frame in range(1200)),
        *(row("v.mp4", "", "1200"), row("v.mp4", "error")),
    ]
    assert {len(each) for each in table} == {len(COLUMNS)} and len(EMOTIONS) == 8
    summary = Summary()
    assert list(summary.counting(iter(table))) == table
    assert summary.text({"other files": 3, "folders": 2}).splitlines() == [
        "4 photos and 1,201 video frames, 1,204 faces",
        "  happiness       1,202   99.8%",
        "  fear                1    0.1%",
        "  uncertain           1    0.1%",
        "  no face             2",
        "  unreadable          2",
        "  other files         3  ignored",
        "  folders             2  left out: hidden, @…, or thumbnails",
    ]
    assert summary.pictures == 1205


def test_totals_of_nothing():
    assert Summary().text(Counter()) == "0 photos, 0 faces"
