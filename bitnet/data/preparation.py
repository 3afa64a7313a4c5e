"""Preprocessing of images: contrast normalization and whitening, rounded to 8 bits again.

The Torch code of the papers trained on SVHN after global and local contrast normalization, and on
CIFAR-10 after ZCA whitening.  Here the results are rounded to 8 bits: the first layer of a binary
net keeps its eight bit planes.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bitnet.arrays import plain
from bitnet.data.display import size_in_words
from bitnet.errors import InputError

STEPS = ("gcn", "lcn", "zca")
SQRT_BIAS = 10.0  # gcn: for pixels from 0 to 255
RADIUS, SIGMA = 4, 2.0  # lcn: 9 x 9 pixels
LEAST_DEVIATION = 1e-4  # lcn
REGULARIZER = 0.1  # zca: relative to the mean eigenvalue
CLIP = 4.0  # standard deviations on each side of the 8-bit range
GREY = 128  # the mean of prepared pixels
MAX_ZCA = 10_000  # pixels times channels per image; the matrix has the square of it
MAX_SIZE = 1 << 28
PART = 1 << 22  # numbers processed at a time
NUMBERS = {  # of a header, with the smallest and largest value
    "sqrt_bias": (1e-9, 1e9),
    "regularizer": (0.0, 1e9),
    "clip": (1e-3, 1e3),
    "mean": (-1e9, 1e9),
    "std": (1e-9, 1e9),
}


def gcn(images, sqrt_bias=SQRT_BIAS):
    """Remove the mean of each image and its contrast (global contrast normalization).

    `(x - mean) / sqrt(sqrt_bias + variance)`, mean and variance over all pixels and channels.
    """
    x = plain(images, "images").astype(np.float64, copy=False)
    rows = x.reshape(len(x), -1)  # (count, pixels)
    rows = rows - rows.mean(axis=1, keepdims=True)
    variance = (rows * rows).mean(axis=1, keepdims=True)
    return (rows / np.sqrt(sqrt_bias + variance)).reshape(x.shape)


def lcn(images):
    """Normalize the local contrast with a Gaussian of 9 x 9 pixels, after LeCun.

    `G * x` is the Gaussian mean around each pixel (standard deviation 2 pixels, zero padding).  For
    each image and channel:

        v = x - G * x
        s = sqrt(G * v^2)
        y = v / max(s, mean of s over the pixels, 1e-4)
    """
    x = plain(images, "images").astype(np.float64, copy=False)
    x = x - _blurred(x)
    deviation = np.sqrt(_blurred(x * x))
    mean = deviation.mean(axis=(1, 2), keepdims=True)  # of each image and channel
    return x / np.maximum(np.maximum(deviation, mean), LEAST_DEVIATION)


def _blurred(x):
    """Return the Gaussian mean of 9 x 9 pixels around each pixel, computed axis by axis."""
    taps = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * SIGMA**2))
    taps /= taps.sum()
    for axis in (1, 2):
        border = [(RADIUS, RADIUS) if a == axis else (0, 0) for a in range(x.ndim)]
        padded = np.moveaxis(np.pad(x, border), axis, 0)
        size = x.shape[axis]
        x = np.moveaxis(sum(t * padded[i : i + size] for i, t in enumerate(taps)), 0, axis)
    return x


def fit_zca(images, regularizer=REGULARIZER, before=np.asarray):
    """Return the mean and the matrix of ZCA whitening.

    With `C = U diag(values) U^T` the covariance of the pixels over all images, in float64,

        matrix = U diag(1 / sqrt(values + regularizer * mean(values))) U^T

    Without a regularizer the covariance of `(x - mean) @ matrix` is the identity.
    """
    count, pixels = len(images), math.prod(images.shape[1:])
    if pixels > MAX_ZCA:
        came = f"images of {size_in_words(images.shape[1:])} have {pixels} numbers"
        raise InputError(f"zca: {came}; expected at most {MAX_ZCA}; use smaller images")
    mean, covariance = np.zeros(pixels), np.zeros((pixels, pixels))
    for part in _parts(images):
        mean += before(part).reshape(len(part), pixels).sum(axis=0) / count
    for part in _parts(images):
        x = before(part).reshape(len(part), pixels) - mean
        covariance += x.T @ x / count
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0)  # negative only by rounding
    values += regularizer * values.mean()
    if values.min() <= 1e-14 * values.max():
        what = "some combination of pixels is the same in all images"
        raise InputError(f"zca: {what}; use more images or a larger regularizer")
    return mean, (vectors / np.sqrt(values)) @ vectors.T


def zca(images, mean, matrix):
    """Whiten images: `(x - mean) @ matrix`."""
    x = plain(images, "images").astype(np.float64, copy=False)
    return ((x.reshape(len(x), -1) - mean) @ np.asarray(matrix, np.float64)).reshape(x.shape)


def _parts(images):
    """Yield the images in parts of bounded size."""
    step = max(1, PART // math.prod(images.shape[1:]))
    return (images[i : i + step] for i in range(0, len(images), step))


class Preparation:
    """Preprocessing of images, fitted to the training images.

    The steps are applied in order.  Their result v is rounded to 8 bits as
    `127.5 + 127.5 (v - mean) / (clip * std)`, clipped to 0..255: `clip` standard deviations on each
    side of the mean.  Mean and standard deviation are taken over all training images.

    Parameters
    ----------
    header : dict
        See `from_arrays`, which checks both; `fit` computes them.
    arrays : dict of str to numpy.ndarray
        See `from_arrays`.

    Attributes
    ----------
    header : dict
        The steps, the shape of an image, and the numbers above, as JSON can store them.
    arrays : dict of str to numpy.ndarray
        With the step "zca", `zca_mean` and `zca_matrix` in float32; otherwise empty.

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), dtype=np.uint8)
    >>> prepare = Preparation.fit(("gcn", "zca"), images)
    >>> prepare
    Preparation('gcn', 'zca', images of 8x8x3)
    >>> prepare(images[:2]).shape, prepare(images[:2]).dtype
    ((2, 8, 8, 3), dtype('uint8'))
    >>> again = Preparation.from_arrays(prepare.header, prepare.arrays)
    >>> np.array_equal(again(images), prepare(images))
    True
    """

    def __init__(self, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.header, self.arrays = header, arrays

    def __repr__(self):
        steps = ", ".join(map(repr, self.header["steps"]))
        return f"Preparation({steps}, images of {size_in_words(self.header['image'])})"

    @classmethod
    def fit(
        cls,
        steps: str | Sequence[str],
        images: np.ndarray,
        sqrt_bias: float = SQRT_BIAS,
        regularizer: float = REGULARIZER,
        clip: float = CLIP,
    ) -> "Preparation":
        """Fit the steps to uint8 training images.

        `steps` are one or more of "gcn", "lcn" and "zca" in the order of use, each at most once.
        """
        steps = (steps,) if isinstance(steps, str) else tuple(steps)
        images = plain(images, "images")
        header: dict[str, Any] = {"steps": list(steps), "image": list(images.shape[1:])}
        header |= {"sqrt_bias": sqrt_bias, "regularizer": regularizer, "clip": clip}
        header |= {"mean": 0.0, "std": 1.0}
        _check_header(header)
        header |= {name: float(header[name]) for name in NUMBERS}
        preparation = cls(header, {})
        preparation._check_images(images)
        if "zca" in steps:
            earlier = steps[: steps.index("zca")]
            mean, matrix = fit_zca(images, regularizer, lambda x: preparation._apply(earlier, x))
            preparation.arrays["zca_mean"] = mean.astype(np.float32)
            preparation.arrays["zca_matrix"] = matrix.astype(np.float32)
        total = squares = 0.0
        for part in _parts(images):
            x = preparation._apply(steps, part)
            total, squares = total + x.sum(), squares + (x * x).sum()
        mean = total / images.size
        std = math.sqrt(max(0.0, squares / images.size - mean**2))
        if std < 1e-6:
            raise InputError(
                "Preparation: the steps remove everything, as each image has one colour; use others"
            )
        header["mean"], header["std"] = float(mean), std
        return preparation

    @classmethod
    def from_arrays(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Preparation":
        """Return the preparation with the `header` and `arrays` of a file; both are checked."""
        _check_header(header)
        pixels = math.prod(header["image"])
        shapes = {"zca_mean": (pixels,), "zca_matrix": (pixels, pixels)}
        shapes = shapes if "zca" in header["steps"] else {}
        if not isinstance(arrays, dict) or set(arrays) != set(shapes):
            raise InputError(f"Preparation: got other arrays; expected {sorted(shapes)}")
        for name, shape in shapes.items():
            array = arrays[name]
            if not isinstance(array, np.ndarray) or array.dtype != np.float32:
                raise InputError(f"Preparation: {name} has another type; expected float32 {shape}")
            if array.shape != shape or not np.isfinite(array).all():
                raise InputError(f"Preparation: {name} is {array.shape}; expected finite {shape}")
        kept = {"steps": list(header["steps"]), "image": [int(n) for n in header["image"]]}
        return cls(kept | {name: float(header[name]) for name in NUMBERS}, dict(arrays))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the prepared images, uint8 of the same shape."""
        images = plain(images, "images")
        self._check_images(images)
        y, done = np.empty(images.shape, np.uint8), 0
        scale = 127.5 / (self.header["clip"] * self.header["std"])
        for part in _parts(images):
            v = self._apply(self.header["steps"], part)
            v = 127.5 + scale * (v - self.header["mean"])
            y[done : done + len(part)] = np.clip(np.rint(v), 0, 255)
            done += len(part)
        return y

    def _apply(self, steps, images):
        """Return the numbers after some steps, float64."""
        functions = {
            "gcn": lambda x: gcn(x, self.header["sqrt_bias"]),
            "lcn": lcn,
            "zca": lambda x: zca(x, self.arrays["zca_mean"], self.arrays["zca_matrix"]),
        }
        x = plain(images, "images").astype(np.float64, copy=False)
        for step in steps:
            x = functions[step](x)
        return x

    def _check_images(self, images):
        """Raise InputError unless images are uint8 of the shape in the header."""
        expected = tuple(self.header["image"])
        if images.dtype != np.uint8 or images.shape[1:] != expected or len(images) == 0:
            came, shape = f"{images.dtype} of shape {images.shape}", ", ".join(map(str, expected))
            expected = f"uint8 (count, {shape}), one image or more"
            raise InputError(f"Preparation: got {came}; expected {expected}")


def _check_header(header):
    """Raise InputError for a header that `Preparation.fit` cannot have made."""
    if not isinstance(header, dict) or set(header) != {"steps", "image", *NUMBERS}:
        raise InputError(
            f"Preparation: got another header; expected {['steps', 'image', *NUMBERS]}"
        )
    steps, image = header["steps"], header["image"]
    listed = isinstance(steps, (list, tuple)) and all(step in STEPS for step in steps)
    if not listed or not 0 < len(steps) == len(set(steps)):
        raise InputError(f"Preparation: steps {steps!r:.60}; expected some of {STEPS}, each once")
    most = MAX_ZCA if "zca" in steps else MAX_SIZE
    listed = isinstance(image, (list, tuple)) and all(type(n) is int and n > 0 for n in image)
    if not listed or len(image) not in (2, 3) or math.prod(image) > most:
        expected = (
            f"(height, width) or (height, width, channels); with zca at most {MAX_ZCA} numbers"
        )
        raise InputError(f"Preparation: images of shape {image!r:.60}; expected {expected}")
    for name, (least, most) in NUMBERS.items():
        value = header[name]
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise InputError(f"Preparation: {name} is {value!r:.60}; expected a number")
        if not least <= value <= most:  # false for NaN
            raise InputError(
                f"Preparation: {name} is {value!r:.60}; expected {least:g} to {most:g}"
            )
