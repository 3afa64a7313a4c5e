"""Image files read as squares, folders of classes, and files that are not images."""

import importlib.util
import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

from bitnet import InputError, load_dataset
from bitnet.data import image_folder, read_image, read_images_of
from bitnet.data.image_folder import read_image_folder

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

RNG = np.random.default_rng(0)


def picture(height=32, width=32, channels=3):
    return RNG.integers(0, 256, (height, width, channels)[: 2 + (channels > 1)], dtype=np.uint8)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("ending", ["png", "bmp", "ppm", "webp"])
def test_a_square_of_the_right_size_comes_as_it_is(tmp_path, ending):
    pixels = picture()
    options = {"lossless": True} if ending == "webp" else {}
    path = save(tmp_path / f"a.{ending}", pixels, **options)
    assert np.array_equal(read_image(path, 32), pixels)


def test_grey_and_colours(tmp_path):
    grey = picture(channels=1)
    path = save(tmp_path / "a.png", grey)
    assert np.array_equal(read_image(path, 32, channels=1), grey)
    assert np.array_equal(read_image(path, 32), np.repeat(grey[..., None], 3, axis=2))
    colours = picture()
    path = save(tmp_path / "b.png", colours)
    expected = colours @ np.array([0.299, 0.587, 0.114])  # luma
    assert np.abs(read_image(path, 32, channels=1) - expected).max() <= 1


@pytest.mark.parametrize("size", [(50, 32), (32, 51), (33, 32)])
def test_the_middle_square_is_taken(tmp_path, size):
    pixels = picture(*size)
    top, left = (size[0] - 32) // 2, (size[1] - 32) // 2
    path = save(tmp_path / "a.png", pixels)
    assert np.array_equal(read_image(path, 32), pixels[top : top + 32, left : left + 32])


def test_scaling_keeps_the_mean_and_no_axis_is_swapped(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32, :, 0], pixels[:, :32, 1] = 200, 100
    small = read_image(save(tmp_path / "a.png", pixels), 8)
    assert small[:3, :, 0].min() == 200
    assert small[5:, :, 0].max() == 0
    assert small[:, :3, 1].min() == 100
    assert abs(small.mean() - pixels.mean()) < 1
    assert read_image(save(tmp_path / "b.png", pixels), 100).shape == (100, 100, 3)


def test_a_very_long_picture_needs_little_memory(tmp_path):
    path = save(tmp_path / "a.png", np.full((1, 1_000_000), 7, np.uint8))
    assert np.array_equal(read_image(path, 16, channels=1), np.full((16, 16), 7))


def test_jpeg_is_close(tmp_path):
    pixels = np.full((40, 40, 3), (200, 100, 50), np.uint8)
    assert np.abs(read_image(save(tmp_path / "a.jpg", pixels), 32) - [200.0, 100, 50]).max() < 4


def test_what_is_transparent_is_white(tmp_path):
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:16, :, 3] = 255
    image = read_image(save(tmp_path / "a.png", pixels), 32)
    assert (image[:16].max(), image[16:].min()) == (0, 255)


def test_16_bits_are_scaled_and_not_clipped(tmp_path):
    deep = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 64
    for ending in ("png", "pgm"):
        path = save(tmp_path / f"a.{ending}", deep)
        assert np.array_equal(read_image(path, 32, channels=1), deep >> 8)


def test_a_picture_is_turned_as_its_camera_notes(tmp_path):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    image = read_image(save(tmp_path / "a.png", pixels, exif=exif), 32)
    assert image[:, -1].min() == 255
    assert image[:, :-1].max() == 0


def png(width, height, rows):
    """Return a grey PNG file with a stated size and these bytes of pixels."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable picture"),
        (b"not a picture", "not a readable picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a readable picture"),
        (b"P5 10000 10000 255 ", "10000 x 10000 pixels"),
        (b"P5 4 4 255 " + bytes(15), "damaged"),
        (b"P5 0 4 255 ", "not a readable picture"),
        (png(60_000, 60_000, bytes(100)), "decompression bomb"),
        (png(8193, 8193, bytes(100)), "8193 x 8193 pixels"),
        (png(40, 40, bytes(100)), "damaged"),
        (png(4, 4, bytes(20))[:-30], "damaged"),
        (png(0, 4, b""), "not a readable picture"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path, content, message, recwarn):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"broken.png: .*{message}"):
        read_image(path, 32)
    assert not recwarn


def test_a_file_that_is_too_large_is_not_opened(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", picture())
    monkeypatch.setattr(image_folder, "MAX_FILE", 100)
    with pytest.raises(InputError, match="expected at most 100"):
        read_image(path, 32)


@pytest.mark.parametrize(
    ("size", "channels", "message"),
    [
        (0, 3, "size is 0"),
        (5000, 3, "1 to 4096"),
        (2.0, 3, "whole number"),
        (True, 3, "whole"),
        ("32", 3, "whole number"),
        (32, 2, "expected 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(tmp_path, size, channels, message):
    with pytest.raises(InputError, match=message):
        read_image(save(tmp_path / "a.png", picture()), size, channels)


def test_without_pillow_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install pillow"):
        read_image("a.png", 32)


def test_one_file_or_a_flat_folder(tmp_path):
    pictures = {name: picture(size, 40) for name, size in (("b.png", 32), ("A.PNG", 50))}
    for name, pixels in pictures.items():
        save(tmp_path / name, pixels)
    save(tmp_path / "deeper" / "c.png", picture())
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_text("no picture")
    paths, images = read_images_of(tmp_path, 32)
    assert [path.name for path in paths] == ["A.PNG", "b.png"]
    assert np.array_equal(images[1], read_image(tmp_path / "b.png", 32))
    paths, images = read_images_of(tmp_path / "b.png", 16, channels=1)
    assert (paths, images.shape) == ([tmp_path / "b.png"], (1, 16, 16))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no pictures"):
        read_images_of(tmp_path / "empty", 32)
    with pytest.raises(FileNotFoundError):
        read_images_of(tmp_path / "missing.png", 32)


def fill(root, part, **counts):
    for name, count in counts.items():
        for i in range(count):
            save(root / part / name / f"{i}.png", picture())


@pytest.mark.parametrize("test_part", ["val", "test"])
def test_a_folder_of_classes_is_a_data_set(tmp_path, test_part):
    fill(tmp_path, "train", dog=2, cat=3)
    fill(tmp_path, test_part, dog=1, cat=1)
    (tmp_path / "train" / "list.txt").write_text("")
    dataset = load_dataset("folder", folder=tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset.train_images.shape == (5, 32, 32, 3)
    assert dataset.train_labels.tolist() == [0, 1, 0, 1, 0]  # all classes among the last ones too
    assert dataset.test_labels.tolist() == [0, 1]
    one = read_image(tmp_path / test_part / "dog" / "0.png", 32)
    assert np.array_equal(dataset.test_images[1], one)
    grey = load_dataset("folder", folder=str(tmp_path), size=20, channels=1)
    assert grey.train_images.shape == (5, 20, 20)
    assert grey.with_channels().test_images.shape == (2, 20, 20, 1)


def test_val_comes_before_test_as_in_imagenet(tmp_path):
    fill(tmp_path, "train", cat=1)
    fill(tmp_path, "val", cat=2)
    (tmp_path / "test").mkdir()
    assert len(load_dataset("folder", folder=tmp_path).test_images) == 2


def test_more_than_256_classes(tmp_path):
    for part in ("train", "val"):
        fill(tmp_path, part, **{f"class_{i:03}": 1 for i in range(257)})
    data = read_image_folder(tmp_path, size=1, channels=1)
    assert data["train_labels"].tolist() == list(range(257))
    assert len(data["classes"]) == 257


def test_folders_that_are_no_data_set_are_refused(tmp_path, monkeypatch):
    def message():
        with pytest.raises(InputError) as caught:
            read_image_folder(tmp_path)
        return str(caught.value)

    assert "no folder train and no folders of classes" in message()
    fill(tmp_path, "train", cat=1)
    assert "no folder val or test in it" in message()
    (tmp_path / "val").mkdir()
    assert "0 folders in it" in message()
    fill(tmp_path, "val", dog=1)
    assert "the class 'dog' is in val and not in train" in message()
    (tmp_path / "val" / "dog").rename(tmp_path / "val" / "cat")
    assert read_image_folder(tmp_path)["classes"] == ("cat",)
    monkeypatch.setattr(image_folder, "MAX_BYTES", 3000)
    assert "1 images of 32x32x3 need 3072 bytes; expected at most 3000" in message()
    (tmp_path / "train" / "cat" / "0.png").write_bytes(b"broken")
    monkeypatch.undo()
    assert "train/cat/0.png: not a readable picture" in message()
    (tmp_path / "train" / "cat" / "0.png").unlink()
    assert "train/cat: no pictures in it" in message()


MODES = {
    "L": lambda grey: grey,
    "RGB": lambda grey: np.stack([grey, grey // 2, 255 - grey], -1),
    "RGBA": lambda grey: np.stack([grey, grey // 2, 255 - grey, grey], -1),
    "LA": lambda grey: np.stack([grey, 255 - grey], -1),
    "I;16": lambda grey: grey.astype(np.uint16) << 8,
}


def turned(grey, mode, orientation, ending="png"):
    """Return the bytes of a picture that states an orientation."""
    exif = Image.Exif()
    exif[0x112] = orientation
    options = {"lossless": True, "exact": True} if ending == "webp" else {}
    stream = io.BytesIO()
    Image.fromarray(MODES[mode](grey)).save(stream, ending, exif=exif, **options)
    return stream.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("mode", "ending"), [*((mode, "png") for mode in MODES), ("RGBA", "webp"), ("RGB", "webp")]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_every_mode_are_turned(tmp_path, mode, ending, orientation, channels):
    turn = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.T,
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].T,
        8: lambda x: np.rot90(x),
    }[orientation]
    grey = picture(9, 9, 1)
    (tmp_path / "a").write_bytes(turned(grey, mode, orientation, ending))
    (tmp_path / "b").write_bytes(turned(np.ascontiguousarray(turn(grey)), mode, 1, ending))
    found, expected = (read_image(tmp_path / name, 9, channels) for name in "ab")
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 3])
def test_strips_do_not_change_a_pixel(tmp_path, monkeypatch, mode, channels):
    path = tmp_path / "a.png"
    path.write_bytes(turned(picture(40, 40, 1), mode, 6))
    whole = read_image(path, 33, channels)
    monkeypatch.setattr(image_folder, "STRIP", 90)
    assert np.array_equal(read_image(path, 33, channels), whole)


def test_a_transparent_colour_of_a_palette_is_white(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "STRIP", 8)
    picture = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).convert("P")
    picture.save(tmp_path / "a.png", transparency=5)
    colours = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    colours.save(tmp_path / "b.png", transparency=(15, 16, 17))
    for name in ("a.png", "b.png"):
        pixels = read_image(tmp_path / name, 4)
        assert pixels[1, 1].tolist() == [255] * 3
        assert pixels[1, 2].max() < 30


def test_a_large_picture_of_a_small_file_needs_8_bytes_per_pixel(tmp_path):
    code = (
        "import resource, sys, numpy as np, PIL.Image\n"
        "from bitnet.data import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "read_image(sys.argv[1], 32)\n"
        "print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))\n"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("getrusage counts in KiB on Linux")
    side, path = 4000, tmp_path / "a.png"
    for mode in ("RGBA", "I;16", "LA"):
        Image.fromarray(MODES[mode](np.zeros((side, side), np.uint8))).save(path)
        out = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
        assert int(out.stdout) < 8 * side**2 + (40 << 20)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match="a device or a pipe; expected a picture"):
        read_image(tmp_path / "a.png", 4)


def test_a_folder_of_classes_is_split(tmp_path):
    """Every fifth picture of each class is for the test, and the same ones each time."""
    fill(tmp_path, ".", cat=10, dog=4)
    data = load_dataset("folder", folder=tmp_path, size=8)
    assert (len(data.train_images), len(data.test_images)) == (12, 2)
    assert data.test_labels.tolist() == [0, 0]
    assert data.classes == ("cat", "dog")
    assert data.notes == [
        "no test part: every fifth of the 14 is one",
        "the test part has no picture of dog",
    ]
    _, (paths, _), _ = image_folder.list_image_folder(tmp_path)
    assert [path.name for path in paths] == ["4.png", "9.png"]


def test_a_folder_of_classes_with_few_pictures_is_refused(tmp_path):
    fill(tmp_path, ".", cat=4, dog=4)
    with pytest.raises(InputError, match="fewer than 5 pictures in each class"):
        load_dataset("folder", folder=tmp_path)


def test_a_class_that_only_train_has(tmp_path):
    fill(tmp_path, "train", cat=2, dog=2, eel=1)
    fill(tmp_path, "val", dog=3)
    data = load_dataset("folder", folder=tmp_path, size=8)
    assert data.classes == ("cat", "dog", "eel")
    assert data.test_labels.tolist() == [1, 1, 1]
    assert data.notes == ["the test part has no picture of cat, eel"]


@pytest.mark.parametrize("ending", ["tif", "tiff", "jfif", "JFIF"])
def test_more_suffixes(tmp_path, ending):
    kind = "JPEG" if "jf" in ending.lower() else "TIFF"
    pixels = picture(9, 9, 3)
    Image.fromarray(pixels).save(tmp_path / f"a.{ending}", kind)
    paths, images = image_folder.read_images_of(tmp_path, 9)
    assert [path.name for path in paths] == [f"a.{ending}"]
    if kind == "TIFF":
        assert np.array_equal(images[0], pixels)


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "IMG_1.heif", "a.avif"])
def test_pictures_of_phones_that_pillow_lacks_are_not_skipped(tmp_path, name):
    """A folder with other pictures too would otherwise train without them, silently."""
    fill(tmp_path, ".", cat=5, dog=5)
    (tmp_path / "dog" / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    with pytest.raises(InputError, match=rf"{name}: .* are not read; convert them to JPEG"):
        load_dataset("folder", folder=tmp_path)


def test_a_heic_picture_by_another_name(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    with pytest.raises(InputError, match=r"a\.jpg: a HEIC or AVIF picture"):
        read_image(tmp_path / "a.jpg", 8)


def test_float_pixels_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif: float pixels; expected 8 or 16 bits"):
        read_image(tmp_path / "a.tif", 4)


@pytest.mark.parametrize(
    ("most", "words"),
    [
        (4095, ["from 3 to 4095, which 12 bits hold", "multiply them by 16 first"]),
        (1023, ["from 3 to 1023, which 10 bits hold", "multiply them by 64 first"]),
        (65535, ["from 3 to 65535; the upper 8 bits are taken"]),
    ],
)
def test_the_span_of_16_bits_is_noted(tmp_path, most, words):
    fill(tmp_path, ".", cat=5, dog=5)
    pixels = np.full((8, 8), 3, np.uint16)
    Image.fromarray(pixels).save(tmp_path / "cat" / "0.png")
    pixels[4, 4] = most
    Image.fromarray(pixels).save(tmp_path / "dog" / "0.png")
    note = load_dataset("folder", folder=tmp_path, size=8).notes[0]
    assert note.startswith("some pictures have 16 bits per pixel, with values ")
    assert all(word in note for word in words)
