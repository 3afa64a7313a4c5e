"""Tests of decoding ahead: crops of known pixels, reproducibility and damaged files."""

import runpy
import threading
import warnings

import numpy as np
import pytest
from scripts import EXAMPLES

from bitnet import InputError

stream = runpy.run_path(str(EXAMPLES / "imagenet_stream.py"))
crop_image, image_batches = stream["crop_image"], stream["image_batches"]
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def numbered(folder, count, shape=(4, 6)):
    """Write pictures: the pixels of picture i are i, those of its left column 200."""
    paths = []
    for i in range(count):
        pixels = np.full(shape, i, np.uint8)
        pixels[:, 0] = 200
        paths.append(save(folder / f"{i:03}.png", pixels))
    return paths, np.arange(count)


@pytest.mark.parametrize("shape", [(8, 8), (8, 13), (11, 8)])
@pytest.mark.parametrize("at", [(0.0, 0.0), (0.5, 0.5), (0.999, 0.999), (0.2, 0.7)])
def test_a_crop_of_a_picture_of_the_right_size_is_its_pixels(tmp_path, shape, at):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    top, left = (int(u * (n - 5 + 1)) for u, n in zip(at, shape, strict=True))
    path = save(tmp_path / "a.png", pixels)
    crop = crop_image(path, 5, 8, at)
    assert np.array_equal(crop, pixels[top : top + 5, left : left + 5])


def test_the_shorter_side_is_scaled(tmp_path):
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 150:] = 200
    for ending in ("png", "jpg"):
        crop = crop_image(save(tmp_path / f"a.{ending}", pixels), 20, 20)
        assert crop.shape == (20, 20, 3)
        assert crop[:, :8].max() < 20
        assert crop[:, 12:].min() > 180
    grey = crop_image(tmp_path / "a.png", 10, 40, (0.0, 0.99), channels=1)
    assert grey.shape == (10, 10, 1)
    assert np.all(grey == 200)


def test_in_order_and_whole_without_a_generator(tmp_path):
    paths, labels = numbered(tmp_path, 7)
    passes = image_batches(paths, labels, 3, size=2, resize=4, channels=1)
    assert len(passes) == 3
    got = [(x[:, 0, 0, 0].tolist(), y.tolist()) for x, y in passes]
    assert got == [([0, 1, 2], [0, 1, 2]), ([3, 4, 5], [3, 4, 5]), ([6], [6])]


def flat(passes):
    return [(x.tobytes(), y.tolist()) for x, y in passes]


@pytest.mark.parametrize(("threads", "prefetch"), [(1, 1), (2, 3), (5, 9)])
def test_the_same_generator_gives_the_same_batches_and_the_rest_of_them(
    tmp_path, threads, prefetch
):
    paths, labels = numbered(tmp_path, 23)
    size = {"size": 3, "resize": 4, "channels": 1}
    expected = flat(image_batches(paths, labels, 4, np.random.default_rng(1), **size))
    ahead = {"threads": threads, "prefetch": prefetch}
    for start in (0, 1, 4, 5, 6):
        rng = np.random.default_rng(1)
        passes = image_batches(paths, labels, 4, rng, **size, **ahead, start=start)
        assert len(passes) == max(0, 5 - start)
        assert flat(passes) == expected[start:]
    again = image_batches(paths, labels, 4, rng, **size)
    assert flat(again) != expected  # the generator went on


def test_training_shuffles_cuts_and_mirrors(tmp_path):
    paths, labels = numbered(tmp_path, 60)
    rng = np.random.default_rng(2)
    ((images, got),) = image_batches(paths, labels, 60, rng, size=4, resize=4, channels=1)
    assert got.tolist() != sorted(got.tolist()) == list(range(60))
    assert np.array_equal(np.median(images, axis=(1, 2, 3)), got)
    columns = (images[:, 0, :, 0] == 200).sum(axis=0)  # the left column, where it is seen
    assert columns[0] > 3
    assert columns[3] > 3
    assert not columns[1:3].any()
    assert 60 - columns.sum() > 20  # two of three places do not see it


def test_a_damaged_picture_is_named_and_the_threads_end(tmp_path):
    paths, labels = numbered(tmp_path, 12)
    paths[7].write_bytes(paths[7].read_bytes()[:40])
    passes = iter(image_batches(paths, labels, 2, size=2, resize=4, channels=1))
    for _ in range(3):
        next(passes)
    with pytest.raises(InputError, match=r"007\.png: not a readable picture, or damaged"):
        next(passes)
    with pytest.raises(StopIteration):
        next(passes)
    some = iter(image_batches(paths, labels, 2, size=2, resize=4, channels=1))
    next(some)
    del some
    for thread in threading.enumerate():
        if thread.name.startswith("pictures"):
            thread.join(5)
            assert not thread.is_alive()


def test_warnings_are_as_before(tmp_path):
    paths, labels = numbered(tmp_path, 40)
    before = list(warnings.filters)
    flat(image_batches(paths, labels, 4, size=2, resize=4, channels=1, threads=4))
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 9}, "at most 4"),
        ({"resize": 0}, "from 1 to 4096"),
        ({"channels": 2}, "channels is 2"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": 257}, "threads is 257"),
        ({"prefetch": 0}, "prefetch is 0"),
        ({"start": -1}, "start is -1"),
        ({"labels": np.arange(2)}, "one integer label per picture"),
        ({"paths": [], "labels": np.arange(0)}, "at least one"),
        ({"rng": 5}, "numpy.random.Generator"),
        ({"rng": np.random.default_rng(0), "batch_size": 4}, "expected at most 3"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    given = {
        "paths": ["a", "b", "c"],
        "labels": np.arange(3),
        "batch_size": 1,
        "size": 2,
        "resize": 4,
    } | changed
    with pytest.raises(InputError, match=message):
        image_batches(**given)
