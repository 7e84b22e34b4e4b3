"""The demo beside a notebook lets go of its source however it is ended; a live kernel answers clicks meanwhile."""

import asyncio
import time
from queue import Empty

import cv2
import pytest
from jupyter_client.manager import start_new_kernel
from live_support import ROOT, ColourPredictor, Images, Live, environment, film, picture

from fer.errors import DataMissing, DeviceError, Stopped
from fer.live import notebook
from fer.live.notebook import Session, Upload
from fer.live.options import LiveOptions

IMAGES = [picture(("happiness", 100, 100))]
START = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from live_support import ColourPredictor, Live, film, picture
from fer.live.notebook import Session, upload
from fer.live.options import LiveOptions
from IPython.display import display
camera = Live([picture(("happiness", 100, 100))])
session = Session(camera, LiveOptions(), load=ColourPredictor)
display(session.display.widget)
"""


def start(camera, **options):
    return Session(camera, LiveOptions(**options), load=ColourPredictor)


def test_it_ends_after_the_given_time_and_leaves_the_last_picture(wait_until):
    camera = Live(IMAGES)
    session = start(camera)
    wait_until(lambda: session.display.jpeg)
    asyncio.run(session.finished(0.2))
    assert camera.released
    assert session.jpeg.startswith(b"\xff\xd8")
    assert all(button.disabled for button in session.display.buttons)


def test_a_cancelled_cell_lets_go_of_the_camera(wait_until):
    async def cell():
        task = asyncio.ensure_future(session.finished(600))
        await asyncio.sleep(0.1)
        task.cancel()
        await task

    camera = Live(IMAGES)
    session = start(camera)
    wait_until(lambda: session.display.jpeg)
    with pytest.raises(Stopped, match="its source is free again"):
        asyncio.run(cell())
    assert camera.released


@pytest.mark.parametrize(
    ("camera", "options", "error", "words"),
    [
        (Live([], 0, DeviceError("unplugged")), {"load": ColourPredictor}, DeviceError, "unplugged"),
        (Images([]), {}, FileNotFoundError, "no model here"),
        ("no such file.mp4", {}, DataMissing, "no such file.mp4"),
    ],
)
def test_what_ended_it_early_is_raised_and_shown_and_no_earlier_table(
    tmp_path, camera, options, error, words
):
    table = tmp_path / "table.csv"
    table.write_text("of an earlier run")
    session = Session(camera, LiveOptions(model=tmp_path / "no model here", csv=table), **options)
    with pytest.raises(error, match=words):
        asyncio.run(session.finished(60))
    with pytest.raises(error, match=words):
        print(session.table)
    assert words in session.display.widget.children[-1].value


def test_a_second_demo_stops_the_first(monkeypatch, capsys):
    monkeypatch.setattr(notebook.app, "load_predictor", lambda *_: ColourPredictor())
    first, second = Live(IMAGES), Live(IMAGES)
    notebook.show(first)
    session = notebook.show(second)
    assert first.released and not second.released
    session.close()
    assert second.released


def test_an_upload_is_played_and_not_kept(tmp_path, wait_until):
    photo = cv2.imencode(".png", IMAGES[0])[1].tobytes()
    source = Upload("../face.png", photo)
    frames = iter(source)
    assert next(frames)[0].tolist() == IMAGES[0].tolist() and source.stills
    table = tmp_path / "table.csv"
    session = start(Upload("face.png", photo), csv=table)
    wait_until(table.is_file)
    session.close()
    assert "happiness" in session.table.read_text()
    session = start(Live(IMAGES))
    session.close()
    with pytest.raises(DataMissing, match="Nothing was recorded"):
        print(session.table)


class Kernel:
    """A live kernel, as a browser uses one: cells are queued, clicks are sent while they run."""

    def __init__(self):
        self.manager, self.client = start_new_kernel(env=environment(JUPYTER_PLATFORM_DIRS="1"))
        self.models, self.outputs = {}, []  # comm id by the widget's description

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def queue(self, *cells):
        """Send all cells at once, as Run All does; return the ids of their replies."""
        return [self.client.execute(cell) for cell in cells]

    def reply(self, id_, seconds=60):
        """Return the content of the reply to a cell."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.client.get_shell_msg(timeout=seconds)
            if message["parent_header"].get("msg_id") == id_:
                return message["content"]
        raise AssertionError("no reply")

    def widget(self, description, seconds=60):
        """Return the comm of the widget with a text on it."""
        end = time.monotonic() + seconds
        while description not in self.models and time.monotonic() < end:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            self.outputs.append(message)
            state = message["content"].get("data", {}).get("state", {})
            if message["msg_type"] == "comm_open" and state.get("description"):
                self.models[state["description"]] = message["content"]["comm_id"]
        return self.models[description]

    def send(self, description, data, buffers=()):
        """Send what a browser does for a widget."""
        session, content = self.client.session, {"comm_id": self.widget(description), "data": data}
        session.send(self.client.shell_channel.socket, "comm_msg", content, buffers=list(buffers))

    def click(self, description):
        self.send(description, {"method": "custom", "content": {"event": "click"}})


@pytest.fixture
def kernel():
    kernel = Kernel()
    yield kernel
    kernel.close()


def test_buttons_answer_while_a_cell_waits_under_run_all(kernel):
    seen = "print(camera.released, [*session.player.view.__dict__.values()][:2], len(session.jpeg) > 0)"
    first, waiting, after = kernel.queue(START, "await session.finished(600)", seen)
    kernel.reply(first)
    for button in ("Bars", "Blur", "Stop"):
        kernel.click(button)
    assert kernel.reply(waiting)["status"] == "ok"
    assert kernel.reply(after)["status"] == "ok"
    assert printed(kernel) == "True [False, True] True\n"  # bars off, blur on


def test_an_interrupt_stops_the_demo_and_the_cells_after_it(kernel):
    first, waiting = kernel.queue(START, "await session.finished(600)")
    kernel.reply(first)
    kernel.queue()
    time.sleep(1)  # for the kernel to be in the cell that waits
    kernel.manager.interrupt_kernel()
    content = kernel.reply(waiting)
    assert content["ename"] == "Stopped" and len(content["traceback"]) == 1, content
    # For a moment after an error the kernel drops what is queued.
    while kernel.reply(kernel.queue("print(camera.released)")[0])["status"] == "aborted":
        pass
    assert printed(kernel) == "True\n"


def test_a_server_takes_an_upload(kernel):
    first = kernel.queue(
        START + "session.close()\nchosen = await upload()\nprint(chosen.name, chosen.stills)"
    )
    data = cv2.imencode(".jpg", film(1)[0])[1].tobytes()
    file = {"name": "me.jpg", "type": "image/jpeg", "size": len(data), "last_modified": 0}
    update = {"method": "update", "state": {"value": [file]}, "buffer_paths": [["value", 0, "content"]]}
    kernel.send("Photo or film", update, [data])
    assert kernel.reply(first[0])["status"] == "ok"
    assert printed(kernel) == "me.jpg True\n"


def printed(kernel):
    """What the cells have written to stdout so far."""
    messages = list(kernel.outputs)
    while True:
        try:
            messages.append(kernel.client.get_iopub_msg(timeout=1))
        except Empty:
            break
    return "".join(
        m["content"]["text"]
        for m in messages
        if m["msg_type"] == "stream" and m["content"]["name"] == "stdout"
    )
