"""Images prepared before a net sees them: contrast normalization and whitening, on 8 bits again.

The papers' Torch code trained on SVHN after global and local contrast normalization, and on
CIFAR-10 after ZCA whitening.  The numbers that these give are rounded to 8 bits here, so that
the first layer of a binary net keeps its eight bit planes.
"""

import math

import numpy as np

from bitnet.errors import InputError

STEPS = ("gcn", "lcn", "zca")
SQRT_BIAS = 10.0  # of gcn, for pixels from 0 to 255
RADIUS, SIGMA = 4, 2.0  # of lcn: 9 x 9 pixels
LEAST_DEVIATION = 1e-4  # of lcn
REGULARIZER = 0.1  # of zca, in means of the eigenvalues
CLIP = 4.0  # standard deviations on 8 bits, each side
GREY = 128  # the mean of prepared pixels on 8 bits
MAX_ZCA = 10_000  # pixels times channels of an image; the matrix has its square
MAX_SIZE = 1 << 28
PART = 1 << 22  # numbers that are worked on at once
NUMBERS = {  # of a header, each with its least and its largest value
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
    x = np.asarray(images, np.float64)
    rows = x.reshape(len(x), -1)  # (count, pixels)
    rows = rows - rows.mean(axis=1, keepdims=True)
    variance = (rows * rows).mean(axis=1, keepdims=True)
    return (rows / np.sqrt(sqrt_bias + variance)).reshape(x.shape)


def lcn(images):
    """LeCun's local contrast normalization, with a Gaussian of 9 x 9 pixels.

    With `G * x` the Gaussian mean around each pixel (standard deviation 2 pixels, zeros around
    the image), and for each image and channel on its own:

        v = x - G * x
        s = sqrt(G * v^2)
        y = v / max(s, mean of s over the pixels, 1e-4)
    """
    x = np.asarray(images, np.float64)
    x = x - _blurred(x)
    deviation = np.sqrt(_blurred(x * x))
    mean = deviation.mean(axis=(1, 2), keepdims=True)  # of each image and channel
    return x / np.maximum(np.maximum(deviation, mean), LEAST_DEVIATION)


def _blurred(x):
    """The Gaussian mean of 9 x 9 pixels around each, along the rows and then the columns."""
    taps = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * SIGMA**2))
    taps /= taps.sum()
    for axis in (1, 2):
        border = [(RADIUS, RADIUS) if a == axis else (0, 0) for a in range(x.ndim)]
        padded = np.moveaxis(np.pad(x, border), axis, 0)
        size = x.shape[axis]
        x = np.moveaxis(sum(t * padded[i : i + size] for i, t in enumerate(taps)), 0, axis)
    return x


def fit_zca(images, regularizer=REGULARIZER, before=np.asarray):
    """The mean and the matrix of ZCA whitening.

    With `C = U diag(values) U^T` the covariance of the pixels over all images, in float64,

        matrix = U diag(1 / sqrt(values + regularizer * mean(values))) U^T

    so that without a regularizer the covariance of `(x - mean) @ matrix` is the identity.
    """
    count, pixels = len(images), math.prod(images.shape[1:])
    if pixels > MAX_ZCA:
        came = f"images of {images.shape[1:]} are {pixels} numbers"
        raise InputError(f"zca: {came}; at most {MAX_ZCA} can be whitened; take smaller images")
    mean, covariance = np.zeros(pixels), np.zeros((pixels, pixels))
    for part in _parts(images):
        mean += before(part).reshape(len(part), pixels).sum(axis=0) / count
    for part in _parts(images):
        x = before(part).reshape(len(part), pixels) - mean
        covariance += x.T @ x / count
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0)  # below it by rounding alone
    values += regularizer * values.mean()
    if values.min() <= 1e-14 * values.max():
        what = "the images do not differ in some direction"
        raise InputError(f"zca: {what}; take more images, or a regularizer")
    return mean, (vectors / np.sqrt(values)) @ vectors.T


def zca(images, mean, matrix):
    """Whiten images: `(x - mean) @ matrix`."""
    x = np.asarray(images, np.float64)
    return ((x.reshape(len(x), -1) - mean) @ np.asarray(matrix, np.float64)).reshape(x.shape)


def _parts(images):
    """The images, some at a time."""
    step = max(1, PART // math.prod(images.shape[1:]))
    return (images[i : i + step] for i in range(0, len(images), step))


class Preparation:
    """What is done with each image before a net sees it, learned from the training images.

    The steps are taken one after the other; the numbers v that come out are rounded to 8 bits,
    `127.5 + 127.5 (v - mean) / (clip * std)`, with the mean and the standard deviation over all
    training images, clipped to 0 and 255: `clip` standard deviations on each side.

    Attributes
    ----------
    header : dict
        Steps, shape of an image, and the numbers above; JSON can hold it.
    arrays : dict of str to numpy.ndarray
        float32; with the step "zca" `zca_mean` and `zca_matrix`, otherwise none.

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), dtype=np.uint8)
    >>> prepare = Preparation.fit(("gcn", "zca"), images)
    >>> prepare(images[:2]).shape, prepare(images[:2]).dtype
    ((2, 8, 8, 3), dtype('uint8'))
    >>> again = Preparation.from_arrays(prepare.header, prepare.arrays)
    >>> np.array_equal(again(images), prepare(images))
    True
    """

    def __init__(self, header, arrays):
        self.header, self.arrays = header, arrays

    def __repr__(self):
        return f"Preparation({' '.join(self.header['steps'])}, image={self.header['image']})"

    @classmethod
    def fit(cls, steps, images, sqrt_bias=SQRT_BIAS, regularizer=REGULARIZER, clip=CLIP):
        """Learn from training images, uint8, what the steps need.

        They are some of "gcn", "lcn" and "zca", each at most once, in the order they are taken.
        """
        steps = (steps,) if isinstance(steps, str) else tuple(steps)
        images = np.asarray(images)
        header = {"steps": list(steps), "image": list(images.shape[1:]), "sqrt_bias": sqrt_bias}
        header |= {"regularizer": regularizer, "clip": clip, "mean": 0.0, "std": 1.0}
        _check_header(header)
        header |= {name: float(header[name]) for name in NUMBERS}
        preparation = cls(header, {})
        preparation._check_images(images)
        if "zca" in steps:
            earlier = steps[: steps.index("zca")]
            mean, matrix = fit_zca(images, regularizer, lambda x: preparation._take(earlier, x))
            preparation.arrays["zca_mean"] = mean.astype(np.float32)
            preparation.arrays["zca_matrix"] = matrix.astype(np.float32)
        total = squares = 0.0
        for part in _parts(images):
            x = preparation._take(steps, part)
            total, squares = total + x.sum(), squares + (x * x).sum()
        mean = total / images.size
        std = math.sqrt(max(0.0, squares / images.size - mean**2))
        if std < 1e-6:
            raise InputError("Preparation: nothing is left of the images; each has one colour")
        header["mean"], header["std"] = float(mean), std
        return preparation

    @classmethod
    def from_arrays(cls, header, arrays):
        """Return the preparation with the `header` and `arrays` of a file, neither trusted."""
        _check_header(header)
        pixels = math.prod(header["image"])
        shapes = {"zca_mean": (pixels,), "zca_matrix": (pixels, pixels)}
        shapes = shapes if "zca" in header["steps"] else {}
        if not isinstance(arrays, dict) or set(arrays) != set(shapes):
            raise InputError(f"Preparation: other arrays than expected, {sorted(shapes)}")
        for name, shape in shapes.items():
            array = arrays[name]
            if not isinstance(array, np.ndarray) or array.dtype != np.float32:
                raise InputError(f"Preparation: {name} is no array of float32")
            if array.shape != shape or not np.isfinite(array).all():
                raise InputError(f"Preparation: {name} is {array.shape}; expected finite {shape}")
        kept = {"steps": list(header["steps"]), "image": [int(n) for n in header["image"]]}
        return cls(kept | {name: float(header[name]) for name in NUMBERS}, dict(arrays))

    def __call__(self, images):
        """The images prepared, uint8 of the same shape."""
        images = np.asarray(images)
        self._check_images(images)
        y, done = np.empty(images.shape, np.uint8), 0
        scale = 127.5 / (self.header["clip"] * self.header["std"])
        for part in _parts(images):
            v = self._take(self.header["steps"], part)
            v = 127.5 + scale * (v - self.header["mean"])
            y[done : done + len(part)] = np.clip(np.rint(v), 0, 255)
            done += len(part)
        return y

    def _take(self, steps, images):
        """The numbers after some steps, float64."""
        take = {
            "gcn": lambda x: gcn(x, self.header["sqrt_bias"]),
            "lcn": lcn,
            "zca": lambda x: zca(x, self.arrays["zca_mean"], self.arrays["zca_matrix"]),
        }
        x = np.asarray(images, np.float64)
        for step in steps:
            x = take[step](x)
        return x

    def _check_images(self, images):
        expected = tuple(self.header["image"])
        if images.dtype != np.uint8 or images.shape[1:] != expected or len(images) == 0:
            came, shape = f"{images.dtype} of shape {images.shape}", ", ".join(map(str, expected))
            wanted = f"uint8 (count, {shape}), one image or more"
            raise InputError(f"Preparation: got {came}; expected {wanted}")


def _check_header(header):
    """Refuse a header that `Preparation.fit` could not have made."""
    if not isinstance(header, dict) or set(header) != {"steps", "image", *NUMBERS}:
        raise InputError("Preparation: the header lacks something, or has something unknown")
    steps, image = header["steps"], header["image"]
    listed = isinstance(steps, (list, tuple)) and all(step in STEPS for step in steps)
    if not listed or not 0 < len(steps) == len(set(steps)):
        raise InputError(f"Preparation: steps {steps!r}; expected some of {STEPS}, each once")
    most = MAX_ZCA if "zca" in steps else MAX_SIZE
    listed = isinstance(image, (list, tuple)) and all(type(n) is int and n > 0 for n in image)
    if not listed or len(image) not in (2, 3) or math.prod(image) > most:
        expected = f"height, width and perhaps channels, with zca at most {MAX_ZCA} numbers"
        raise InputError(f"Preparation: images of shape {image!r}; expected {expected}")
    for name, (least, most) in NUMBERS.items():
        value = header[name]
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise InputError(f"Preparation: {name} is {value!r}; expected a number")
        if not least <= value <= most:  # false for NaN
            raise InputError(f"Preparation: {name} is {value}; expected {least:g} to {most:g}")
