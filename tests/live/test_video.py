"""Recordings: they play, whatever happens, and have their name when they are complete."""

import contextlib
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from live_support import film

from fer.errors import DataInvalid
from fer.live.video import VideoWriter, fit
from fer.photos.reading import read_video


def probe(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [float(frame.pts * stream.time_base) for frame in container.decode(stream)]
        return stream.codec_context.name, stream.pix_fmt, (stream.width, stream.height), times


def test_a_recording_is_h264_that_tells_its_length(tmp_path):
    video = VideoWriter(tmp_path / "new" / "out.mp4")
    for index, image in enumerate(film(15)):
        video.write(image, 3.0 + index / 25)
    assert video.start_s == 3.0 and not (tmp_path / "new" / "out.mp4").exists()
    path = video.close()
    codec, pixels, size, times = probe(path)
    assert (codec, pixels, size) == ("h264", "yuv420p", (640, 480))
    assert np.allclose(times, np.arange(15) / 25, atol=0.002)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 15
    assert [entry.name for entry in path.parent.iterdir()] == ["out.mp4"]
    first = cv2.VideoCapture(str(path)).read()[1]
    assert np.abs(first[200, 130].astype(int) - film(1)[0][200, 130]).max() < 12


def test_a_recording_with_the_times_of_a_table_shows_its_first_frame_from_zero_on(tmp_path):
    """Where the first came late, because a model was loading."""
    video = VideoWriter(tmp_path / "out.mp4", zero_s=0.0)
    for index, image in enumerate(film(3)):
        video.write(image, 2.5 + index / 25)
    assert np.allclose(probe(video.close())[3], [0, 2.54, 2.58], atol=0.002)


def test_a_name_as_long_as_it_can_be(tmp_path):
    video = VideoWriter(tmp_path / f"{'n' * 251}.mp4")
    video.write(film(1)[0], 0.0)
    assert video.close().is_file()


def test_frames_of_other_and_odd_sizes_fit_into_the_first(tmp_path):
    video = VideoWriter(tmp_path / "out.mp4")
    for step, size in enumerate([(641, 481), (320, 240), (100, 700), (1, 1), (641, 481)]):
        video.write(np.full((size[1], size[0], 3), 200, np.uint8), step / 10)
    _, _, size, times = probe(video.close())
    assert size == (640, 480) and len(times) == 5
    smallest = VideoWriter(tmp_path / "smallest.mp4")
    smallest.write(np.zeros((1, 40, 3), np.uint8), 0.0)
    assert len(probe(smallest.close())[3]) == 1
    narrow = fit(np.full((700, 100, 3), 200, np.uint8), (640, 480))
    assert narrow.shape == (480, 640, 3) and (narrow[:, 320] == 200).all() and not narrow[:, :280].any()


def test_times_that_stand_still_or_go_back_do_not_break_it(tmp_path):
    video = VideoWriter(tmp_path / "out.mp4")
    for time_s in (0.0, 0.0, 0.1, 0.05, 0.2):
        video.write(film(1)[0], time_s)
    _, _, _, times = probe(video.close())
    assert len(times) == 5 and (np.diff(times) > 0).all()


def test_a_recording_without_a_frame_leaves_nothing(tmp_path):
    assert VideoWriter(tmp_path / "out.mp4").close() is None
    assert list(tmp_path.iterdir()) == []


def test_names_that_cannot_be_recorded_to_are_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataInvalid, match="cannot be written"):
        VideoWriter(tmp_path / "file" / "out.mp4")


def test_a_live_recording_leaves_frames_out_rather_than_make_the_camera_wait(tmp_path):
    video = VideoWriter(tmp_path / "out.mp4", drop=True)
    image = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3)).astype(np.uint8)
    start_s = time.monotonic()
    for step in range(60):
        video.write(image, step / 1000)
    asked_s = time.monotonic() - start_s
    path = video.close()
    assert video.frames + video.dropped == 60 and video.dropped > 0
    assert asked_s < time.monotonic() - start_s
    assert len(probe(path)[3]) == video.frames


def test_what_was_recorded_before_the_disk_became_full_plays(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of the size of files, as POSIX has them")
    video, before = VideoWriter(tmp_path / "out.mp4"), resource.getrlimit(resource.RLIMIT_FSIZE)
    (part,), noise = tmp_path.iterdir(), np.random.default_rng(0)
    for step in range(100):
        video.write(noise.integers(0, 255, (96, 96, 3)).astype(np.uint8), step / 25)
    while video._queue.qsize():
        time.sleep(0.01)
    resource.setrlimit(resource.RLIMIT_FSIZE, (part.stat().st_size + 4096, before[1]))
    try:
        with pytest.raises(DataInvalid, match=rf"out\.mp4 was not recorded: File too large.*{part}"):
            video.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    images = []
    with contextlib.suppress(DataInvalid):  # it ends early
        images.extend(image for _, _, image in read_video(part))
    assert 20 < len(images) < 100 and [*tmp_path.iterdir()] == [part]


@pytest.mark.parametrize("when", ["while it runs", "at its end"])
def test_whatever_breaks_the_encoder_is_reported_and_nobody_waits_for_it(tmp_path, monkeypatch, when):
    """Also when the last frame has been taken: the disk may be full only then."""

    class Broken:
        def __init__(self, stream):
            self.stream = stream

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def encode(self, frame):
            if when == "while it runs" or frame is None:
                raise IndexError("out of range")
            return self.stream.encode(frame)

    keep = VideoWriter._open
    monkeypatch.setattr(VideoWriter, "_open", lambda *arguments: Broken(keep(*arguments)))
    video = VideoWriter(tmp_path / "out.mp4")
    with pytest.raises(DataInvalid, match="out of range"):
        for step in range(20):
            video.write(film(1)[0], step / 25)
        video.close()
    kept = [path.name.partition("-")[0] for path in tmp_path.iterdir()]
    assert kept == (["out.part"] if when == "at its end" else [])


def test_a_name_may_have_a_colon_and_another_file_the_name_of_a_part(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "12:30.part.mp4").write_text("somebody's")
    video = VideoWriter(Path("12:30.mp4"))
    video.write(film(1)[0], 0.0)
    video.close()
    assert len(probe(tmp_path / "12:30.mp4")[3]) == 1
    assert (tmp_path / "12:30.part.mp4").read_text() == "somebody's"
    assert [number for number, _, _ in read_video("12:30.mp4")] == [0]
