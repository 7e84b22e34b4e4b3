"""Every odd photo that people have becomes upright BGR uint8, or an error that says what is wrong."""

import os
import re
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps
from video_support import write_video

from fer.errors import DataInvalid, DataMissing
from fer.files import PHOTOS, VIDEOS
from fer.photos import reading
from fer.photos.reading import read_image, read_photo, read_video

RED_BGR = (0, 0, 255)


def halves(left=(255, 0, 0), right=(0, 0, 255)):
    """An RGB image (16, 32), left red and right blue."""
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16], pixels[:, 16:] = left, right
    return Image.fromarray(pixels)


@pytest.mark.parametrize("orientation", range(10))
def test_photos_come_upright_as_bgr(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    with Image.open(tmp_path / "a.png") as expected:
        np.testing.assert_array_equal(image[:, :, ::-1], ImageOps.exif_transpose(expected))


def test_an_unusable_exif_block_is_no_damage(tmp_path):
    halves().save(tmp_path / "a.png", exif=b"\0\x08\0\x02\x01\x12\0\x03")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[:, :, ::-1], halves())


def test_photos_do_not_choose_their_decoder(tmp_path):
    """Pillow starts Ghostscript for an EPS, whatever the name of its file."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", format="EPS")
    with pytest.raises(DataInvalid, match="no photo of a kind known"):
        read_image(tmp_path / "a.jpg")
    assert {Image.registered_extensions()[ending] for ending in PHOTOS} | {"DIB"} == set(reading.FORMATS)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("read", [read_image, lambda path: next(read_video(path))])
def test_only_files_are_read(tmp_path, read):
    """A pipe may keep its reader waiting for ever."""
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", ""):
        with pytest.raises(DataInvalid, match="folder, pipe or device; expected a file"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("orientation", "shape", "red"), [(1, (300, 400), (40, 25)), (6, (400, 300), (25, 40))]
)
def test_a_large_jpeg_is_read_upright_at_reduced_size(tmp_path, orientation, shape, red):
    exif = Image.Exif()
    exif[0x0112] = orientation
    halves().resize((400, 300)).save(tmp_path / "a.jpg", exif=exif)
    photo = read_photo(tmp_path / "a.jpg", 99)
    assert (photo.factor, photo.shape) == (4, shape)
    assert photo.image.shape == (shape[0] // 4, shape[1] // 4, 3)
    np.testing.assert_allclose(photo.image[red], RED_BGR, atol=3)
    for at_least, factor in {50: 8, 51: 4, 100: 4, 101: 2, 201: 1, 5000: 1}.items():
        photo = read_photo(tmp_path / "a.jpg", at_least)
        assert max(photo.image.shape) == 400 / factor and photo.factor == factor
    np.testing.assert_array_equal(photo.image, read_image(tmp_path / "a.jpg"))


def test_no_size_is_too_odd_to_be_reduced(tmp_path):
    """JPEGs are reduced in blocks: 1003 pixels to 126."""
    for width, height in ((1003, 1001), (1003, 3), (3, 1003), (1, 1)):
        Image.new("RGB", (width, height), (255, 0, 0)).save(tmp_path / "a.jpg")
        photo = read_photo(tmp_path / "a.jpg", 100)
        expected = [-(-side // photo.factor) for side in (height, width)]
        assert [*photo.image.shape] == [*expected, 3] and photo.shape == (height, width)


def test_only_jpegs_have_any_number_of_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's own, beyond which it warns and then raises
    monkeypatch.setattr(reading, "MOST_PIXELS", 120_000)
    names = ("a.jpg", "progressive.jpg", "a.png")
    with warnings.catch_warnings(action="error"):
        for name, side in ((name, side) for name in names for side in (300, 400, 3000)):
            Image.new("RGB", (side, 300)).save(tmp_path / name, progressive=name == "progressive.jpg")
            if side == 300:
                assert read_image(tmp_path / name).shape == (300, 300, 3)
            elif name == "a.jpg":
                assert read_photo(tmp_path / name).factor == {400: 1, 3000: 4}[side]
                assert read_photo(tmp_path / name, 10).factor == 8
            elif side > 400:
                with pytest.raises(DataInvalid, match=r"has 1 million pixels; .* Save a smaller copy"):
                    read_photo(tmp_path / name, 10)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_photos_of_other_kinds_are_read_whole(tmp_path):
    halves().resize((400, 300)).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png", 50)
    assert photo.image.shape == (300, 400, 3) and photo.factor == 1


def test_transparency_is_laid_on_white(tmp_path):
    image = halves().convert("RGBA")
    image.putalpha(Image.fromarray(np.repeat(np.uint8([[255, 0]]), 16, 1).repeat(16, 0)))
    image.save(tmp_path / "rgba.png")
    image.convert("LA").save(tmp_path / "la.png")
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "p.png", transparency=1)
    assert tuple(read_image(tmp_path / "rgba.png")[8, 4]) == RED_BGR
    assert (read_image(tmp_path / "rgba.png")[:, 16:] == 255).all()
    assert (read_image(tmp_path / "la.png")[:, 16:] == 255).all()
    assert (read_image(tmp_path / "p.png") == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB"])
def test_modes_become_bgr(tmp_path, mode):
    grey = Image.new("RGB", (8, 8), (255, 255, 255))
    if mode == "LAB":
        image = Image.merge("LAB", [Image.new("L", (8, 8), v) for v in (255, 128, 128)])
    else:
        image = grey.convert(mode)
    path = tmp_path / ("a.jpg" if mode in ("CMYK", "YCbCr") else "a.tif" if mode == "LAB" else "a.png")
    image.save(path)
    pixels = read_image(path)
    assert pixels.shape == (8, 8, 3)
    assert pixels.min() >= 254


@pytest.mark.parametrize(
    ("pixels", "name", "expected"),
    [
        (np.uint16([[0, 32768, 65535]]), "a.png", [0, 128, 255]),
        (np.uint16([[0, 32768, 65535]]), "a.tif", [0, 128, 255]),
        (np.float32([[0, 0.5, 1]]), "a.tif", [0, 128, 255]),
        (np.float32([[0, 100, 255]]), "a.tif", [0, 100, 255]),
        (np.int32([[0, 100, 255]]), "a.tif", [0, 100, 255]),
    ],
)
def test_deep_pictures_are_brought_to_8_bits(tmp_path, pixels, name, expected):
    """Pillow's own conversion clips 16 bits to white."""
    Image.fromarray(pixels).save(tmp_path / name)
    assert read_image(tmp_path / name)[0, :, 1].tolist() == expected


def test_the_first_picture_of_an_animation_counts(tmp_path):
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert tuple(read_image(tmp_path / "a.gif")[4, 4]) == RED_BGR


def test_broken_files_say_what_is_wrong(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture at all")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    for ending in ("jpg", "png", "webp", "tif", "gif", "bmp"):
        whole = tmp_path / f"whole.{ending}"
        noise.save(whole)
        (tmp_path / f"cut.{ending}").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        for at_least in (None, 8):
            with pytest.raises(DataInvalid, match=f"cut.{ending}"):
                read_photo(tmp_path / f"cut.{ending}", at_least)
    for name, message in {
        "empty.jpg": "0 bytes",
        "text.jpg": "no photo of a kind known",
        "phone.heic": "Save it as JPEG",
    }.items():
        with pytest.raises(DataInvalid, match=message):
            read_image(tmp_path / name)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")  # of damaged EXIF
@pytest.mark.parametrize("name", ["a.avif", "turned.jpg", "a.png", "a.webp", "a.gif"])
def test_whatever_byte_is_wrong(tmp_path, name):
    """Pillow's plugins raise nearly anything."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0  # orientation, make, resolution
    halves().resize((8, 4)).save(tmp_path / name, **({} if name == "a.gif" else {"exif": exif}))
    data, refused = (tmp_path / name).read_bytes(), 0
    for place in range(len(data)):
        broken = tmp_path / f"broken-{name}"
        broken.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            assert read_image(broken).dtype == np.uint8
        except DataInvalid as error:
            refused += 1
            assert f"broken-{name}" in str(error)
    assert refused > 10


def test_video_frames_come_numbered_and_timed(tmp_path):
    frames = list(read_video(write_video(tmp_path / "a.mp4")))
    assert [number for number, _, _ in frames] == list(range(6))
    assert [time_s for _, time_s, _ in frames] == pytest.approx([k / 10 for k in range(6)])
    assert frames[0][2].shape == (32, 64, 3)
    assert [int(image[16, 8, 0]) for _, _, image in frames] == pytest.approx(
        [240 - 16 * k for k in range(6)], abs=6
    )


@pytest.mark.parametrize("ending", ["ts", "h264", "asf", "mxf"])
def test_rarer_kinds_of_videos_are_read(tmp_path, ending):
    codec = "libx264" if ending == "h264" else "mpeg2video"
    path = write_video(tmp_path / f"a.{ending}", codec=codec, rate=25)
    assert path.suffix in VIDEOS and len(list(read_video(path))) == 6


def test_video_rotation_is_applied(tmp_path):
    """As players and cv2.VideoCapture do."""
    import cv2

    path = write_video(tmp_path / "a.mp4", rotation=90)
    image = next(read_video(path))[2]
    assert image.shape == (64, 32, 3)
    np.testing.assert_allclose(
        image[[8, 56], 16], cv2.VideoCapture(str(path)).read()[1][[8, 56], 16], atol=12
    )


def test_a_title_may_be_in_any_encoding(tmp_path):
    path = write_video(tmp_path / "a.avi", title="TITLE")
    data = path.read_bytes()
    assert data.count(b"TITLE") == 1
    path.write_bytes(data.replace(b"TITLE", b"T\xeeTL\xc9"))  # Latin-1
    assert len(list(read_video(path))) == 6


def test_broken_videos_say_what_is_wrong(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video at all")
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    for name in ("text.mp4", "cut.mp4"):
        with pytest.raises(
            DataInvalid, match=f"{name}: the video cannot be read from the start.*Copy it again"
        ):
            list(read_video(tmp_path / name))
    with pytest.raises(DataMissing, match=r"There is no photo or video .*absent\.mp4"):
        list(read_video(tmp_path / "absent.mp4"))


@pytest.mark.parametrize(
    ("ending", "codec"), [("avi", "mpeg4"), ("mkv", "libx264"), ("webm", "libvpx"), ("mp4", "mpeg4")]
)
def test_a_video_that_was_cut_off_gives_its_frames_and_says_so(tmp_path, ending, codec):
    data = write_video(tmp_path / f"whole.{ending}", frames=60, codec=codec, movflags="faststart")
    data = data.read_bytes()
    cut, numbers = tmp_path / f"cut.{ending}", []
    cut.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(
        DataInvalid, match=rf"cut\.{ending}: .* after (\d+) frames, \d+ of 60 .* missing.*ffmpeg"
    ):
        for frame in read_video(cut):
            numbers.append(frame.number)
    assert numbers == list(range(len(numbers))) and 10 < len(numbers) < 54


def test_a_video_whose_frames_come_unevenly_is_not_called_cut_off(tmp_path):
    """Matroska does not count frames: a header that promises 60 a second is all that there is."""
    assert len(list(read_video(write_video(tmp_path / "a.mkv", frames=30, rate=60, step=6)))) == 30


def test_a_wrong_rate_makes_no_more_frames_missing(tmp_path):
    data = write_video(tmp_path / "a.mkv", frames=60, rate=60, step=6).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(DataInvalid, match="frames are missing") as error:
        list(read_video(cut))
    assert 50 < int(re.search(r" of (\d+) frames", str(error.value))[1]) < 70


def test_a_photo_that_is_not_there(tmp_path):
    with pytest.raises(DataMissing, match=r"There is no photo or video .*nowhere\.jpg"):
        read_image(tmp_path / "nowhere.jpg")
