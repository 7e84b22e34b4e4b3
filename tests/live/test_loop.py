"""The player: every way it can go, every way it can end."""

import contextlib
import errno
import os
import signal
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_support import ColourPredictor, Images, Live, Program, film, picture, rows_of, write_film

from fer import lazy
from fer.errors import DataInvalid, DeviceError, UsageError
from fer.files import locked
from fer.labels import COLOURS
from fer.live import analysis, app, loop, overlay, timeline
from fer.live.analysis import Analyser
from fer.live.display import Display
from fer.live.options import LiveOptions
from fer.live.sources import Photos, VideoFile
from fer.live.video import VideoWriter
from fer.live.view import View


class Script(Display):
    """A display that somebody watches: ``keys`` are pressed, one every ``every`` pictures (or second, when paused)."""

    visible = True

    def __init__(self, keys="", every=3):
        self.keys, self.every, self.shown, self.closed = list(keys), every, [], False
        self.pressed, self.pressed_s = 0, time.monotonic()

    def show(self, image):
        self.shown.append(image)

    def key(self):
        now = time.monotonic()
        assert now - self.pressed_s < 60, "nothing is shown any more"
        due = len(self.shown) >= self.pressed + self.every or (self.shown and now - self.pressed_s > 1)
        if not self.keys or not due:
            return ""
        self.pressed, self.pressed_s = len(self.shown), now
        return self.keys.pop(0)

    def close(self):
        self.closed = True


def play(source, display=None, load=ColourPredictor, **options):
    options = LiveOptions(no_window=display is None, **options)
    return app.show(source, options, load=load, display=display)


def test_a_video_without_a_window_has_every_frame_in_its_records(tmp_path, capsys):
    video = write_film(tmp_path / "in.avi", film(30), fps=10)
    saved, table = tmp_path / "out.mp4", tmp_path / "out.csv"
    player = play(VideoFile(video), save=saved, csv=table, summary=True)
    assert "of 30 frames 30 were shown, 30 analysed" in capsys.readouterr().out
    rows = rows_of(table)
    assert player.shown == 30
    assert [int(row["frame"]) for row in rows] == list(range(30))
    assert np.allclose([float(row["time_s"]) for row in rows], np.arange(30) / 10, atol=0.002)
    assert {row["emotion"] for row in rows} == {"happiness"}
    assert all(abs(int(row["x"]) - 100 - 4 * int(row["frame"])) <= 8 for row in rows)
    copy = cv2.VideoCapture(str(saved))
    assert (copy.get(cv2.CAP_PROP_FRAME_COUNT), copy.get(cv2.CAP_PROP_FRAME_WIDTH)) == (30, 640)
    assert copy.read()[0]


def test_the_same_file_gives_the_same_records_twice(tmp_path):
    for name in ("a.csv", "b.csv"):
        play(Images(film(20)), csv=tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def statuses(monkeypatch, source, load=ColourPredictor, **attributes):
    """Play ``source``; return what was drawn of the program's state, in order."""
    drawn = []
    draw = overlay.draw
    monkeypatch.setattr(
        overlay,
        "draw",
        lambda image, faces, status, *rest, **more: (
            drawn.append(status) or draw(image, faces, status, *rest, **more)
        ),
    )
    display = Script("bq", every=12)
    vars(display).update(attributes)
    play(source, display, load)
    return drawn


@pytest.mark.parametrize("source", [Live(film(5)), Images(film(30))])
def test_what_is_loaded_is_said_beside_the_opening_notice(monkeypatch, source, capfd):
    def slow():
        time.sleep(0.5)
        return ColourPredictor()

    monkeypatch.setattr(lazy, "SILENT_S", 0.2)
    messages = [status.message.strip() for status in statuses(monkeypatch, source, slow, every=999)]
    both = f"{overlay.NOTICE} Loading the model emotion_net …"
    assert set(messages) == {both, overlay.NOTICE} and messages == sorted(messages, key=both.__ne__)
    said = "loading the model emotion_net …\n"
    assert said not in capfd.readouterr().err
    play(Images(film(2)), load=slow)
    assert capfd.readouterr().err.count(said) == 1


def test_a_display_with_keys_shows_them_until_one_is_pressed(monkeypatch):
    keys = [status.keys for status in statuses(monkeypatch, Live(film(5)), keyboard=True) if status.fps]
    full, brief = keys[0]
    assert len(full) > 9 and ("q", "quit") in brief  # the layout takes what covers no face
    assert keys[-1] == []
    assert not any(status.keys for status in statuses(monkeypatch, Live(film(5))))


@pytest.mark.parametrize(
    ("hidden", "keyboard", "says"),
    [
        (0.0, True, ""),
        (0.19, True, "The dark part is this window"),
        (0.19, False, ""),
        (0.34, False, "hides 34%"),
    ],
)
def test_a_window_over_what_it_looks_at_says_so(monkeypatch, hidden, keyboard, says):
    """Under a fifth only at first, to somebody who may not know the demo."""
    monkeypatch.setattr(overlay, "NOTICE", "")
    source = Live(film(5))
    source.hidden = hidden
    messages = {status.message for status in statuses(monkeypatch, source, keyboard=keyboard)}
    assert any(says in message for message in messages if message and "Loading" not in message) == bool(says)


@pytest.mark.parametrize(
    ("still", "faces", "after_s", "says"),
    [
        (True, [], 60, True),
        (True, [("anger", 100, 100)], 60, False),
        (False, [], 60, False),
        (False, [], 0.2, True),
    ],
)
def test_without_a_face_a_photo_says_so_at_once_and_a_camera_after_a_while(
    tmp_path, monkeypatch, still, faces, after_s, says
):
    monkeypatch.setattr(loop, "NO_FACE_S", after_s)
    cv2.imwrite(str(tmp_path / "a.png"), picture(*faces))
    source = Photos(tmp_path / "a.png") if still else Live([picture(*faces)])
    messages = [status.message for status in statuses(monkeypatch, source, every=40, keyboard=True)]
    assert any(loop.NO_FACE in message for message in messages) == says
    assert any(loop.SMALLER in message for message in messages) == says
    assert all(overlay.NOTICE in message for message in messages)  # nobody reads only the other


def test_bars_leave_the_place_of_a_lost_face_free(monkeypatch, tmp_path):
    lost, arrange = [], overlay.layout.arrange
    monkeypatch.setattr(overlay.layout, "arrange", lambda *given: lost.append(given[-1]) or arrange(*given))
    both, one = picture(("fear", 40, 50), ("anger", 300, 50)), picture(("fear", 40, 50))
    play(Images([both] * 5 + [one] * 30), save=tmp_path / "out.mp4")
    assert lost[0] == [] and lost[-1] == [(300, 50, 120, 120)]


def test_a_film_may_change_its_size_on_the_way(tmp_path):
    images = [*film(10), *film(10, size=(800, 600))]
    play(Images(images), save=tmp_path / "out.mp4", csv=tmp_path / "out.csv")
    assert len(rows_of(tmp_path / "out.csv")) >= 19
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FRAME_WIDTH) == 640


@pytest.mark.parametrize("watched", [False, True])
def test_max_frames_are_shown_and_no_more_and_the_last_ones_are_in_the_table(tmp_path, watched):
    display = Script() if watched else None  # made here: its clock starts now
    camera = Live([picture(("fear", 200, 150))])
    player = play(camera, display, max_frames=12, csv=tmp_path / "out.csv")
    rows = rows_of(tmp_path / "out.csv")
    assert player.shown == 12 and camera.released
    assert rows and {row["emotion"] for row in rows} == {"fear"}
    assert len({row["frame"] for row in rows}) == len(rows)  # what was analysed, nothing twice


def test_photos_have_no_timeline(tmp_path):
    with pytest.raises(UsageError, match=r"photos have not.*--gallery"):
        play(Photos(photos(tmp_path / "photos", "fear")), timeline=tmp_path / "out.png")


def photos(folder, *emotions):
    """Write 1.png, 2.png …, a face each; a None is damaged."""
    folder.mkdir()
    for number, emotion in enumerate(emotions, 1):
        path = folder / f"{number}.png"
        if emotion is None:
            path.write_bytes(b"damaged")
        else:
            cv2.imwrite(str(path), picture((emotion, 200, 150)))
    return folder


def test_the_last_photo_stays_until_q_and_n_and_p_go_to_the_others(tmp_path, capsys):
    folder = photos(tmp_path / "photos", "fear", None, "anger", "happiness")
    display = Script()
    steps = iter(
        [("fear", "n"), ("anger", "p"), ("fear", "p"), ("fear", "n"), ("anger", " "), ("happiness", "n")]
    )
    waited, due = [next(steps)], []

    def key():
        """Press the next key once its photo is shown with its face; q half a second after the last."""
        if not display.shown or not labelled(display.shown[-1], waited[-1][0]):
            return ""
        pressed = waited[-1][1]
        waited.append(next(steps, ("happiness", "")))
        due.append(time.monotonic())
        return pressed or ("q" if due[-1] - due[5] > 0.5 else "")

    display.key = key
    play(Photos(folder, fps=0.5), display, csv=tmp_path / "out.csv")
    rows = [(int(row["frame"]), row["emotion"]) for row in rows_of(tmp_path / "out.csv")]
    assert rows == [(0, "fear"), (2, "anger"), (3, "happiness")]  # each once
    assert "frames 0 to 3 are the photos by name, 1.png to 4.png; `python" in capsys.readouterr().out


def test_one_photo_stays_until_q(tmp_path):
    display = Script("q", every=4)  # drawn again and again, because messages come and go
    player = play(Photos(photos(tmp_path / "photos", "fear") / "1.png"), display)
    assert player.shown == 1 and labelled(display.shown[-1])
    assert play(Photos(tmp_path / "photos" / "1.png")).shown == 1  # without a window it ends


def test_a_source_that_ends_before_anything_was_analysed_is_an_error(tmp_path):
    for display in (None, Script()):
        with pytest.raises(DeviceError, match="camera 0 ended before anything was analysed"):
            play(Live([], 0), display, csv=tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(("asked", "recorded"), [(False, 200), (True, 320)])
def test_a_camera_is_mirrored_in_the_window_and_in_recordings_only_if_asked(
    tmp_path, monkeypatch, asked, recorded
):
    monkeypatch.chdir(tmp_path)
    camera, display = Live([picture(("fear", 200, 150))]), Script("sq", every=40)
    camera.mirrored = True
    player = app.show(camera, LiveOptions(save=Path("a.mp4")), ColourPredictor, display, mirror=asked)
    assert (display.shown[-1][240, 425] > 90).any() and (display.shown[-1][240, 215] < 30).all()
    film, snapshot = cv2.VideoCapture("a.mp4"), cv2.imread(str(player.written[0]))
    for image in (film.read()[1], snapshot):
        assert (image[240, recorded + 15] > 90).any() and (image[240, 640 - recorded - 15] < 60).all()


def test_a_camera_that_dies_ends_with_its_message_and_valid_files(tmp_path):
    camera = Live([picture(("fear", 200, 150))], 60, DeviceError("camera 0 stopped: unplugged?"))
    wanted = {"save": tmp_path / "a.mp4", "csv": tmp_path / "a.csv", "timeline": tmp_path / "a.png"}
    with pytest.raises(DeviceError, match="unplugged"):
        play(camera, Script(), **wanted)
    assert camera.released
    assert cv2.VideoCapture(str(wanted["save"])).read()[0]
    assert rows_of(wanted["csv"])
    assert cv2.imread(str(wanted["timeline"])) is not None


def test_a_camera_that_freezes_is_not_waited_for_without_end(monkeypatch, tmp_path):
    monkeypatch.setattr(loop, "SILENCE_S", 0.5)

    class Frozen(Live):
        def __iter__(self):
            yield self.images[0], None
            time.sleep(3)

    display = Script()
    with pytest.raises(DeviceError, match="No picture from camera 0"):
        play(Frozen([picture()]), display)
    assert display.closed


def test_an_error_in_the_analysis_closes_everything(tmp_path):
    class Broken(ColourPredictor):
        def classify(self, frame, boxes, turn):
            raise DataInvalid("the model is broken")

    camera, display = Live([picture(("fear", 200, 150))]), Script()
    with pytest.raises(DataInvalid, match="broken"):
        app.show(camera, LiveOptions(save=tmp_path / "a.mp4"), load=Broken, display=display)
    assert camera.released and display.closed


def near(image, emotion):
    return (np.abs(image.astype(int) - np.array(COLOURS[emotion][::-1])) < 12).all(-1)


EYE = (slice(184, 192), slice(228, 236))


def labelled(image, emotion="fear"):
    """Whether a label in the emotion's colour stands above the face at (200, 150)."""
    return near(image[110:146, 200:320], emotion).mean() > 0.2


def watch(keys, load=ColourPredictor, **options):
    """Play a camera until all ``keys`` and q are pressed; return the pictures and the player."""
    camera, display = Live([picture(("fear", 200, 150))]), Script([*keys, "q"], every=40)
    player = app.show(camera, LiveOptions(**options), load, display, mirror=False)
    return display.shown, player


def test_a_camera_that_sends_one_picture_in_a_long_time_is_drawn_again_when_its_face_is_found():
    display = Script()
    end_s = time.monotonic() + 30
    display.key = lambda: "q" if time.monotonic() > end_s or any(map(labelled, display.shown)) else ""
    play(Live([picture(("fear", 200, 150))], fps=1 / 5), display)
    assert labelled(display.shown[-1])


def test_faces_are_shown_and_figures_too_however_slow_the_analysis_is(monkeypatch):
    monkeypatch.setattr(analysis, "STALE_S", 0.1)
    monkeypatch.setattr(analysis, "SLOW_S", 0.2)
    monkeypatch.setattr(loop, "NOTICE_S", 0.0)
    drawn, draw = [], overlay.draw

    def note(image, faces, status, *rest):
        drawn.append((faces, status))
        return draw(image, faces, status, *rest)

    class Slow(ColourPredictor):
        def classify(self, frame, boxes, turn):
            time.sleep(0.3)
            return super().classify(frame, boxes)

    monkeypatch.setattr(overlay, "draw", note)
    end_s, display = time.monotonic() + 60, Script()
    display.keyboard = True
    display.key = lambda: (
        "q" if sum(bool(faces) for faces, _ in drawn) >= 40 or time.monotonic() > end_s else ""
    )
    twelve = picture(*(("fear", 40 + 150 * (i % 4), 30 + 150 * (i // 4)) for i in range(12)), side=80)
    play(Live([twelve], fps=30), display, load=Slow)
    first = next(number for number, (faces, _) in enumerate(drawn) if faces)
    later = drawn[first:]
    assert len(later) >= 40
    assert np.mean([len(faces) == 12 for faces, _ in later]) >= 0.9
    assert all(status.detect_ms is not None and status.classify_ms > 200 for _, status in later)
    # The frame that was analysed comes again only where the window is drawn faster than frames come.
    assert np.mean([not faces[0].detected for faces, _ in later if faces]) > 0.5
    assert later[-1][1].message == loop.SLOW_ANALYSIS


def test_mirror_bars_blur_and_help_change_what_is_shown():
    plain, mirrored, bare, blurred, helped = (watch(key)[0][-1] for key in ("", "m", "b", "l", "h"))
    assert labelled(plain) and not labelled(mirrored)
    assert near(mirrored[110:146, 320:440], "fear").mean() > 0.2
    assert np.abs(plain[150:290, 330:480].astype(int) - bare[150:290, 330:480]).max() > 50
    assert plain[EYE].mean() < 40 and blurred[EYE].mean() > 80
    assert near(helped[100:400, 150:490], "happiness").sum() > 50  # the names of the keys


def test_blur_never_shows_a_face_before_it_is_detected():
    shown, _ = watch("", blur=True)
    assert all(image[EYE].mean() > 60 for image in shown)


def test_pause_stops_pictures_and_records_until_space_is_pressed_again():
    end_s = time.monotonic() + 0.5
    display = Script()
    display.key = lambda: "" if time.monotonic() < end_s else "q"
    view = View(paused=True)
    player = loop.Player(Live([picture()]), lambda: Analyser(ColourPredictor()), display, view)
    player.run()
    assert player.shown == 0
    _, player = watch("  ")
    assert player.shown > 20 and not player.view.paused


def test_record_and_snapshot_write_only_when_asked(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    _, player = watch("")
    assert list(tmp_path.iterdir()) == [] and player.written == []
    _, player = watch("rsrrr")
    first, second, snapshot = sorted(player.written)
    assert (first.suffix, snapshot.suffix, first.parent.name) == (".mp4", ".png", "outputs")
    assert all(cv2.VideoCapture(str(video)).read()[0] for video in (first, second))
    assert labelled(cv2.imread(str(snapshot)))


def test_plus_and_minus_change_the_size_faces_are_searched_in():
    predictor = ColourPredictor()
    watch("++-", load=lambda: predictor)
    assert predictor.detect.max_side == 480


def test_c_goes_to_the_next_camera_and_back_when_that_one_is_dead():
    other = Live([picture(("anger", 200, 150))])
    first = Live([picture(("fear", 200, 150))])
    first.next = lambda: other
    display = Script(["c", "q"], every=40)
    app.show(first, LiveOptions(), load=ColourPredictor, display=display)
    assert labelled(display.shown[-1], "anger") and first.released and other.released

    dead = Live([], 0, DeviceError("camera 1 did not open"))
    first.next = lambda: dead
    display = Script(["c", "q"], every=40)
    app.show(first, LiveOptions(), load=ColourPredictor, display=display)
    assert labelled(display.shown[-1], "fear")


def test_a_file_in_a_window_ends_by_itself_and_waits_for_the_model():
    def slow():
        time.sleep(0.5)
        return ColourPredictor()

    display = Script()
    app.show(Images(film(10)), LiveOptions(), load=slow, display=display)
    assert any(near(image, "happiness").sum() > 2000 for image in display.shown)
    assert display.closed


def test_closed_while_the_model_loads_the_window_goes_at_once():
    gone, in_time = threading.Event(), []

    class Closed(Script):
        def close(self):
            gone.set()

    def slow():
        in_time.append(gone.wait(5))
        return ColourPredictor()

    player = app.show(Live(film(3)), LiveOptions(), load=slow, display=Closed("q", every=1))
    assert in_time == [True], "the window stayed until the model was loaded"
    assert player.shown == 0


def test_a_signal_before_the_first_frame_raises_nothing_where_the_program_is_and_ends_it():
    """An exception inside an import leaves its lock taken, and the threads that load and read wait for it for ever."""
    gone = threading.Event()

    class Signalled(Script):
        survived = 0

        def key(self):
            if not self.survived:
                signal.raise_signal(signal.SIGTERM)
            self.survived += 1
            return ""

        def close(self):
            gone.set()

    def slow():
        assert gone.wait(30)
        return ColourPredictor()

    display = Signalled()
    player = app.show(Live(film(3)), LiveOptions(), load=slow, display=display)
    assert display.survived == 1 and player.shown == 0


CAMERA = """
import sys
from live_support import ColourPredictor, Live, picture
from fer.live import app
from fer.live.options import LiveOptions
from pathlib import Path
options = LiveOptions(no_window=True, save=Path("a.mp4"), csv=Path("a.csv"), timeline=Path("a.png"), summary=True)
app.show(Live([picture(("fear", 200, 150))]), options, load=ColourPredictor)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_from_outside_it_closes_its_files(tmp_path, wait_until, number):
    with Program(CAMERA, tmp_path) as program:
        table = tmp_path / "a.csv"
        wait_until(lambda: table.exists() and table.stat().st_size > 3000)
        program.process.send_signal(number)
        time.sleep(0.02)
        program.process.send_signal(number)  # impatient
        assert program.wait() == 0, program.printed
    assert cv2.VideoCapture(str(tmp_path / "a.mp4")).read()[0]
    assert cv2.imread(str(tmp_path / "a.png")) is not None
    assert rows_of(table) and "fear" in program.printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.mp4", "a.png", "printed.txt"]


def test_a_signal_while_the_files_are_finished_is_answered_and_the_next_obeyed(monkeypatch, tmp_path, capsys):
    draw = timeline.strips

    def disturbed(*arguments):
        for _ in range(times):
            signal.raise_signal(signal.SIGTERM)
        return draw(*arguments)

    monkeypatch.setattr(timeline, "strips", disturbed)
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("the signal was not looked after"))
    try:
        for times, name in ((2, "twice.png"), (3, "thrice.png")):
            options = LiveOptions(no_window=True, timeline=tmp_path / name)
            with pytest.raises(KeyboardInterrupt) if times == 3 else contextlib.nullcontext():
                app.show(Images(film(5)), options, load=ColourPredictor)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [path.name for path in tmp_path.iterdir()] == ["twice.png"]
    assert capsys.readouterr().err.count("once more ends it") == 2


def test_killed_it_leaves_whole_rows_and_no_half_a_video(tmp_path, wait_until):
    with Program(CAMERA, tmp_path) as program:
        table = tmp_path / "a.csv"
        wait_until(lambda: table.exists() and table.stat().st_size > 3000)
        program.process.kill()
        program.wait()
    assert len(rows_of(table)) > 10
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize("how", ["--save", "key"])
def test_a_recording_that_fails_is_a_message_and_the_demo_goes_on(tmp_path, monkeypatch, how):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "a.mp4")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(VideoWriter, "_open", full)
    display = Script("r" if how == "key" else "", every=5)
    options = {"csv": Path("a.csv")} | ({"save": Path("a.mp4")} if how == "--save" else {})
    with pytest.raises(DataInvalid, match="was not recorded: No space left"):
        play(Images(film(40)), display, **options)
    assert int(rows_of(tmp_path / "a.csv")[-1]["frame"]) > 20  # the encoder failed at the first
    assert [path.name for path in tmp_path.rglob("*.*")] == ["a.csv"]


def test_where_the_recording_is_all_there_is_its_failure_ends_the_demo(tmp_path, monkeypatch):
    monkeypatch.setattr(VideoWriter, "_open", lambda *_: 1 / 0)
    with pytest.raises(DataInvalid, match="was not recorded: division by zero"):
        play(Live(film(3)), save=tmp_path / "a.mp4")


def test_a_snapshot_that_fails_is_a_message(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").touch()  # no folder
    said = []
    monkeypatch.setattr(loop.Player, "_say", lambda player, text, seconds: said.append(text))
    assert play(Images(film(40)), Script("s", every=5)).frame.index == 39
    assert any(text.startswith("outputs/snapshot") and "cannot be written" in text for text in said)


def test_a_second_demo_on_the_same_files_is_refused(tmp_path):
    files = {"save": tmp_path / "a.mp4", "csv": tmp_path / "a.csv", "timeline": tmp_path / "a.png"}
    for name, path in files.items():
        with locked(path), pytest.raises(UsageError, match=f"{path.name} is being written by process"):
            play(Images(film(3)), **{name: path})
    assert list(tmp_path.iterdir()) == []


def test_options_that_cannot_work_are_refused_before_anything_opens():
    smoothing = ({"smoothing": -1.0}, {"smoothing": float("nan")})
    for options in ({"threshold": 1.5}, {"detection_size": 10}, {"max_frames": 0}, *smoothing):
        with pytest.raises(UsageError, match="expected"):
            play(Images([]), **options)


def test_a_file_is_not_replaced_by_what_is_made_of_it(tmp_path):
    film_file = write_film(tmp_path / "talk.mp4", film(5))
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "1.png"
    cv2.imwrite(str(photo), film(1)[0])
    before = film_file.read_bytes(), photo.read_bytes()
    (tmp_path / "link.mp4").symlink_to(film_file)
    for source, options in (
        (VideoFile(film_file), {"save": tmp_path / "talk.mp4"}),
        (VideoFile(film_file), {"csv": tmp_path / "photos" / ".." / "talk.mp4"}),
        (VideoFile(tmp_path / "link.mp4"), {"csv": film_file}),
        (Photos(tmp_path / "photos"), {"csv": photo}),
    ):
        with pytest.raises(UsageError, match="would replace what is played"):
            play(source, **options)
    assert (film_file.read_bytes(), photo.read_bytes()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save": "a.mp4", "csv": "./a.mp4"}, "expected a name for each"),
        ({"save": "folder.mp4"}, "is a folder"),
        ({"timeline": "folder.png"}, "is a folder"),
        ({"timeline": "file/a.png"}, "file: Not a directory"),
        ({"csv": "a.csv", "save": "a.avi"}, r"ends in \.mp4"),
        ({"save": "link.mp4"}, r"link\.mp4 is a link"),
        ({"csv": os.devnull}, "a pipe or a device"),
        ({"timeline": "a.pdf"}, r"ends in \.png or \.jpg .* no \.pdf or \.svg"),
    ],
)
def test_files_that_cannot_be_written_are_known_before_the_run(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link.mp4").symlink_to("elsewhere.mp4")
    with pytest.raises(DataInvalid, match=message):
        play(Images(film(3)), **{name: Path(path) for name, path in options.items()})
    left = ["file", "folder.mp4", "folder.png", "link.mp4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_blur_hides_the_whole_picture_where_no_face_is_detected(tmp_path):
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::8] = 80  # too dark for the detector
    saved = tmp_path / "out.mp4"
    for blur, contrast in ((False, 20), (True, 0)):
        play(Images([stripes] * 5), save=saved, blur=blur)
        grey = cv2.VideoCapture(str(saved)).read()[1][240:400].astype(float)
        assert (np.abs(np.diff(grey, axis=1)).mean() > 5) == bool(contrast)


def test_the_own_window_is_left_out_from_the_first_analysed_frame_on():
    class Desktop(Live):
        own = None

        def exclude(self, rectangle):
            self.own = rectangle

        def __iter__(self):
            for image, time_s in super().__iter__():
                yield image.copy() if self.own is None else picture(), time_s

    display = Script()
    display.rectangle = lambda: (0, 0, 640, 480) if display.shown else None
    found = []

    def load():
        while len(display.shown) < 5:
            time.sleep(0.01)
        return Analyser(ColourPredictor())

    source = Desktop([picture(("anger", 100, 100))])
    loop.Player(source, load, display, on_analysis=found.append, max_frames=10).run()
    assert found and not any(frame.faces for frame in found)


def test_a_slow_source_is_waited_for_with_words():
    class Slow(Live):
        def __iter__(self):
            time.sleep(1.0)
            yield from super().__iter__()

    display = Script()
    loop.Player(Slow([picture()]), lambda: Analyser(ColourPredictor()), display, max_frames=3).run()
    assert display.shown[0].shape == (540, 960, 3)
    assert display.shown[0].max() > 200  # letters


def test_the_notice_of_a_recording_follows_the_films_time(tmp_path):
    saved = tmp_path / "out.mp4"
    play(Images([picture()] * 20, fps=2), save=saved)
    film = cv2.VideoCapture(str(saved))
    noticed = [film.read()[1][440:].max() > 150 for _ in range(20)]
    assert noticed == [True] * 12 + [False] * 8
