"""Every kind of source: what it gives, and what it says when it cannot."""

import functools
import http.server
import struct
import threading
import zlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from live_support import film, picture, write_video
from video_support import write_video as frames_of_video

from fer.errors import DataInvalid, DataMissing, DeviceError
from fer.live import media, sources
from fer.photos.reading import read_video


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


def test_a_video_gives_its_frames_at_the_times_written_in_it(tmp_path):
    path = write_video(tmp_path / "talk.avi", film(10), fps=20)
    frames = list(media.VideoFile(path))
    assert len(frames) == 10
    assert np.allclose([time_s for _, time_s in frames], np.arange(10) / 20, atol=0.002)
    assert np.abs(frames[3][0].astype(int) - film(10)[3]).mean() < 3


@pytest.mark.parametrize("content", [b"", b"this is no video"])
def test_a_file_without_pictures_is_refused(tmp_path, content):
    path = tmp_path / "empty.mp4"
    path.write_bytes(content)
    with pytest.raises(DataInvalid, match=r"empty\.mp4 .*no pictures"):
        list(media.VideoFile(path))


def test_a_video_cut_off_says_so(tmp_path, capfd):
    whole = write_video(tmp_path / "whole.avi", film(40)).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    assert 0 < len(list(media.VideoFile(cut))) < 40
    assert "cut.avi ended after" in capfd.readouterr().err


def test_a_film_whose_frames_come_unevenly_is_not_called_cut_off(tmp_path, capfd):
    with av.open(str(tmp_path / "uneven.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=60)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((32, 64, 3), 8 * number, np.uint8), format="bgr24")
            frame.pts, frame.time_base = 6 * number, Fraction(1, 60)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(list(media.VideoFile(tmp_path / "uneven.mkv"))) == 30
    assert not capfd.readouterr().err


def test_a_folder_is_read_in_the_order_of_its_numbers_and_names_what_it_leaves_out(tmp_path, capsys):
    for number in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"shot {number}.png"), np.full((4, 5, 3), number, np.uint8))
    (tmp_path / "shot 3.jpg").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("not a picture")
    folder = media.PictureFolder(tmp_path)
    assert [int(image[0, 0, 0]) for image, _ in folder] == [1, 2, 10]
    assert "shot 3.jpg cannot be read" in capsys.readouterr().err
    assert folder.stills and not media.PictureFolder(tmp_path, fps=25).stills


@pytest.mark.parametrize("suffix", [".h264", ".avi", ".mp4"])
def test_frames_have_times_also_where_the_file_has_none(tmp_path, suffix):
    """Bare H.264 has none at all, AVI only the order of storage, which is not that of showing."""
    path = frames_of_video(tmp_path / f"a{suffix}", frames=12, rate=25)
    expected = pytest.approx([k / 25 for k in range(12)], abs=1e-3)
    assert [time_s for _, time_s, _ in read_video(path)] == expected
    times = np.array([time_s for _, time_s in media.VideoFile(path)])
    assert len(times) == 12 and (np.diff(times) > 0).all()
    if suffix != ".avi":
        assert times.tolist() == expected


def test_a_folder_of_which_nothing_can_be_read_is_refused(tmp_path, capsys):
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    (tmp_path / "huge.png").write_bytes(header + struct.pack(">I", zlib.crc32(header[12:])))
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataInvalid, match="holds 3 pictures, none of which can be read"):
        list(media.PictureFolder(tmp_path))
    assert capsys.readouterr().err.count("left out") == 3


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataInvalid, match="holds no pictures"):
        list(media.PictureFolder(tmp_path))


def test_a_url_is_played(tmp_path):
    write_video(tmp_path / "talk.avi", film(12))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/talk.avi"
        assert len(list(media.Stream(url))) == 12
        with pytest.raises(DeviceError, match="did not open"):
            list(media.Stream(url + ".missing"))
        server.shutdown()


def test_a_password_in_a_url_is_not_shown():
    assert media.Stream("rtsp://me:secret@door.example/1").name == "rtsp://door.example/1"


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("sample", media.Sample),
        ("0", sources.Camera),
        ("usb cam", sources.Camera),
        ("rtsp://door.example/1", media.Stream),
        ("https://example.org/a.mp4", media.Stream),
    ],
)
def test_the_word_after_source_chooses_the_kind(plug, spec, kind):
    plug()
    source = sources.open_source(spec)
    assert type(source) is kind
    if spec == "usb cam":
        assert source.index == 2


def test_paths_are_told_apart(tmp_path, plug):
    plug()
    (tmp_path / "a.mp4").touch()
    assert type(sources.open_source(str(tmp_path))) is media.PictureFolder
    assert type(sources.open_source(str(tmp_path / "a.mp4"))) is media.VideoFile
    with pytest.raises(DataMissing, match=r"b\.mp4.*Front Camera"):
        sources.open_source(str(tmp_path / "b.mp4"))


def test_odd_words_after_source_are_files_or_are_not_there(tmp_path, plug, monkeypatch):
    plug()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~nobody.mp4").touch()
    assert type(sources.open_source("~nobody.mp4")) is media.VideoFile
    for word in ("~somebody.mp4", "99999999999"):
        with pytest.raises(DataMissing, match="no such file"):
            sources.open_source(word)


@pytest.mark.parametrize(("spec", "size", "told"), [("", None, "empty"), ("sample", (-3, 5), "--width -3")])
def test_no_source_and_no_size_are_refused(spec, size, told):
    with pytest.raises(DataInvalid, match=told):
        sources.open_source(spec, size)


@pytest.mark.parametrize("fps", [0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_more_than_nothing(tmp_path, fps):
    for spec in (str(tmp_path), "sample"):
        with pytest.raises(DataInvalid, match="--fps"):
            sources.open_source(spec, fps=fps)
    with pytest.raises(DataInvalid, match="--fps"):
        sources.Screen(fps=fps)


def test_a_camera_that_does_not_open_names_those_that_are_there(plug):
    camera = plug(opened=False)
    with pytest.raises(DeviceError, match=r"Camera 9 did not open.*0 \(Front Camera\), 2 \(USB Cam\)"):
        list(sources.Camera(9))
    assert camera.released


def test_a_camera_that_drops_some_frames_goes_on_and_one_that_is_unplugged_ends(plug):
    image = picture(("fear", 10, 10))
    camera = plug(image, None, None, image, image, None)
    frames, got = iter(sources.Camera(0)), []
    with pytest.raises(DeviceError, match="stopped sending after 3 frames"):
        got.extend(frames)
    assert len(got) == 3 and camera.released


def test_a_camera_is_released_when_nobody_wants_more(plug):
    camera = plug(np.zeros((4, 4), np.uint8))
    frames = iter(sources.Camera(0, size=(1280, 720), fps=60))
    assert next(frames)[0].shape == (4, 4, 3)  # grey becomes three channels
    assert camera.settings[cv2.CAP_PROP_FRAME_WIDTH] == 1280 and camera.settings[cv2.CAP_PROP_FPS] == 60
    frames.close()
    assert camera.released


def test_the_next_camera_follows_in_the_list_and_comes_round(plug):
    plug()
    assert sources.Camera(0).next().index == 2
    assert sources.Camera(2).next().index == 0


def test_the_own_window_is_kept_out_of_a_screen_with_two_pixels_per_point():
    image = np.full((200, 400, 3), 200, np.uint8)
    area = {"left": -100, "top": 50, "width": 200, "height": 100}
    dark = sources.blank(image.copy(), area, (-90, 60, 20, 10))
    assert (dark[20:40, 20:60] == 24).all()
    dark[20:40, 20:60] = 200
    assert (dark == image).all()
    assert (sources.blank(image.copy(), area, (500, 500, 20, 10)) == image).all()


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
    sides = ("left", "top", "width", "height")
    layout = [(-1024, -100, 1824, 768), (0, 0, 800, 600), (-1024, -100, 1024, 768)]
    monitors = [dict(zip(sides, rectangle, strict=True)) for rectangle in layout]
    assert tuple(sources.Screen(monitor, region)._area(monitors).values()) == expected


@pytest.mark.parametrize(
    ("monitor", "region", "message"),
    [(3, None, "no monitor 3; this desktop has 1, 2"), (1, (700, 0, 200, 200), "not inside the desktop")],
)
def test_what_is_not_on_the_desktop_is_refused(monitor, region, message):
    monitors = [{"left": 0, "top": 0, "width": 800, "height": 600}] * 3
    with pytest.raises(DeviceError, match=message):
        sources.Screen(monitor, region)._area(monitors)
