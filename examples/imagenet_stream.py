"""Decode pictures while a net trains on others, for data sets that do not fit into memory.

`imagenet_folder.py` takes its batches from here.

As in the authors' PyTorch code for ImageNet, the shorter side of each picture is scaled to 256
pixels.  Training uses a random square of 224 pixels, mirrored half of the time, and evaluation the
central square.  Threads decode in parallel, because Pillow releases Python's lock.
"""

import collections
import concurrent.futures

import numpy as np

from bitnet.data.image_folder import check_wanted, upright
from bitnet.devices import check_generator
from bitnet.errors import InputError, check_count

MAX_THREADS = 256


def crop_image(path, size=224, resize=256, at=(0.5, 0.5), channels=3):
    """Read a picture, scale its shorter side to `resize` pixels, and cut out a square of `size`.

    `at` is the relative position (down, right), each from 0 to below 1: of the n + 1 possible
    numbers of pixels above the square, `floor(at * (n + 1))` is used.  Returns uint8 pixels
    (size, size, channels).
    """
    _check_sizes(size, resize, channels)
    return _cropped(path, size, resize, at, channels)


def _check_sizes(size, resize, channels):
    """Refuse squares that are larger than the picture."""
    check_wanted(size, channels)
    check_wanted(resize, channels)
    if size > resize:
        raise InputError(f"size is {size} and resize {resize}; expected a size of at most {resize}")


def _cropped(path, size, resize, at, channels):
    """Do what `crop_image` does, without checks."""
    from PIL import Image

    with upright(path, channels, least=resize) as image:
        shorter = min(image.size)
        scaled = [max(resize, round(n * resize / shorter)) for n in image.size]  # width, height
        left, top = (int(u * (n - size + 1)) for u, n in zip(at[::-1], scaled, strict=True))
        scales = [n / to for n, to in zip(image.size, scaled, strict=True)]
        corners = left, top, left + size, top + size
        box = [scale * p for scale, p in zip(scales * 2, corners, strict=True)]
        pixels = np.array(image.resize((size, size), Image.Resampling.BILINEAR, box))
    return pixels.reshape(size, size, channels)


def image_batches(
    paths,
    labels,
    batch_size,
    rng=None,
    size=224,
    resize=256,
    channels=3,
    threads=2,
    prefetch=2,
    start=0,
):
    """Return one pass over picture files: batches of uint8 (B, size, size, channels) and labels.

    With a generator the pictures are shuffled, cropped at random and mirrored half of the time, and
    an incomplete last batch is dropped; everything is drawn when the pass begins.  Without a
    generator they come in order with central crops.  `threads` decode `prefetch` batches ahead.
    The first `start` batches are skipped without decoding: with the generator in its state before a
    pass, the result is the rest of that pass.
    """
    _check_sizes(size, resize, channels)
    labels = np.asarray(labels)
    if not len(paths) or labels.shape != (len(paths),) or labels.dtype.kind not in "iu":
        raise InputError(
            f"image_batches: {len(paths)} pictures and {labels.dtype} labels of shape "
            f"{labels.shape}; expected one integer label per picture, and at least one"
        )
    check_count("image_batches", batch_size=batch_size)
    check_count("image_batches", threads=threads, most=MAX_THREADS)
    check_count("image_batches", prefetch=prefetch)
    check_count("image_batches", start=start, least=0)
    if rng is not None:
        check_generator("image_batches", rng)
        if batch_size > len(paths):
            raise InputError(
                f"image_batches: batch_size is {batch_size}; expected at most {len(paths)}, "
                "the number of pictures"
            )
    sizes, ahead = (size, resize, channels), (threads, prefetch)
    return _ImageBatches(list(paths), labels, batch_size, rng, sizes, ahead, start)


class _ImageBatches:
    """The batches of one pass; all random numbers are drawn when the pass begins."""

    def __init__(self, paths, labels, batch_size, rng, sizes, ahead, start):
        self.paths, self.labels, self.batch_size, self.rng = paths, labels, batch_size, rng
        self.sizes, self.ahead, self.start = sizes, ahead, start

    def __len__(self):
        whole, rest = divmod(len(self.paths), self.batch_size)
        return max(0, whole + (self.rng is None and rest > 0) - self.start)

    def __iter__(self):
        count, rng = len(self.paths), self.rng
        if rng is None:
            drawn = np.arange(count), np.zeros(count, bool), np.full((count, 2), 0.5)
        else:
            drawn = rng.permutation(count), rng.integers(0, 2, count, bool), rng.random((count, 2))
        return self._decoded(*drawn, len(self))

    def _decoded(self, order, mirrored, places, n_batches):
        """Yield the batches; threads decode them ahead."""
        threads, prefetch = self.ahead
        size, resize, channels = self.sizes

        def decode(i):
            at = tuple(places[i])
            pixels = _cropped(self.paths[order[i]], size, resize, at, channels)
            return pixels[:, ::-1] if mirrored[i] else pixels

        pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="pictures")
        waiting = collections.deque()
        try:
            for n in range(self.start, self.start + n_batches + prefetch):
                rows = range(n * self.batch_size, min(len(order), (n + 1) * self.batch_size))
                if n < self.start + n_batches:
                    waiting.append((rows, [pool.submit(decode, i) for i in rows]))
                if n >= self.start + prefetch:
                    rows, futures = waiting.popleft()
                    images = np.stack([future.result() for future in futures])
                    yield images, self.labels[order[rows.start : rows.stop]]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
