"""The nets of later papers: sizes, learning, equal frozen nets, names and what they refuse."""

import numpy as np
import pytest

import bitnet
from bitnet import InputError, nn
from bitnet.analysis import summary
from bitnet.nn import functional, models
from bitnet.nn.models.names import LATER, LaterNet, net_named
from bitnet.nn.module import evaluating

RNG = np.random.default_rng(0)
IMAGE = 8, 8, 1


@pytest.mark.parametrize("name", LATER)
def test_it_trains_freezes_and_comes_back(name, tmp_path):
    net = net_named(f"{name}:4")
    model = net.build(IMAGE, 3, np.random.default_rng(0))
    images, labels = RNG.integers(0, 256, (9, *IMAGE), np.uint8), RNG.integers(0, 3, 9)
    adam, losses = bitnet.optim.Adam(model.parameters(), 0.01), []
    for _ in range(8):
        adam.zero_grad()
        auto = name == "autoencoder"
        loss = model.loss(images) if auto else functional.cross_entropy(model(images), labels)
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        adam.step()
        losses.append(loss.item())
    assert min(losses[4:]) < losses[0]
    frozen = bitnet.freeze(model)
    frozen.save(tmp_path / "net.npz")
    with evaluating(model):
        expected = model(images).data
    (found,) = bitnet.load(tmp_path / "net.npz").run(images)
    assert np.array_equal(found, expected)
    table = summary(model)
    assert table.file_bytes == (tmp_path / "net.npz").stat().st_size
    counted = sum(p.size for key, p in model.named_parameters() if key.endswith(".weight"))
    assert net.weights(IMAGE, 3) == counted


def test_layers_of_the_large_bireal_net():
    model = models.bireal((64, 64, 3), 10, rng=RNG, width=2)
    convs = [layer for layer in model.modules() if isinstance(layer, nn.BinaryConv2d)]
    others = [layer for layer in model.modules() if type(layer) in (nn.Conv2d, nn.Linear)]
    assert len(convs) + 2 == 18
    assert len(others) == 2 + 3  # the first and the last layer, and three projections
    assert [layer.out_channels for layer in convs[::4]] == [2, 4, 8, 16]
    assert model(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 10)


def test_a_decoupled_net_computes_the_same():
    coupled = models.binaryduo((8, 9, 2), 3, rng=RNG, width=5, stages=2, coupled=True)
    for _ in range(3):
        coupled(RNG.integers(0, 256, (7, 8, 9, 2), np.uint8))
    net = models.decouple(coupled.eval(), rng=RNG).eval()
    x = RNG.integers(0, 256, (7, 8, 9, 2), np.uint8)
    assert np.array_equal(net(x).data, coupled(x).data)
    first, second = bitnet.freeze(coupled), bitnet.freeze(net)
    assert np.array_equal(first.scores(x), second.scores(x))


def test_names():
    assert net_named("bireal") == LaterNet("bireal", "bireal", 64)
    assert net_named("bireal-small:8").width == 8
    assert net_named("autoencoder").task == "pixels"
    for wrong in ("bireal:", "bireal:0", "bireal:8,8", "bireals"):
        with pytest.raises(InputError, match="net is"):
            net_named(wrong)


@pytest.mark.parametrize(
    "given",
    [
        {"weight_quantizer": 2},
        {"is_float": True},
        {"dropout": (0.2, 0.5)},
        {"norm": "shift"},
        {"stochastic": True},
        {"input_planes": 4},
    ],
)
def test_what_a_paper_does_not_have_is_refused(given):
    (name,) = given
    with pytest.raises(InputError, match=f"net quicknet:4: got {name}"):
        net_named("quicknet:4").build(IMAGE, 3, RNG, **given)


def test_options_of_layers_with_bits_and_learning_rates():
    given = {"grad_format": "float32", "rounding": "nearest", "balance": True, "norm": "batch"}
    net = net_named("quicknet:4").build(IMAGE, 3, RNG, lr_scale=10.0, **given)
    conv = next(layer for layer in net.modules() if isinstance(layer, nn.BinaryConv2d))
    assert (conv.grad_format, conv.balance) == ("float32", True)
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm)]
    assert {norm.gamma.lr_scale for norm in norms} == {10.0}
