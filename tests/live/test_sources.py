"""Every kind of source: its frames, and its message when it has none."""

import contextlib
import functools
import http.server
import itertools
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_support import film, picture, write_film
from video_support import write_video

from fer.errors import DataInvalid, DataMissing, DeviceError, UsageError
from fer.live import screens, sources
from fer.live.capture import Capture


class CameraDouble:
    """Stands in for cv2.VideoCapture: gives the ``answers`` in turn, for ever the last one."""

    def __init__(self, answers, opened=True):
        self.answers, self.opened, self.released, self.settings = list(answers), opened, False, {}

    def isOpened(self):
        return self.opened

    def read(self):
        image = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return image is not None, image

    def set(self, key, value):
        self.settings[key] = value

    def release(self):
        self.released = True


@pytest.fixture
def plug(monkeypatch):
    """Function that connects a camera double and returns it."""

    def connect(*answers, opened=True):
        camera = CameraDouble(answers or [None], opened)
        monkeypatch.setattr(cv2, "VideoCapture", lambda *_: camera)
        monkeypatch.setattr(sources, "list_cameras", lambda: [(0, "Front Camera"), (2, "USB Cam")])
        monkeypatch.setattr(sources, "CAMERA_PATIENCE_S", 0.1)
        return camera

    return connect


def drain(capture):
    """Yield the frames of a capture until its source has ended."""
    while capture.alive:
        if frame := capture.get(1):
            yield frame


@pytest.mark.parametrize("suffix", [".h264", ".avi", ".mp4"])
def test_a_video_gives_its_frames_with_times_also_where_the_file_has_none(tmp_path, suffix):
    """Bare H.264 has none at all, AVI only the order of storage, which is not that of showing."""
    source = sources.VideoFile(write_video(tmp_path / f"a{suffix}", frames=12, rate=25))
    images, times = zip(*source, strict=True)
    assert times == pytest.approx([k / 25 for k in range(12)], abs=1e-3)
    assert abs(int(images[3][16, 8, 0]) - (240 - 16 * 3)) < 6


def test_a_damaged_video_is_played_as_far_as_it_goes_and_then_an_error(tmp_path):
    data, images = write_film(tmp_path / "good.avi", film(40)).read_bytes(), []
    (tmp_path / "bad.avi").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataInvalid, match=r"bad\.avi.*ffmpeg"):
        images.extend(sources.VideoFile(tmp_path / "bad.avi"))
    assert 0 < len(images) < 40


def test_a_folder_is_read_in_the_order_of_its_numbers_and_names_what_it_leaves_out(tmp_path, capsys):
    for number in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"shot {number}.png"), np.full((4, 5, 3), number, np.uint8))
    (tmp_path / "shot 3.jpg").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("not a picture")
    folder = sources.Photos(tmp_path)
    given = [None if image is None else (int(image[0, 0, 0]), time_s) for image, time_s in folder]
    assert given == [(1, 0), (2, 1), None, (10, 3)]
    frames = list(drain(Capture(folder, in_step=True)))
    (tmp_path / "shot 1.png").unlink()  # the others keep their numbers
    assert [folder.files()[frame.index].name for frame in frames] == [
        "shot 1.png",
        "shot 2.png",
        "shot 10.png",
    ]
    assert folder.beside(1, 1).first == 3 and folder.beside(3, -1).first == 1
    with pytest.raises(DeviceError, match="the first photo"):
        folder.beside(0, -1)
    assert "shot 3.jpg: this is no photo" in capsys.readouterr().err
    assert folder.stills and not sources.Photos(tmp_path, fps=25).stills


def test_a_folder_without_photos_that_can_be_read_is_refused(tmp_path, capsys):
    with pytest.raises(DataInvalid, match="holds no photos"):
        list(sources.Photos(tmp_path))
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "phone.heic").touch()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataInvalid, match="holds 3 photos, none of which can be read"):
        list(sources.Photos(tmp_path))
    assert capsys.readouterr().err.count("Left out") == 3


class Film(http.server.SimpleHTTPRequestHandler):
    """Serves the files of a folder, with ``ranges`` also from a byte on; /live is MJPEG as cameras send it.

    After /no-length/ their length is not told, and after /broken/ the connection ends in the middle.
    """

    ranges = False

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/live":
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for image in film(12):
                jpeg = cv2.imencode(".jpg", image)[1].tobytes()
                head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                self.wfile.write(head + jpeg + b"\r\n")
        elif self.path.startswith(("/no-length/", "/broken/")):
            data = Path(self.directory, Path(self.path).name).read_bytes()
            self.send_response(200)
            if broken := self.path.startswith("/broken/"):
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if broken else data)
        elif not self.ranges or not (path := Path(self.translate_path(self.path))).exists():
            super().do_GET()
        else:
            data = path.read_bytes()
            start = int(self.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
            self.send_response(206)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the player seeks
                self.wfile.write(data[start:])


@pytest.fixture(params=["ranges", "no ranges"])
def served(tmp_path, request):
    """The URL of a server of ``tmp_path`` that knows ranges, or does not."""
    kind = type("Server", (Film,), {"ranges": request.param == "ranges"})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(kind, directory=tmp_path)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("name", ["talk.avi", "talk.mp4", "talk.ts"])
def test_a_film_behind_a_url_is_played_like_a_file(tmp_path, served, name):
    write_video(tmp_path / name, frames=12, rate=25)
    source = sources.open_source(f"{served}/{name}")
    assert not source.live and source.files() == []
    assert [time_s for _, time_s in source] == pytest.approx([k / 25 for k in range(12)], abs=1e-3)


@pytest.mark.parametrize("served", ["no ranges"], indirect=True)
def test_a_film_of_unknown_length_is_played_whole_and_a_broken_one_is_an_error(tmp_path, served):
    write_film(tmp_path / "talk.avi", film(40))
    assert len(list(sources.open_source(f"{served}/no-length/talk.avi"))) == 40
    images = []
    with pytest.raises(DataInvalid, match=r"talk\.avi.* after \d+ of 40 frames"):
        images.extend(sources.open_source(f"{served}/broken/talk.avi"))
    assert 0 < len(images) < 40


def test_a_stream_behind_a_url_is_live_and_a_wrong_address_is_refused(served):
    source = sources.open_source(f"{served}/live")
    assert source.live and len(list(source)) >= 11
    with pytest.raises(DeviceError, match=r"did not open \(.*404 Not Found\)"):
        sources.open_source(f"{served}/missing.mp4")
    with pytest.raises(DeviceError, match="did not open within"):
        list(sources.Stream(f"{served}/missing.mp4"))


def test_a_password_in_a_url_is_not_shown():
    assert sources.Stream("rtsp://me:secret@door.example/1").name == "rtsp://door.example/1"


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("sample", sources.SampleActor),
        ("0", sources.Camera),
        ("usb cam", sources.Camera),
        ("rtsp://door.example/1", sources.Stream),
        ("https://example.org/a.mp4", sources.VideoFile),
        ("/dev/video2", sources.Camera),
        ("by-id", sources.Camera),
        (".", sources.Photos),
        ("one.HEIC", sources.Photos),
        ("a.mp4", sources.VideoFile),
    ],
)
def test_the_word_after_source_chooses_the_kind(tmp_path, plug, monkeypatch, spec, kind):
    plug()
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "one.HEIC"):
        (tmp_path / name).touch()
    (tmp_path / "by-id").symlink_to("/dev/video2")
    monkeypatch.setattr(sources, "_is_recorded", lambda url: True)
    source = sources.open_source(spec)
    assert type(source) is kind
    if spec in ("usb cam", "/dev/video2", "by-id"):
        assert source.index == 2


@pytest.mark.parametrize("spec", ["b.mp4", "99999999999"])
def test_what_is_neither_a_file_nor_a_camera_is_refused(plug, spec):
    plug()
    with pytest.raises(DataMissing, match=rf"{spec}: there is no such file.*Front Camera"):
        sources.open_source(spec)


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # Windows
    (tmp_path / "a.mp4").touch()
    assert sources.open_source("~/a.mp4").files() == [tmp_path / "a.mp4"]


def test_an_empty_word_is_not_this_folder():
    with pytest.raises(UsageError, match="--source is empty"):
        sources.open_source("")


@pytest.mark.parametrize("fps", [0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_more_than_nothing(tmp_path, fps):
    for spec in (str(tmp_path), "sample"):
        with pytest.raises(DataInvalid, match="--fps"):
            sources.open_source(spec, fps=fps)
    with pytest.raises(DataInvalid, match="--fps"):
        screens.Screen(fps=fps)


def test_a_camera_that_does_not_open_names_those_that_are_there(plug):
    camera = plug(opened=False)
    with pytest.raises(DeviceError, match=r"Camera 9 did not open.*0 \(Front Camera\), 2 \(USB Cam\)"):
        list(sources.Camera(9))
    assert camera.released


def test_a_camera_that_drops_some_frames_goes_on(plug):
    image = picture(("fear", 10, 10))
    camera = plug(image, None, None, image)
    got = list(itertools.islice(sources.Camera(0), 4))
    assert [frame is not None for frame, _ in got] == [True, False, False, True]
    assert camera.released


def test_a_camera_that_is_plugged_in_again_goes_on_also_under_another_number(plug, monkeypatch, capsys):
    """Unplugged it gives None, so that whoever waits can stop."""
    image, opened = picture(("fear", 10, 10)), []
    first = plug(image, None)
    monkeypatch.setattr(
        cv2, "VideoCapture", lambda index, _: opened.append(index) or cameras[min(len(opened), 4) - 1]
    )
    gone = CameraDouble([None], opened=False)
    cameras = [first, gone, gone, CameraDouble([image])]
    frames = iter(sources.Camera(0))
    assert next(frames)[0] is image
    monkeypatch.setattr(sources, "list_cameras", lambda: [(4, "Front Camera")])
    while (frame := next(frames)[0]) is None:
        pass
    assert frame is image and first.released and opened == [0, 4, 4, 4]
    assert capsys.readouterr().err.count("camera 0 stopped sending: unplugged") == 1
    frames.close()
    assert cameras[-1].released


def test_a_camera_is_released_when_nobody_wants_more(plug):
    camera = plug(np.zeros((4, 4, 3), np.uint8))
    frames = iter(sources.Camera(0, size=(1280, 720), fps=60))
    assert next(frames)[0].shape == (4, 4, 3)
    assert camera.settings[cv2.CAP_PROP_FRAME_WIDTH] == 1280 and camera.settings[cv2.CAP_PROP_FPS] == 60
    frames.close()
    assert camera.released


def test_the_next_camera_follows_in_the_list_and_comes_round(plug):
    plug()
    assert (sources.Camera(0).next().index, sources.Camera(0).next().name) == (2, "camera 2 (USB Cam)")
    assert sources.Camera(2).next().index == 0


def test_the_own_window_is_kept_out_of_a_screen_with_two_pixels_per_point():
    image = np.full((200, 400, 3), 200, np.uint8)
    area = -100, 50, 200, 100
    dark, other = image.copy(), image.copy()
    screens.darken(dark, area, (-90, 60, 20, 10))
    assert (dark[20:40, 20:60] == 24).all()
    dark[20:40, 20:60] = 200
    assert (dark == image).all()
    screens.darken(other, area, (500, 500, 20, 10))
    assert (other == image).all()


@pytest.mark.parametrize(
    ("monitor", "region", "expected"),
    [
        (1, None, (0, 0, 800, 600)),
        (2, None, (-1024, -100, 1024, 768)),
        (0, None, (-1024, -100, 1824, 768)),
        (1, (-1000, -50, 640, 480), (-1000, -50, 640, 480)),
    ],
)
def test_monitors_and_regions_left_of_the_main_one(monitor, region, expected):
    monitors = [(-1024, -100, 1824, 768), (0, 0, 800, 600), (-1024, -100, 1024, 768)]
    assert screens.Screen(monitor, region).area(monitors) == expected
