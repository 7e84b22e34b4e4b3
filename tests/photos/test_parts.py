"""A table in parts: whatever is cut off, and however many go on, each file is there once and in order."""

import csv
import os
import random
import time
import tracemalloc
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from fer.errors import DataInvalid
from fer.photos.listing import File, Listing
from fer.photos.parts import Part, Parts, line

COLUMNS = ("path", "face", "emotion")


def expected_rows(path):
    """One to three rows, with all that CSV must quote."""
    return [[str(path), str(face), 'so "so",\nperhaps'] for face in range(1 + len(path.name) % 3)]


@pytest.fixture(autouse=True)
def same_paths_everywhere(tmp_path, monkeypatch):
    """Which process gets a photo depends on its path, so the tests name theirs from the temporary folder on."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path):
    """28 photos in four folders, with names that sort differently as text and as paths."""
    folders = ("", "a", "a/b", "a b")
    names = (
        "1.jpg",
        "10.jpg",
        "2.jpg",
        "Z.PNG",
        'q",\n"\u00fc.jpg',
        "return\r.jpg",
        b"\xff.jpg".decode(errors="surrogateescape"),
    )
    for folder in folders:
        (tmp_path / "in" / folder).mkdir(exist_ok=True, parents=True)
        for name in names:
            (tmp_path / "in" / folder / name).touch()
    return Path("in")


def read(table):
    with table.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.reader(file))


class Killed(Exception):
    """Stands for the end of a process."""


def texts(photos, done, stop_after=None):
    """The rows of photos, as a process writes them that may be killed after some of them."""
    for number, photo in enumerate(photos):
        if number == stop_after:
            raise Killed
        done.append(photo.path)
        yield "".join(map(line, expected_rows(photo.path)))


def begun(folder, table, *numbers, count):
    """Parts that have begun."""
    parts = [Parts(table, COLUMNS, Listing([folder]), Part(number, count)) for number in numbers]
    assert all(part.begin({}, resume=True) for part in parts)
    return parts


def work(folder, table, count, stop_after=None, cut=None):
    """What the processes of a run do; each may be killed after some files, and lose the end of its table."""
    parts, done = begun(folder, table, *range(1, count + 1), count=count), []
    for part in parts:
        before = set(part.folder.glob("*.csv"))
        with suppress(Killed):
            part.write(texts(part.todo(), done, stop_after))
        (written,) = set(part.folder.glob("*.csv")) - before
        if cut is not None:
            os.truncate(written, cut % (written.stat().st_size + 1))
    if stop_after is None:
        finished = [part.finish(iter) for part in random.Random(count).sample(parts, count)]
        assert finished.count("") == 1  # whichever it is
    return done


def assert_whole(table, folder):
    """Each file is there once, in order, with all its rows, and nothing else is left."""
    listing = [file.path for file in Listing([folder])]
    assert read(table) == [list(COLUMNS), *(row for path in listing for row in expected_rows(path))]
    assert sorted(os.listdir(table.parent)) == sorted([table.name, folder.name])


@pytest.mark.parametrize("seed", range(20))
def test_stopped_and_cut_anywhere_by_any_number_of_processes(photos, tmp_path, seed):
    rng = random.Random(seed)
    table = tmp_path / "OUT.csv"
    for _ in range(4):
        work(photos, table, rng.randint(1, 5), rng.randint(1, 4), cut=rng.randrange(800))
    work(photos, table, rng.randint(1, 5))
    assert len({file.path for file in Listing([photos])}) == 28
    assert_whole(table, photos)


def test_what_is_done_is_not_done_again(photos, tmp_path):
    """But for the last file of each process, which may lack rows."""
    table = tmp_path / "OUT.csv"
    first = work(photos, table, 3, stop_after=4)
    second = work(photos, table, 2, stop_after=2)
    third = work(photos, table, 1)
    assert len(first) == 12
    assert len(set(first) & set(second + third)) <= 3
    assert len(set(second) & set(third)) <= 2
    assert set(first + second + third) == {file.path for file in Listing([photos])}


def test_no_name_of_a_file_is_a_formula_or_ends_a_cell(tmp_path, monkeypatch):
    """In spreadsheets, also those of countries where a semicolon stands between cells."""
    names = ["=1+1.jpg", "+1.jpg", "-1.jpg", "@SUM(1).jpg", "\t=1.jpg", "a;=1.jpg", "\uff1d1.jpg"]
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    for name in names:
        Path(name).touch()
    work(Path(), tmp_path / "OUT.csv", 2)
    rows = read(tmp_path / "OUT.csv")[1:]
    assert {os.path.normpath(row[0]) for row in rows} == set(names)
    assert {row[0][0] for row in rows} == {".", "a"}
    assert '\n"a;=1.jpg",' in (tmp_path / "OUT.csv").read_text()
    assert '\n"./\t=1.jpg",' in (tmp_path / "OUT.csv").read_text()


def test_files_that_come_and_go_between_two_runs(photos, tmp_path):
    table = tmp_path / "OUT.csv"
    done = work(photos, table, 1, stop_after=6)
    done[0].unlink()
    (photos / "0.jpg").touch()
    work(photos, table, 2)
    rows = [Path(row[0]) for row in read(table)[1:]]
    assert done[0] in rows
    assert photos / "0.jpg" == rows[0]
    assert len(set(rows)) == 29


def test_a_file_that_comes_after_its_part_was_finished_is_asked_for(photos, tmp_path):
    table = tmp_path / "OUT.csv"
    late = next(path for n in range(9) if Part(1, 2).number_of(File(path := photos / f"0{n}.jpg", path)) == 1)
    lacks = "of 2 parts not finished: "
    for number, reason in ((1, lacks + "2"), (2, lacks + "1"), (1, "")):
        (part,) = begun(photos, table, number, count=2)
        part.write(texts(part.todo(), []))
        assert part.finish(iter) == reason
        late.touch()
    assert_whole(table, photos)


def test_no_part_is_much_larger_than_another(tmp_path):
    Path("in").mkdir()
    for n in range(800):
        Path("in", f"{n:07}.jpg").touch()
    for count in (2, 3, 8):
        parts = [
            Parts(tmp_path / "x", COLUMNS, Listing([Path("in")]), Part(k + 1, count)) for k in range(count)
        ]
        sizes = [len(list(part.todo())) for part in parts]
        assert sum(sizes) == 800
        assert max(sizes) < 1.3 * 800 / count


def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    peaks = []
    for folders in (3, 30):
        folder = Path(f"{folders}")
        for n in range(100 * folders):
            (folder / str(n // 100)).mkdir(parents=True, exist_ok=True)
            (folder / str(n // 100) / f"{n}.jpg").touch()
        table = tmp_path / f"{folders}.csv"
        tracemalloc.start()
        for part in begun(folder, table, 1, 2, count=2) + begun(folder, table, 1, count=1):
            part.write(texts(part.todo(), deque(maxlen=1)))
        assert part.finish(iter) == ""
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0], peaks


def test_of_processes_that_begin_at_once_one_sets_the_options(photos, tmp_path):
    def begin(number):
        parts = Parts(tmp_path / "OUT.csv", COLUMNS, Listing([photos]), Part())
        try:
            return parts.begin({"n": number % 2}, resume=True)
        except DataInvalid as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(begin, range(8)))
    for same in (results[::2], results[1::2]):
        assert same == [True] * 4 or all("other options: n was" in text for text in same)
    assert results.count(True) == 4
    assert sorted(os.listdir(tmp_path)) == ["OUT.csv.parts", "in"]


def test_only_one_process_joins_and_another_when_that_is_killed(photos, tmp_path):
    table = tmp_path / "OUT.csv"
    one, two = begun(photos, table, 1, 2, count=2)
    for part in (one, two):
        part.write(texts(part.todo(), []))
    one.finish(iter)

    def killed(rows):
        yield next(rows)
        waiting.append(pool.submit(one.finish, iter))
        time.sleep(0.2)
        assert not waiting[0].done() and not table.exists()
        raise Killed

    waiting = []
    with ThreadPoolExecutor(1) as pool, pytest.raises(Killed):
        two.finish(killed)
    assert waiting[0].result() == ""
    assert_whole(table, photos)


def test_two_that_end_at_once_leave_one_whole_table(photos, tmp_path):
    """On one part, where the file system has no locks to keep the second from beginning."""
    table = tmp_path / "OUT.csv"
    for _ in range(10):
        table.unlink(missing_ok=True)
        parts = begun(photos, table, 1, 1, 1, count=1)
        for part in parts:
            part.write(texts(part.todo(), []))
        with ThreadPoolExecutor(3) as pool:
            finished = list(pool.map(lambda part: part.finish(iter), parts))
        assert sorted(finished) == ["", *["another process has written the table"] * 2]
        assert_whole(table, photos)


def test_a_process_that_ends_late_spoils_nothing(photos, tmp_path):
    """While it still wrote, the table was finished without it, and another run begun."""
    table = tmp_path / "OUT.csv"
    one, two = begun(photos, table, 1, 2, count=2)
    one.write(texts(one.todo(), []))
    work(photos, table, 1)
    assert one.finish(iter).startswith("another process")
    assert_whole(table, photos)
    assert not one.begin({}, resume=True)

    table.unlink()
    (new,) = begun(photos, table, 1, count=1)
    new.write(texts(new.todo(), []))
    assert one.finish(iter).startswith("another process")
    assert two.finish(iter).startswith("another process")
    assert new.finish(iter) == ""
    assert_whole(table, photos)


def test_which_part_is_this_process(monkeypatch):
    assert Part.parse(None) == Part(1, 1)
    assert Part.parse("3/8") == Part(3, 8)
    for name, value in {"RANK": "3", "WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    assert Part.parse(None) == Part(4, 8)
    for text in ("0/8", "9/8", "3", "3/8/2", "-1/2"):
        with pytest.raises(DataInvalid, match="expected K/N"):
            Part.parse(text)
