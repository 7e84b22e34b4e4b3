"""Which files are worked on, and in which order."""

import os
from collections import Counter
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

import pytest

from fer.errors import DataInvalid, DataMissing
from fer.photos.listing import Listing
from fer.photos.reading import read_image


@pytest.fixture
def tree(tmp_path, monkeypatch):
    names = (
        "b.jpg",
        "a.jpg",
        "a/z.png",
        "a/b/1.mp4",
        "a/b/2.HEIC",
        "a-b/x.jpg",
        "a/notes.txt",
        "a/.hidden.jpg",
        "a/.thumbnails/z.png",
        "a/@eaDir/z.png/SYNOPHOTO_THUMB_S.jpg",
        "a/faces.thumbnails/0.jpg",
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected", "others"),
    [
        (["."], "a.jpg b.jpg a/z.png a/b/1.mp4 a/b/2.HEIC a-b/x.jpg", 2),
        (["a/b", "."], "a/b/1.mp4 a/b/2.HEIC a.jpg b.jpg a/z.png a-b/x.jpg", 2),
        ([".", "a/b", "."], "a.jpg b.jpg a/z.png a/b/1.mp4 a/b/2.HEIC a-b/x.jpg", 2),
        (["a", "b.jpg", "a/z.png", "a/z.png"], "a/b/1.mp4 a/b/2.HEIC b.jpg a/z.png", 2),
        (["a/notes.txt", "a"], "a/notes.txt a/z.png a/b/1.mp4 a/b/2.HEIC", 2),
        (["b.jpg"], "b.jpg", 0),
    ],
)
def test_each_file_once_and_in_order(tree, given, expected, others):
    listing = Listing([Path(name) for name in given])
    files = [file.path for file in listing]
    assert sorted(map(str, files)) == sorted(expected.split())
    assert [listing.key(path) for path in files] == sorted({listing.key(path) for path in files})
    folders = 0 if given == ["b.jpg"] else 3
    assert listing.count() == Counter({"files": len(files), "other files": others, "folders": folders})


def test_a_folder_comes_as_its_files_then_its_subfolders(tree):
    assert [str(file.path) for file in Listing([Path()])] == [
        "a.jpg",
        "b.jpg",
        "a/z.png",
        "a/b/1.mp4",
        "a/b/2.HEIC",
        "a-b/x.jpg",
    ]


def test_a_folder_can_be_left_out(tree):
    files = {
        str(file.path): str(file.inner) for file in Listing([Path("a"), Path("a-b/x.jpg")], [Path("a/b")])
    }
    assert files == {"a/z.png": "z.png", "a-b/x.jpg": "x.jpg"}


def test_thumbnails_and_hidden_folders_are_searched_only_if_that_is_asked(tree):
    names = [".", "a/.thumbnails", "a/@eaDir/z.png"]
    listing = Listing([Path(name) for name in names])
    files = [file.path for file in listing]
    assert {"a/.thumbnails/z.png", "a/@eaDir/z.png/SYNOPHOTO_THUMB_S.jpg"} < set(map(str, files))
    assert [listing.key(path) for path in files] == sorted(listing.key(path) for path in files)
    assert listing.count()["folders"] == 2  # one of thumbnails, and @eaDir but for what is given of it


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="Windows has other permissions")
@pytest.mark.parametrize("mode", [0o644, 0o311])
def test_a_folder_that_cannot_be_searched_is_an_error_of_its_own(mode):
    with TemporaryDirectory() as folder:  # a tmp_path could be reached by its owner alone
        closed, me = Path(folder) / "b", os.geteuid()
        closed.mkdir()
        for path in (closed / "x.jpg", closed.with_name("a.jpg"), closed.with_name("c.jpg")):
            path.touch()
        closed.chmod(mode)
        os.chmod(folder, 0o755)
        try:
            if me == 0:
                os.seteuid(65534)  # the superuser may read everything
            files = [file.path for file in Listing([Path(folder)])]
            names = ["a.jpg", "c.jpg", "x.jpg" if mode == 0o644 else "*"]
            assert [path.name for path in files] == names
            with pytest.raises(DataInvalid, match=r"cannot be read \(Permission denied\)"):
                read_image(files[2])
            with pytest.raises(DataMissing, match="b cannot be read: Permission denied"):
                Listing([closed])
        finally:
            os.seteuid(me)
            closed.chmod(0o755)


def test_a_folder_that_vanishes_meanwhile_comes_as_an_error_in_its_place(tree):
    listing, files = Listing([Path()]), []
    for file in listing:
        files.append(file.path)
        if file.path.name == "z.png":  # its subfolder is known by now
            rmtree("a/b")
    assert list(map(str, files)) == ["a.jpg", "b.jpg", "a/z.png", "a/b/*", "a-b/x.jpg"]
    assert [listing.key(path) for path in files] == sorted(listing.key(path) for path in files)
    with pytest.raises(DataMissing, match=r"no photo or video a/b/\*"):
        read_image(files[3])
    walk = iter(listing)
    next(walk)
    rmtree(tree)
    with pytest.raises(DataMissing, match="cannot be read"):  # such as a disk that was pulled out
        list(walk)


def test_what_is_not_there(tree):
    with pytest.raises(DataMissing, match="no file or folder absent"):
        Listing([Path("a"), Path("absent")])
    with pytest.raises(KeyError):
        Listing([Path("a")]).key(Path("b.jpg"))


@pytest.mark.parametrize("given", [[".", "../a-b"], ["../a-b", "."], ["../a/../a-b", "b/..", "."]])
def test_a_folder_beside_this_one_is_no_part_of_it(tree, monkeypatch, given):
    monkeypatch.chdir(tree / "a")
    listing = Listing([Path(name) for name in given])
    files = [file.path for file in listing]
    assert sorted(path.name for path in files) == ["1.mp4", "2.HEIC", "x.jpg", "z.png"]
    assert [listing.key(path) for path in files] == sorted(listing.key(path) for path in files)
    assert listing.count() == {"files": 4, "other files": 2, "folders": 3}


def test_the_same_folder_spelled_in_two_ways_counts_once(tree):
    files = [str(file.path) for file in Listing([Path("a"), tree / "a", Path("a/../a/b")])]
    assert files == ["a/z.png", "a/../a/b/1.mp4", "a/../a/b/2.HEIC"]


def test_links_to_folders_are_followed_but_not_in_circles(tree):
    (tree / "a/link").symlink_to(tree / "a-b")
    (tree / "a/b/up").symlink_to(tree / "a")
    (tree / "a-b/back").symlink_to(tree / "a/b")
    listing = Listing([Path("a")])
    files = [str(file.path) for file in listing]
    there = ["a/z.png", "a/b/1.mp4", "a/b/2.HEIC", "a/link/x.jpg"]
    assert files == [*there, "a/link/back/1.mp4", "a/link/back/2.HEIC"]
    assert [listing.key(Path(name)) for name in files] == sorted(listing.key(Path(name)) for name in files)
