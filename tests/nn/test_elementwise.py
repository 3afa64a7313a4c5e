"""The elementwise layers of binary nets with float parts: PReLU, HardTanh, Shift, Scale."""

import numpy as np
import pytest

import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, nn
from bitnet.autograd import trace
from bitnet.optim import Adam

RNG = np.random.default_rng(0)
X = RNG.normal(0, 2, (4, 3, 5)).astype(np.float32)
Z = np.arange(-7, 8, dtype=np.int32).reshape(3, 5)
LAYERS = nn.PReLU(5), nn.PReLU(1), nn.HardTanh(), nn.Shift(5), nn.Shift(1), nn.Scale(5), nn.Scale(1)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_integers_count_as_float32(layer):
    for parameter in layer.parameters():
        parameter.assign(RNG.normal(0, 1, parameter.shape).astype(np.float32))
    y, expected = layer(Z), layer(Z.astype(np.float32))
    assert y.data.dtype == np.float32
    assert (y.data == expected.data).all()
    (row,) = trace(layer, Z).nodes
    assert row.inputs[0] == "input"


def test_the_layers_compute_what_they_state():
    slope, shift, scale = RNG.normal(0, 1, (3, 5)).astype(np.float32)
    prelu, moved, scaled = nn.PReLU(5), nn.Shift(5), nn.Scale(5)
    for parameter, value in ((prelu.slope, slope), (moved.bias, shift), (scaled.factor, scale)):
        parameter.assign(value)
    assert (prelu(X).data == np.where(X > 0, X, slope * X)).all()
    assert (moved(X).data == X + shift).all()
    assert (scaled(X).data == X * scale).all()
    assert (nn.HardTanh()(X).data == X.clip(-1, 1)).all()
    assert (nn.PReLU(1)(X).data == np.where(X > 0, X, np.float32(0.25) * X)).all()


def test_one_line_names_each_layer():
    assert [repr(layer) for layer in LAYERS[1:4]] == ["PReLU(1)", "HardTanh()", "Shift(5)"]
    assert repr(LAYERS[-1]) == "Scale(1)"


def test_learned_thresholds_and_activations_train():
    """A block as in ReActNet: RSign, product, batch norm, RPReLU."""
    rng = np.random.default_rng(1)
    block = nn.Shift(8), nn.Sign(), nn.BinaryLinear(8, 2, rng=rng), nn.BatchNorm(2)
    net = nn.Sequential(*block, nn.Shift(2), nn.PReLU(2), nn.Shift(2), nn.Scale(2))
    x = rng.normal(3, 1, (64, 8)).astype(np.float32)
    labels = (x[:, 0] > 3).astype(int)  # no sign tells before the shifts are learned
    optimizer, losses = Adam(net.parameters(), 0.1), []
    before = {name: value.data.copy() for name, value in net.named_parameters()}
    for _ in range(100):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), labels)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2
    assert all((before[name] != value.data).any() for name, value in net.named_parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.PReLU(0), "num_features is 0"),
        (lambda: nn.Shift(4)(X), r"Shift\(4\).*expected an input \(..., 4\)"),
        (lambda: nn.Scale(4)(X), r"Scale\(4\).*expected an input \(..., 4\)"),
        (lambda: nn.Shift(5)(F.sign(X)), r"got Bits.*functional.unpack\(\)"),
        (lambda: nn.PReLU(5)(F.sign(X)), r"got Bits.*functional.unpack\(\)"),
        (lambda: F.prelu(X, np.ones(4)), r"expected numbers \(..., C\), and slopes"),
        (lambda: F.prelu(X, np.ones((1, 5))), r"expected numbers \(..., C\), and slopes"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
