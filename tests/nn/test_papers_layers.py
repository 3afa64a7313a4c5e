"""Layers of later binary nets: each trains, freezes to equal numbers, and comes back from a file.

The nets here are small; `benchmarks/architectures.py` trains those of the papers.
"""

import numpy as np
import pytest

import bitnet
from bitnet import InputError, nn
from bitnet.analysis import plots, summary
from bitnet.nn import functional as F  # noqa: N812
from bitnet.nn.module import evaluating

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (8, 7, 6, 3), np.uint8)
NUMBERS = RNG.standard_normal((8, 7, 6, 3)).astype(np.float32)
STEPS = RNG.integers(0, 256, (8, 11, 3), np.uint8)
LABELS = RNG.integers(0, 4, 8)


def conv(c, m, size=3, **options):
    options = {"padding": "same", "rng": RNG} | options
    return nn.BinaryConv2d(c, m, size, **options)


def block(c, m, **options):
    return conv(c, m, **options), nn.BatchNorm(m), nn.Sign()


def head(c):
    return nn.GlobalAvgPool(), nn.BatchNorm(c), nn.Sign(), nn.BinaryLinear(c, 4, rng=RNG)


def stem():
    return nn.ScalePixels(), nn.Conv2d(3, 8, 3, padding="same", rng=RNG), nn.BatchNorm(8)


def shortcut(c, m, **options):
    return nn.Shortcut(nn.Sign(), conv(c, m, stride=m // c), nn.BatchNorm(m), **options)


def projection(c, m):
    return nn.Sequential(nn.Conv2d(c, m, 1, rng=RNG), nn.BatchNorm(m))


def reactnet(c, m):
    body = nn.Shortcut(nn.RSign(c), conv(c, m), nn.BatchNorm(m), copies=m // c)
    return body, nn.RPReLU(m), nn.RSign(m, "approx-sign")


NETS = {
    "identity": (PIXELS, lambda: [*stem(), shortcut(8, 8), *head(8)]),
    "pooled": (
        PIXELS,
        lambda: [*stem(), shortcut(8, 16, pool=2, path=projection(8, 16)), *head(16)],
    ),
    "doubled": (PIXELS, lambda: [*stem(), shortcut(8, 16, pool=2, copies=2), *head(16)]),
    "of integers": (PIXELS, lambda: [conv(3, 8), shortcut(8, 16, pool=2, copies=2), *head(16)]),
    "of signs": (
        PIXELS,
        lambda: [*block(3, 8), nn.Shortcut(conv(8, 8), nn.BatchNorm(8)), *head(8)],
    ),
    "reactnet": (PIXELS, lambda: [*stem(), *reactnet(8, 16), conv(16, 8), *head(8)]),
    "rsign": (PIXELS, lambda: [conv(3, 8), nn.BatchNorm(8), nn.RSign(8), conv(8, 8), *head(8)]),
    "xnornet": (
        PIXELS,
        lambda: (
            [
                *block(3, 8),
                nn.ChannelScale(conv(8, 8)),
                nn.BatchNorm(8),
                nn.Sign(),
                conv(8, 4),
                nn.GlobalAvgPool(),
                nn.BatchNorm(4),
                nn.Sign(),
                nn.ChannelScale(nn.BinaryLinear(4, 4, rng=RNG, balance=True)),
            ]
        ),
    ),
    "depthwise": (
        PIXELS,
        lambda: (
            [
                *block(3, 8),
                nn.DepthwiseConv2d(8, 3, padding=1, multiplier=2, rng=RNG),
                nn.BatchNorm(16),
                nn.Sign(),
                conv(16, 8, 1),
                *head(8),
            ]
        ),
    ),
    "dilated": (
        PIXELS,
        lambda: [*block(3, 8, dilation=2), *block(8, 8, dilation=(1, 3), border=-1), *head(8)],
    ),
    "dilated floats": (
        NUMBERS,
        lambda: (
            [
                nn.Conv2d(3, 6, 3, stride=2, padding="same", dilation=2, rng=RNG),
                nn.BatchNorm(6),
                nn.Sign(),
                *block(6, 8),
                *head(8),
            ]
        ),
    ),
    "padded": (PIXELS, lambda: [*block(3, 8, padding=((0, 1), (2, 0)), stride=2), *head(8)]),
    "connect": (
        NUMBERS,
        lambda: (
            [
                conv(3, 8, groups=1),
                nn.BatchNorm(8),
                nn.ReLU(),
                conv(8, 6, groups=2),
                nn.BatchNorm(6),
                nn.ReLU(),
                nn.Flatten(),
                nn.QuantLinear(252, 9, rng=RNG, weight_quantizer=3),
                nn.BatchNorm(9),
                nn.ReLU(),
                nn.BinaryLinear(9, 4, rng=RNG),
            ]
        ),
    ),
    "decoder": (
        PIXELS,
        lambda: (
            [
                *block(3, 8, stride=2),
                nn.Upsample(2),
                *block(8, 4),
                nn.Upsample((1, 2)),
                conv(4, 4),
                nn.BatchNorm(4),
                nn.Upsample((2, 1)),
                nn.Sign(),
                *block(4, 8),
                *head(8),
            ]
        ),
    ),
    "steps": (
        STEPS,
        lambda: (
            [
                nn.BinaryConv1d(3, 8, 5, padding="same", rng=RNG),
                nn.MaxPool1d(),
                nn.BatchNorm(8),
                nn.Sign(),
                nn.QuantConv1d(8, 6, 3, dilation=2, padding="causal", rng=RNG),
                nn.BatchNorm(6),
                nn.Quantize(2),
                nn.BinaryConv1d(6, 8, 2, stride=2, rng=RNG),
                *head(8),
            ]
        ),
    ),
    "float steps": (
        STEPS,
        lambda: (
            [
                nn.ScalePixels(),
                nn.Conv1d(3, 8, 5, padding=(3, 1), rng=RNG),
                nn.BatchNorm(8),
                nn.Sign(),
                nn.BinaryConv1d(8, 8, 3, groups=2, rng=RNG),
                nn.AvgPool1d(3),
                nn.Flatten(),
                nn.BatchNorm(24),
                nn.Sign(),
                nn.BinaryLinear(24, 4, rng=RNG),
            ]
        ),
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_it_trains_freezes_and_comes_back(name, tmp_path):
    x, make = NETS[name]
    model = nn.Sequential(*make(), nn.BatchNorm(4))
    adam = bitnet.optim.Adam(model.parameters(), 0.01)
    before = model.state_dict()
    for _ in range(2):
        adam.zero_grad()
        F.cross_entropy(model.train()(x), LABELS).backward()
        assert all(p.grad is not None and p.grad.shape == p.shape for p in model.parameters())
        adam.step()
    changed = [key for key, array in model.state_dict().items() if (array != before[key]).any()]
    assert len(changed) > len(before) / 2
    net = bitnet.freeze(model, x[:1])
    with evaluating(model):
        expected = model(x).data
    assert np.array_equal(net.scores(x), expected)
    net.save(tmp_path / "net.npz")
    loaded = bitnet.load(tmp_path / "net.npz")
    assert np.array_equal(loaded.scores(x), expected)
    assert np.array_equal(loaded.predict(x[:1]), expected[:1].argmax(axis=1))
    assert bitnet.compare(model, net, x).is_complete
    table = summary(model, x[:1])
    assert table.file_bytes == (tmp_path / "net.npz").stat().st_size
    assert table.total("memory") == sum(array.nbytes for array in model.state_dict().values())
    plots.plot_graph(net.graph, path=tmp_path / "net.png")


def kinds(name):
    """Return the kinds of the frozen nodes of a net, without inputs and constants."""
    x, make = NETS[name]
    nodes = bitnet.freeze(nn.Sequential(*make()), x[:1]).graph.nodes
    return [node.kind for node in nodes if node.arity[0]]


def test_alpha_and_learned_shifts_become_thresholds():
    assert "multiply" not in kinds("xnornet")[:-3]
    assert kinds("rsign")[:3] == ["conv", "thresholds", "conv"]


def test_sequences_are_images_with_one_row_in_frozen_nets():
    found = kinds("steps")
    assert found[:5] == ["reshape", "conv", "maxpool", "thresholds", "conv"]
    assert found.count("reshape") == 2  # at the beginning, and at the end


def test_codes_are_upsampled_not_integers():
    assert kinds("decoder")[:5] == ["conv", "thresholds", "upsample", "conv", "thresholds"]


def test_weights_of_mixed_products_stay_packed():
    x, make = NETS["connect"]
    table = summary(nn.Sequential(*make()), x[:1])
    assert "mixed conv" in kinds("connect")
    assert "mixed linear" in kinds("connect")
    assert table.weights[1] == 3 * 8 * 9 + 8 * 6 * 9 // 2 + 9 * 4
    assert table.weights[3] == 252 * 9


def test_shortcuts_by_hand():
    x = NUMBERS[:2, :5, :6, :2]
    body = nn.Conv2d(2, 4, 3, stride=2, padding="same", rng=RNG)
    y = nn.Shortcut(body, pool=2, copies=2)(x).data - body(x).data
    wide = np.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0)))  # rows and columns become even
    means = wide.reshape(2, 3, 2, 3, 2, 2).mean(axis=(2, 4))
    assert np.allclose(y, np.concatenate([means, means], axis=3), atol=1e-6)
    steps = nn.Shortcut(nn.Conv1d(2, 2, 1, stride=2, rng=RNG), pool=2)
    sequence = NUMBERS[:2, 0, :, :2]
    found = steps(sequence).data - steps.body(sequence).data
    assert np.allclose(found, sequence.reshape(2, 3, 2, 2).mean(axis=2), atol=1e-6)


def test_sequences_are_convolved_as_by_hand():
    layer = nn.Conv1d(3, 2, 3, padding="causal", dilation=2, rng=RNG)
    x = NUMBERS[:, 0]
    wide = np.pad(x, ((0, 0), (4, 0), (0, 0)))
    taps = [wide[:, i : i + 6] @ layer.weight.data[:, 0, i // 2].T for i in (0, 2, 4)]
    assert np.allclose(layer(x).data, sum(taps), atol=1e-5)
    later = x.copy()
    later[:, 4:] += 1
    assert np.array_equal(layer(later).data[:, :4], layer(x).data[:, :4])


def test_depthwise_filters_see_one_channel():
    layer = nn.DepthwiseConv2d(3, 3, padding="same", rng=RNG)
    assert (layer.groups, layer.weight.shape) == (3, (3, 3, 3, 1))
    other = PIXELS.copy()
    other[..., 1] = 255 - other[..., 1]
    changed = (layer(other).data != layer(PIXELS).data).any(axis=(0, 1, 2))
    assert changed.tolist() == [False, True, False]


def test_the_scale_has_a_gradient():
    layer = nn.ChannelScale(nn.BinaryLinear(5, 2, rng=RNG))
    x = F.sign(RNG.standard_normal((3, 5)))
    layer(x).backward(np.ones((3, 2), np.float32))
    weight = layer.layer.weight
    signs, z = np.sign(weight.data), (x.data.signs() @ np.sign(weight.data).T).sum(axis=0)
    expected = layer.alpha.data[:, None] * x.data.signs().sum(axis=0) + z[:, None] * signs / 5
    assert np.allclose(weight.grad, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Shortcut(), "expected Modules"),
        (lambda: nn.Shortcut(nn.ReLU(), path=3), "expected Modules"),
        (lambda: nn.Shortcut(nn.ReLU(), pool=0), "pool is 0"),
        (lambda: nn.Shortcut(nn.ReLU(), copies=2)(NUMBERS), "set pool, copies or path"),
        (lambda: nn.ChannelScale(nn.ReLU()), "got ReLU; expected a BinaryLinear"),
        (lambda: nn.Conv1d(3, 4, (3, 3), rng=RNG), "kernel_size is"),
        (lambda: nn.Conv1d(3, 4, 3, padding="before", rng=RNG), "same, valid, causal"),
        (lambda: nn.BinaryConv1d(3, 4, 3, rng=RNG, weight_quantizer=2), "use QuantConv1d"),
        (lambda: nn.BinaryConv1d(3, 4, 3, rng=RNG)(PIXELS), r"sequences \(B, L, C\)"),
        (lambda: nn.Upsample(0), "down is 0"),
        (lambda: F.upsample(NUMBERS, (2,)), "two integers"),
        (lambda: F.upsample(NUMBERS, (0, 1)), "1 or more"),
        (lambda: nn.GlobalAvgPool()(NUMBERS[:, 0, 0]), r"\(B, L, C\)"),
        (lambda: nn.RSign(3)(NUMBERS[..., :2]), r"expected an input \(..., 3\)"),
        (lambda: nn.RSign(3, "ternary"), "expected an elementwise quantizer"),
        (lambda: nn.BinaryConv2d(3, 4, 3, padding=((1, 1), 2, 3), rng=RNG), "two pairs"),
        (lambda: nn.BinaryConv2d(3, 4, 3, dilation=(1, 2, 3), rng=RNG), "dilation is"),
        (lambda: nn.BinaryConv2d(3, 4, 3, dilation=9, rng=RNG)(PIXELS), "does not fit"),
        (lambda: F.mixed_linear(NUMBERS[0, 0], NUMBERS[0, 0]), "packed|Bits or BitPlanes"),
        (lambda: F.mixed_conv2d(NUMBERS, F.sign(NUMBERS), 3), "packed filters"),
        (lambda: F.reshape(F.sign(NUMBERS), -1), "the same last axis"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


class Sum(nn.Module):
    """The sum of two float convolutions of the same images."""

    def __init__(self):
        self.left, self.right = (nn.Conv2d(3, 17, 1, rng=RNG) for _ in range(2))

    def forward(self, x):
        return self.left(x) + self.right(x)


def test_images_are_added_line_by_line():
    model = Sum().eval()
    assert np.array_equal(bitnet.freeze(model, NUMBERS[:1]).scores(NUMBERS), model(NUMBERS).data)
