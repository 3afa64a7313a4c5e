"""Parts that no training test uses: gradient checks, borders, surrogates, pooled bits."""

import numpy as np
import pytest
import same_numbers
import stand_in

import bitnet
import bitnet.nn.functional as F  # noqa: N812
from bitnet import kernels
from bitnet.analysis.plots import plot_confusion
from bitnet.analysis.repetition import repetitions
from bitnet.arrays import array_module
from bitnet.autograd import check_gradient
from bitnet.devices import to_cpu, to_gpu
from bitnet.kernels import Window
from bitnet.quantizers import ApproxSign, DoReFa, LinearQuant, LogQuant, SwishSign, Ternary, Uniform
from bitnet.training.metrics import activity

X = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
QUANTIZERS = [
    Uniform(1),
    Uniform(3, clip_value=0.5),
    LinearQuant(3, 0.25),
    LinearQuant(2, 0.5, signed=False),
]
QUANTIZERS += [LogQuant(3), Ternary(), DoReFa(2), DoReFa(1), ApproxSign(), SwishSign()]


def test_a_gradient_is_checked_on_the_gpu(gpu):
    inputs = [to_gpu(x.astype(np.float64)) for x in (X, X + 3, X[0])]
    check_gradient(lambda x, y, z: F.hardtanh(x / y) + z, *inputs, kinks=(-1, 1), batched=())
    with pytest.raises(AssertionError, match="the gradient along a random direction"):
        check_gradient(lambda x: F.unpack(F.sign(x), np.float64), inputs[0])


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=lambda quantizer: quantizer.name)
def test_a_quantizer(gpu, quantizer):
    names = ["codes", "values", "surrogate", "slope"]
    expected = {name: getattr(quantizer, name)(X) for name in names}
    found = {name: getattr(quantizer, name)(to_gpu(X)) for name in names}
    assert all(array_module(array) is not np for array in found.values())
    same_numbers.assert_same(gpu, to_cpu(found), expected)


@pytest.mark.parametrize("border", [0, 1, -1])
def test_the_border_of_packed_images(gpu, border):
    window = Window((3, 3), padding=((1, 2), (0, 1)), border=border)
    bits = kernels.pack(X.reshape(1, 2, 2, 5))
    found = {"words": to_cpu(window.surrounded(to_gpu(bits)))}
    same_numbers.assert_same(gpu, found, {"words": window.surrounded(bits)})


@pytest.mark.parametrize("channels", [3, 64])
def test_images_of_bits_as_rows(gpu, channels):
    bits = kernels.pack(np.random.default_rng(1).standard_normal((2, 3, 2, channels)))
    planes = kernels.split_planes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    for x in (bits, planes):
        found, expected = kernels.flatten(to_gpu(x)), kernels.flatten(x)
        assert found.shape == expected.shape
        assert np.array_equal(to_cpu(found)._held, expected._held)


def test_signs_pooled_with_a_padding(gpu):
    """The frozen net uses OR and AND of words."""
    rng = np.random.default_rng(3)
    pool = bitnet.nn.MaxPool2d(3, 2, padding=1)
    first = (
        bitnet.nn.BinaryConv2d(2, 5, rng=rng, kernel_size=3, padding="same"),
        pool,
        bitnet.nn.BatchNorm(5),
        bitnet.nn.Sign(),
    )
    last = bitnet.nn.Flatten(), bitnet.nn.BinaryLinear(45, 3, rng=rng), bitnet.nn.BatchNorm(3)
    model = bitnet.nn.Sequential(*first, *last)
    model.layers[2].gamma.edit()[::2] *= -1
    images = rng.integers(0, 256, (7, 6, 6, 2), dtype=np.uint8)
    model(images)
    net = bitnet.freeze(model, images)
    expected = net.scores(images)
    assert np.array_equal(net.to("gpu").scores(images), expected)
    assert bitnet.compare(model.to("gpu"), net, images).is_complete


def test_a_parameter_of_a_cupy_array(gpu):
    data = to_gpu(X)
    weight = bitnet.autograd.LatentWeight(data, clip=1.0)
    assert array_module(weight) is not np
    weight.edit()[...] = 0
    assert np.array_equal(to_cpu(data), X)  # the copy is unchanged
    optimizer = bitnet.optim.Adam([weight], 0.1)
    (weight * 2.0).sum().backward()
    optimizer.step()
    assert to_cpu(weight.data) == pytest.approx(-0.1, abs=1e-6)


def test_what_a_convolution_repeats(gpu):
    model = bitnet.nn.Sequential(
        bitnet.nn.BinaryConv2d(2, 8, rng=np.random.default_rng(0), kernel_size=3, padding="same")
    )
    expected = repetitions(model).layers
    assert repetitions(model.to("gpu")).layers == expected


def test_the_activity_of_arrays_that_are_there_already(gpu):
    """A CuPy array also has an attribute `data`, which is an address."""
    model = bitnet.nn.Sequential(bitnet.nn.Sign())
    expected = activity(model, X)
    assert activity(model, X, to_gpu) == activity(model, to_gpu(X)) == expected


def test_rows_that_are_added_wait_once(gpu):
    y, rows = to_gpu(np.zeros_like(X)), to_gpu(np.array([0, 3]))
    before = stand_in.waits
    kernels.add_rows(y, rows, to_gpu(X[:2]))
    assert stand_in.waits == before + (gpu == "stand-in")
    with pytest.raises(bitnet.InputError, match="rows are 0 to 4; expected 0 to 3"):
        kernels.add_rows(y, rows + rows // 3, to_gpu(X[:2]))
    kernels.add_rows(y, rows[:0], to_gpu(X[:0]))


def test_a_confusion_of_arrays_of_the_gpu_is_drawn(gpu, tmp_path):
    pytest.importorskip("matplotlib")
    labels = np.array([0, 1, 1])
    for i, x in enumerate((labels, to_gpu(labels))):
        plot_confusion(x, x[::-1], ["a", "b"], path=tmp_path / f"{i}.svg")
    assert (tmp_path / "0.svg").read_bytes() == (tmp_path / "1.svg").read_bytes()


def test_a_stream_of_its_own(gpu):
    with bitnet.devices.stream():
        y = kernels.xnor_gemm(*(kernels.pack(to_gpu(X)) for _ in range(2)))
    assert np.diag(to_cpu(y)).tolist() == [5] * 4
