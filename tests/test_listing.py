"""Which files are worked on, and in which order."""

from pathlib import Path

import pytest

from fer.errors import DataMissing
from fer.listing import Listing


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
    files = {str(file.path): str(file.inner) for file in Listing([Path("a"), Path("a-b/x.jpg")], Path("a/b"))}
    assert files == {"a/z.png": "z.png", "a-b/x.jpg": "x.jpg"}


def test_what_is_not_there(tree):
    with pytest.raises(DataMissing, match="no file or folder absent"):
        Listing([Path("a"), Path("absent")])
    with pytest.raises(KeyError):
        Listing([Path("a")]).key(Path("b.jpg"))
