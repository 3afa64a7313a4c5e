"""What counts as an array at each door: models, frozen nets, trained nets, data sets, batches."""

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.arrays import plain
from bitnet.data import Dataset, batches, sequences
from bitnet.kernels import plane_gemm
from bitnet.nn.models import binary_mlp
from bitnet.training import Images, Split
from bitnet.training.metrics import evaluate, predict
from bitnet.training.trained import Trained

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 4), np.uint8)
LABELS = np.arange(9) % 3
MODEL = binary_mlp([4, 8, 3], rng=np.random.default_rng(1)).eval()
FROZEN = bitnet.freeze(MODEL)
SETTINGS = {"net": "mlp:8", "data": "own", "picture": [2, 2, 1], "classes": ["a", "b", "c"]}
SETTINGS |= {"input": "pixels"}
TRAINED = Trained(MODEL, SETTINGS)


class Own(np.ndarray):
    """A subclass without a meaning of its own."""


class Holder:
    """An object that NumPy reads, such as a Series, an HDF5 data set or a tensor of PyTorch."""

    def __init__(self, x):
        self.x = x

    def __array__(self, dtype=None, copy=None):
        return self.x


class Shared:
    """An object that shares its memory, such as a tensor."""

    def __init__(self, x, device=1):
        self.x, self.device = x, device

    def __dlpack__(self, **options):
        return self.x.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device, 0


class Sparse:
    """A matrix of SciPy, which NumPy would wrap in an array of one object."""

    shape, dtype, ndim = (9, 4), np.dtype(np.uint8), 2

    def toarray(self):
        return PIXELS


class Elsewhere:
    """A tensor on a GPU, which refuses to become an array."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def _read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


SAME = {
    "matrix": lambda x: x.view(np.matrix),
    "masked array": np.ma.array,
    "subclass": lambda x: x.view(Own),
    "Fortran order": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "read-only": _read_only,
    "__array__": Holder,
    "__dlpack__": Shared,
    "buffer": memoryview,
}
REFUSED = {
    "masked": (np.ma.array(PIXELS, mask=PIXELS > 100), "MaskedArray .with masked elements; fill"),
    "sparse": (Sparse(), r"Sparse \(sparse; pass x.toarray"),
    "generator": ((row for row in PIXELS), "generator .not an array of numbers"),
    "GPU": (Elsewhere(), "Elsewhere .can't convert cuda"),
    "GPU memory": (Shared(PIXELS, 2), "Shared .not in CPU memory"),
    "objects": (PIXELS.astype(object), "object values"),
    "complex": (PIXELS.astype(complex), "complex128 values"),
    "text": (PIXELS.astype(str), "<U3 values"),
    "ragged": ([[1, 2], [3]], "list .* of equal length"),
    "dates": (PIXELS.astype("M8[s]"), "datetime64"),
}
DOORS = {
    "model": MODEL,
    "frozen": FROZEN.scores,
    "predictions": lambda x: predict(MODEL, x),
    "batches": lambda x: next(iter(batches(x, LABELS, 9)))[0],
    "split": lambda x: Split((x, LABELS), (x, LABELS)).train[0],
    "data set": lambda x: Dataset("own", x, LABELS, x, LABELS, ("a", "b", "c")).train_images,
    "metrics": lambda x: evaluate(MODEL, x, LABELS),
}


def _numbers(y):
    return np.asarray(getattr(y, "data", y))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", SAME)
def test_every_door_takes_what_has_one_plain_form(door, kind):
    found, expected = DOORS[door](SAME[kind](PIXELS)), DOORS[door](PIXELS)
    found, expected = _numbers(found), _numbers(expected)
    assert type(found) is type(expected)
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", REFUSED)
def test_every_door_refuses_the_rest_and_names_its_kind(door, kind):
    x, words = REFUSED[kind]
    with pytest.raises(InputError, match=words):
        DOORS[door](x)


@pytest.mark.parametrize("kind", ["masked array", "subclass", "__array__", "__dlpack__"])
def test_a_trained_net_takes_the_same_pictures(kind):
    pictures = PIXELS.reshape(9, 2, 2)
    found = TRAINED.scores(SAME[kind](pictures))
    assert found.tolist() == TRAINED.scores(pictures).tolist()
    with pytest.raises(InputError, match="images: got MaskedArray"):
        TRAINED.scores(np.ma.array(pictures, mask=pictures > 9))


def test_numbers_are_in_the_byte_order_of_this_machine():
    x = plain(np.array([1, 256], ">i2"))
    assert x.dtype == np.int16 and x.dtype.isnative and x.tolist() == [1, 256]
    y = bitnet.Tensor(np.array([1.5], ">f4"))
    assert y.data.dtype == np.float32 and y.data.dtype.isnative and y.item() == 1.5
    piece = next(iter(sequences(np.arange(5, dtype=">i8"), 1, 4)))
    assert piece.x.ravel().tolist() == [0, 1, 2, 3]


def test_an_array_passes_as_it_is():
    assert plain(PIXELS) is PIXELS
    assert np.shares_memory(plain(PIXELS.view(Own)), PIXELS)


def test_pixels_of_a_foreign_object_stay_pixels():
    assert bitnet.Tensor(Holder(PIXELS)).data.dtype == np.uint8
    assert bitnet.Tensor([[1, 2]]).data.dtype == np.float32


@pytest.mark.parametrize("x", [PIXELS.view(np.matrix), np.ma.array(PIXELS)])
def test_kernels_refuse_arrays_with_another_arithmetic(x):
    with pytest.raises(InputError, match=f"got {type(x).__name__}; expected a NumPy array"):
        plane_gemm(x, bitnet.kernels.pack(np.ones((2, 4))))


@pytest.mark.parametrize("labels", [LABELS - 1, LABELS + 1])
def test_labels_out_of_range_are_refused_where_they_enter(labels):
    with pytest.raises(InputError, match=r"the test set has the label .*; expected 0 to 2"):
        Dataset("own", PIXELS, LABELS, PIXELS, labels, ("a", "b", "c"))
    with pytest.raises(InputError, match=r"has the label .*; expected 0 to 2"):
        evaluate(MODEL, PIXELS, labels)
    with pytest.raises(InputError, match="expected integers from 0 to 2"):
        Images(Split((PIXELS, LABELS), (PIXELS, labels)), batch=9).check(MODEL)


def test_a_data_set_has_one_whole_label_per_image():
    with pytest.raises(InputError, match=r"labels of shape .8,. for .*; expected 9, one"):
        Dataset("own", PIXELS, LABELS, PIXELS, LABELS[:8], ("a", "b", "c"))
    with pytest.raises(InputError, match="has float64 labels; expected whole numbers"):
        Dataset("own", PIXELS, LABELS / 1, PIXELS, LABELS, ("a", "b", "c"))
