"""The page of all photos: what is in its files, and how it behaves in a browser."""

import csv
import errno
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser_support import Browser

from fer.labels import COLOURS, EMOTIONS
from fer.photos.bulk import Picture
from fer.photos.gallery import Gallery
from fer.photos.listing import File
from fer.photos.parts import line
from fer.photos.table import COLUMNS, rows
from fer.predictor import FaceEmotion

HOSTILE = ("""it's "q" </script><img src=x onerror=document.title='hit'>&amp;.png""", "a:b?c#d%41 é😀.png")

OTHERS = ("group.png", "unsure.png", "wall.png", "cut.jpg", "tall.png")


def face(emotion, confidence, box=(20, 10, 60, 60)):
    """A face with that probability, the rest being spread over the other emotions."""
    probabilities = np.full(8, (1 - confidence) / 7, np.float32)
    probabilities[EMOTIONS.index(emotion)] = confidence
    return FaceEmotion.from_probabilities(box, probabilities, 0.4)


def photo(path, *faces, size=(160, 100), error=None, shade=128, **place):
    """A picture whose file is there, unless it is one of those that cannot be read."""
    image = None if error else np.full((size[1], size[0], 3), shade, np.uint8)
    if image is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return Picture(File(path, Path(path.name)), faces=list(faces), image=image, error=error, **place)


def written(page, pictures):
    """Make the page of pictures in one go; return its folder of thumbnails and the photos in its data."""
    gallery = Gallery(page)
    for picture in pictures:
        gallery.add(picture)
    text = "".join(line(row) for picture in pictures for row in rows(picture))
    table = list(csv.reader(text.splitlines(keepends=True)))
    assert list(gallery.writing(COLUMNS, iter(table))) == table
    data = (
        page.read_text("utf-8").split('<script id="data" type="application/json">')[1].split("</script>")[0]
    )
    return gallery.folder, json.loads(data)["photos"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Eight files: names that are meant to do harm, a group, a photo without a face, and one that is damaged."""
    folder = tmp_path_factory.mktemp("gallery")
    inside = folder / "in put"
    page = folder / "o&ut" / "fa'ces.html"
    written(
        page,
        [
            photo(inside / HOSTILE[0], face("fear", 0.9)),
            photo(inside / HOSTILE[1], face("happiness", 0.6)),
            photo(Path(os.fsdecode(os.fsencode(inside) + b"/\xff\xfe.png")), face("happiness", 0.95)),
            photo(inside / "group.png", face("anger", 0.8), face("happiness", 0.7, (100, 20, 40, 40))),
            photo(inside / "unsure.png", face("contempt", 0.3)),
            photo(inside / "wall.png"),
            photo(inside / "cut.jpg", error="cut.jpg: the photo cannot be read (<b>cut</b> off)."),
            photo(inside / "tall.png", face("fear", 0.5), size=(10, 2000)),
        ],
    )
    return page


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


def shown(browser):
    """The tiles: names of the files, in order."""
    paths = browser.run("[...document.querySelectorAll('.tile .path')].map(node => node.textContent)")
    assert browser.run("document.querySelector('#count').textContent").startswith(str(len(paths)))
    return paths


def click(browser, selector, number=0):
    browser.run(f"document.querySelectorAll({json.dumps(selector)})[{number}].click()")


def test_in_a_browser_it_shows_every_file_and_asks_no_network(page, browser):
    browser.open(page.as_uri())
    assert shown(browser) == [*HOSTILE, "\ufffd\ufffd.png", *OTHERS]
    browser.wait("[...document.querySelectorAll('.tile img')].every(image => image.complete)")
    assert (
        browser.run("[...document.querySelectorAll('.tile img')].map(image => image.naturalWidth > 0)")
        == [True] * 7
    )
    totals = browser.run("[...document.querySelectorAll('#totals button')].map(button => button.textContent)")
    counts = {"happiness": 3, "fear": 2, "anger": 1, "uncertain": 1, "no face": 1, "unreadable": 1}
    assert totals == [
        f"{name}{counts.get(name, 0)}" for name in (*EMOTIONS, "uncertain", "no face", "unreadable")
    ]
    assert "(<b>cut</b> off)" in browser.run("document.querySelector('.reason').textContent")
    assert browser.run("document.title") == "Facial emotions"  # no name was run as a script
    assert browser.requests and all(address.startswith(("file:", "about:")) for address in browser.requests)
    assert browser.messages == []


def test_filters_by_emotion_and_confidence_stand_in_the_address(page, browser):
    browser.open(page.as_uri())
    happiness = [*EMOTIONS].index("happiness")
    click(browser, "#totals button", happiness)
    assert shown(browser) == [HOSTILE[1], "\ufffd\ufffd.png", "group.png"]
    browser.run("least.value = 65, least.oninput()")
    assert shown(browser) == ["\ufffd\ufffd.png", "group.png"]
    browser.run("order.value = 'low', order.onchange()")
    assert shown(browser) == ["group.png", "\ufffd\ufffd.png"]
    matching = "[...document.querySelectorAll('.tile .name:not(.other)')].map(node => node.textContent)"
    assert browser.run(matching) == ["happiness 70 %", "happiness 95 %"]  # of the group one of two
    browser.open(browser.run("location.href"))
    assert shown(browser) == ["group.png", "\ufffd\ufffd.png"]
    pressed = browser.run(
        "[...document.querySelectorAll('#totals [aria-pressed=true]')].map(node => node.textContent)"
    )
    assert pressed == ["happiness3"]
    click(browser, "#all")
    assert len(shown(browser)) == 8


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("#emotion=fear", [HOSTILE[0], "tall.png"]),
        ("#emotion=fear&order=low", ["tall.png", HOSTILE[0]]),
        ("#emotion=uncertain&emotion=anger", ["group.png", "unsure.png"]),
        ("#emotion=no+face&emotion=unreadable&least=50", ["wall.png", "cut.jpg"]),
        ("#least=90", [HOSTILE[0], "\ufffd\ufffd.png"]),
        ("#least=55&order=emotion", ["\ufffd\ufffd.png", "group.png", HOSTILE[1], HOSTILE[0]]),
        ("#emotion=joy&least=x&order=upwards", [*HOSTILE, "\ufffd\ufffd.png", *OTHERS]),
    ],
)
def test_an_address_chooses_what_is_shown(page, browser, address, names):
    browser.open(page.as_uri() + address)
    assert shown(browser) == names


def test_a_click_opens_the_original_with_its_boxes_and_keys_turn_the_leaves(page, browser):
    browser.open(page.as_uri() + "#emotion=anger&emotion=uncertain&emotion=unreadable")
    assert shown(browser) == ["group.png", "unsure.png", "cut.jpg"]
    browser.run("document.querySelector('.tile').focus()")
    browser.press("Enter")
    browser.wait("document.querySelectorAll('#frame b').length === 2")
    original = "const image = document.querySelector('#frame img'), frame = image.getBoundingClientRect()"
    where = "const box = document.querySelector('#frame b').getBoundingClientRect()"
    sides = "[box.x - frame.x, box.y - frame.y, box.width, box.height]"
    scaled = f"{sides}.map(side => side / frame.width * image.naturalWidth)"
    assert browser.run(f"{original}; {where}; {scaled}") == pytest.approx([20, 10, 60, 60], abs=0.5)
    assert browser.run("document.querySelector('#open').href").endswith("/in%20put/group.png")
    assert browser.run("document.querySelector('#frame b').dataset.name") == "anger 80 %"
    browser.press("ArrowRight")
    browser.wait("document.querySelector('#open').textContent.endsWith('unsure.png')")
    browser.press("ArrowRight")
    browser.wait("document.querySelector('#frame').textContent.includes('cannot be read')")
    browser.press("ArrowRight")
    browser.press("ArrowLeft")
    browser.wait("document.querySelector('#open').textContent.endsWith('unsure.png')")
    browser.press("Escape")
    assert not browser.run("document.querySelector('#large').open")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_originals_of_any_name_are_found(page, browser, number):
    browser.open(page.as_uri())
    click(browser, ".tile", number)
    browser.wait("document.querySelectorAll('#frame b').length === 1")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 800)])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_sticks_out_on_a_desk_or_a_phone(page, width, height, dark):
    with Browser(width, height, dark) as browser:
        browser.open(page.as_uri())
        browser.wait("document.querySelector('.tile img').complete")
        assert browser.run("document.documentElement.scrollWidth") == width
        top_left = cv2.imdecode(np.frombuffer(browser.screenshot(), np.uint8), cv2.IMREAD_COLOR)[0, 0]
        assert (top_left.max() < 60) == dark
        assert browser.run("document.querySelector('.tile').getBoundingClientRect().top") < height


def test_thousands_are_laid_out_as_they_come_into_view(tmp_path, browser):
    page = tmp_path / "faces.html"
    gallery = Gallery(page)
    pictures = (Picture(File(tmp_path / f"{n}.jpg", Path()), faces=[face("fear", 0.5)]) for n in range(5000))
    table = ([str(value) for value in row] for picture in pictures for row in rows(picture))
    assert sum(1 for _ in gallery.writing(COLUMNS, table)) == 5000
    browser.open(page.as_uri())
    count = "document.querySelectorAll('.tile').length"
    assert 0 < browser.run(count) < 1000
    assert browser.run("document.querySelector('#count').textContent") == "5,000 pictures"
    before = browser.run(count)
    browser.run("scrollTo(0, document.documentElement.scrollHeight)")
    browser.wait(f"{count} > {before}")


@pytest.mark.parametrize("factor", [1, 4])
def test_a_thumbnail_has_the_box_in_the_colour_of_the_emotion(tmp_path, factor):
    large = photo(
        *(tmp_path / "a.png", face("sadness", 0.9, (400, 200, 800, 800))),
        size=(2800 // factor, 1400 // factor),
        factor=factor,
    )
    folder, _ = written(tmp_path / "x.html", [large])
    (thumbnail,) = folder.iterdir()
    image = cv2.imread(str(thumbnail))
    assert image.shape == (140, 280, 3)
    left_side = image[60, 38:43].astype(int)
    assert np.abs(left_side - COLOURS["sadness"][::-1]).sum(1).min() < 90
    assert (np.abs(image[60, 60].astype(int) - 128) < 8).all()


def test_of_a_video_there_is_a_frame_each_second(tmp_path):
    times = [n / 4 for n in range(10)]
    frames = [photo(tmp_path / "v.mp4", face("fear", 0.9), frame=n, time_s=t) for n, t in enumerate(times)]
    other = [photo(tmp_path / "w.mp4", frame=0), photo(tmp_path / "w.mp4", error="w.mp4: cut off")]
    _, photos = written(tmp_path / "x.html", [*frames, *other])
    names = [f"v.mp4, frame {n}" for n in (0, 4, 8)] + ["w.mp4, frame 0", "w.mp4"]
    assert [Path(path).name for path, *_ in photos] == names
    assert photos[-1][3] == "w.mp4: cut off"


def test_thumbnails_of_an_earlier_run_are_removed(tmp_path):
    one, two = photo(tmp_path / "a.png"), photo(tmp_path / "b.png")
    folder, _ = written(tmp_path / "x.html", [one, two, photo(tmp_path / "c.png", error="cut off")])
    assert len(list(folder.iterdir())) == 3
    (folder / "mine.jpg").touch()
    kept = {path.name for path in written(tmp_path / "x.html", [two])[0].iterdir()}
    assert len(kept) == 2 and "mine.jpg" in kept


def test_the_page_is_replaced_whole_or_not_at_all(tmp_path):
    page = tmp_path / "x.html"
    _, _ = written(page, [photo(tmp_path / "a.png")])
    before = page.read_bytes()

    def cut():
        yield [str(value) for value in rows(photo(tmp_path / "b.png"))[0]]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        list(Gallery(page).writing(COLUMNS, cut()))
    assert page.read_bytes() == before
    assert {path.suffix for path in tmp_path.iterdir()} == {".html", ".thumbnails", ".png"}
