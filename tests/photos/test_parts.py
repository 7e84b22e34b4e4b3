"""A table in parts: whatever is cut off, and however many go on, each file is there once and in order."""

import csv
import errno
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fer.errors import DataInvalid, DataMissing
from fer.photos import parts as parts_module
from fer.photos.listing import Listing
from fer.photos.parts import Parts, Process, write_row

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


def begin_together(parts, resume=True):
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(lambda part: part.begin({}, resume), parts))


def work(folder, table, world, stop_after=None, cut=None):
    """What ``world`` processes do; each may stop after so many files, and lose the end of its part."""
    parts = [Parts(table, COLUMNS, Listing([folder]), Process(rank, world)) for rank in range(world)]
    begin_together(parts)
    done = []
    for rank, part in enumerate(parts):
        with part.open() as file:
            for number, photo in enumerate(part.todo()):
                if number == stop_after:
                    break
                for row in expected_rows(photo.path):
                    write_row(file, row)
                done.append(photo.path)
        if cut is not None:
            file = part.folder / f"{rank}.csv"
            whole = file.read_bytes()
            file.write_bytes(whole[: cut % (len(whole) + 1)])
    if stop_after is None:
        order = random.Random(world).sample(parts, world)  # whichever comes last joins them
        assert [part.finish(iter) for part in order] == [False] * (world - 1) + [True]
    return done


@pytest.mark.parametrize("seed", range(20))
def test_stopped_and_cut_anywhere_by_any_number_of_processes(photos, tmp_path, seed):
    rng = random.Random(seed)
    table = tmp_path / "OUT.csv"
    for _ in range(4):
        work(photos, table, rng.randint(1, 5), rng.randint(1, 4), cut=rng.randrange(800))
    work(photos, table, rng.randint(1, 5))
    listing = [file.path for file in Listing([photos])]
    assert len(listing) == len(set(listing)) == 28
    assert read(table) == [list(COLUMNS), *(row for path in listing for row in expected_rows(path))]
    assert not (tmp_path / "OUT.csv.parts").exists()


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


def test_no_process_has_much_more_to_do_than_another(tmp_path):
    Path("in").mkdir()
    for n in range(800):
        Path("in", f"{n:07}.jpg").touch()
    for world in (2, 3, 8):
        parts = [
            Parts(tmp_path / "x", COLUMNS, Listing([Path("in")]), Process(k, world)) for k in range(world)
        ]
        counts = [len(list(part.todo())) for part in parts]
        assert sum(counts) == 800
        assert max(counts) < 1.3 * 800 / world


@pytest.mark.parametrize("when", ["at the end", "when it goes on"])
def test_a_full_disk_loses_nothing_and_says_how_to_go_on(photos, tmp_path, monkeypatch, when):
    table = tmp_path / "OUT.csv"
    done = work(photos, table, 2, stop_after=2)
    written = []

    def full(table, row):
        written.append(row)
        if len(written) > (1 if when == "when it goes on" else 30):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_row(table, row)

    message = r"csv cannot be written: No space left.*OUT\.csv\.parts.*--resume"
    with monkeypatch.context() as patch, pytest.raises(DataInvalid, match=message):
        patch.setattr(parts_module, "write_row", full)
        patch.setattr(parts_module, "PATIENCE_S", 2)  # of the second process, when the first could not begin
        work(photos, table, 2)
    assert not table.exists()
    work(photos, table, 2)
    listing = [file.path for file in Listing([photos])]
    assert set(done) <= set(listing)
    assert read(table) == [list(COLUMNS), *(row for path in listing for row in expected_rows(path))]


def test_a_folder_that_is_not_shared_is_noticed(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "PATIENCE_S", 0.3)
    for rank, message in (
        (0, "Process 1 of 2 did not come.*share"),
        (1, "Process 0 of 2 did not begin.*share"),
    ):
        with pytest.raises(DataMissing, match=message):
            Parts(tmp_path / "OUT.csv", COLUMNS, Listing([photos]), Process(rank, 2)).begin({}, resume=False)
    assert not (tmp_path / "OUT.csv").exists()


def test_a_process_of_an_earlier_run_that_ends_late_spoils_nothing(photos, tmp_path):
    """Its sister was killed, and the run begun anew, while it was still writing."""
    table = tmp_path / "OUT.csv"
    late, _ = earlier = [Parts(table, COLUMNS, Listing([photos]), Process(k, 2)) for k in range(2)]
    begin_together(earlier)
    with late.open() as part:
        two = [Parts(table, COLUMNS, Listing([photos]), Process(k, 2)) for k in range(2)]
        begin_together(two)
        for row in (row for photo in late.todo() for row in expected_rows(photo.path)):
            write_row(part, row)
    assert not late.finish(iter)
    for part in two:
        with part.open() as file:
            for row in (row for photo in part.todo() for row in expected_rows(photo.path)):
                write_row(file, row)
        assert part.finish(iter) == (part is two[1])
    listing = [file.path for file in Listing([photos])]
    assert read(table) == [list(COLUMNS), *(row for path in listing for row in expected_rows(path))]


def test_the_environment_says_which_process_this_is(monkeypatch):
    assert Process.from_environment() == Process(0, 1, 1)
    for name, value in {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert Process.from_environment() == Process(3, 8, 4)
    assert Process(local=10**6).cores == 1
