"""Which files are worked on, and in which order."""

from pathlib import Path

import pytest

from fer.errors import DataMissing
from fer.photos.listing import Listing


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
    assert listing.count() == (len(files), others)


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
    assert listing.count() == (4, 2)


def test_the_same_folder_spelled_in_two_ways_counts_once(tree):
    files = [str(file.path) for file in Listing([Path("a"), tree / "a", Path("a/../a/b")])]
    assert files == ["a/z.png", "a/b/1.mp4", "a/b/2.HEIC"]


def test_links_to_folders_are_followed_but_not_in_circles(tree):
    (tree / "a/link").symlink_to(tree / "a-b")
    (tree / "a/b/up").symlink_to(tree / "a")
    (tree / "a-b/back").symlink_to(tree / "a/b")
    listing = Listing([Path("a")])
    files = [str(file.path) for file in listing]
    there = ["a/z.png", "a/b/1.mp4", "a/b/2.HEIC", "a/link/x.jpg"]
    assert files == [*there, "a/link/back/1.mp4", "a/link/back/2.HEIC"]
    assert [listing.key(Path(name)) for name in files] == sorted(listing.key(Path(name)) for name in files)
