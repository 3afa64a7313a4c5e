"""Shift-based AdaMax and Bop against their formulas written out."""

import math

import numpy as np
import pytest

from bitnet import InputError
from bitnet.autograd import LatentWeight, Parameter
from bitnet.nn import functional
from bitnet.nn.models.feedforward import binary_mlp
from bitnet.optim import Adam, Bop, ShiftAdaMax

RNG = np.random.default_rng(0)
GRADS = RNG.standard_normal((5, 3, 70)) * np.exp(RNG.standard_normal((3, 70)))


def ap2(v):
    return np.ldexp(np.sign(v), np.rint(np.log2(np.abs(v) + (v == 0))).astype(int))


def run(optimizer, parameter, grads=GRADS):
    for grad in grads:
        parameter.grad = grad.astype(np.float32)
        optimizer.step()
    return parameter.data


def start():
    return Parameter(np.zeros(GRADS.shape[1:], np.float32))


def test_the_papers_algorithm():
    w, expected, m, v = start(), 0.0, 0.0, 0.0
    for t, g in enumerate(GRADS, 1):
        m, v = 0.875 * m + 0.125 * g, np.maximum((1 - 2**-10) * v, abs(g))
        expected = expected - 2**-10 * ap2(1 / (1 - 0.875**t)) * m / ap2(v)
    assert np.allclose(run(ShiftAdaMax([w]), w), expected, atol=1e-7)


def test_the_authors_code():
    w, expected, m, v = start(), 0.0, 0.0, 0.0
    for t, g in enumerate(GRADS, 1):
        m, v = 0.9 * m + 0.1 * g, np.maximum(0.999 * v, abs(g))
        v = ap2(v) + 2**-27
        expected = expected - ap2(0.01 / (1 - 0.9**t)) * m / v
    assert np.allclose(run(ShiftAdaMax([w], 0.01, "code"), w), expected, atol=1e-6)


def test_with_a_power_of_two_for_a_rate_every_factor_of_the_papers_step_is_one():
    w = LatentWeight(np.zeros((1, 70), np.float32), clip=1.0)
    optimizer = ShiftAdaMax([w])
    for _ in range(9):
        optimizer.steps += 1
        assert math.frexp(optimizer.rate_of(w))[0] == 0.5
    w.lr_scale = 57.04
    assert optimizer.rate_of(w) == 57.04 * 2**-9


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_steps_are_scaled_by_layer_and_clipped(variant):
    scaled, plain = LatentWeight([0.1, 0.1], clip=1.0, lr_scale=4.0), Parameter([0.1, 0.1])
    for w in (scaled, plain):
        w.grad = np.float32([1.0, -1.0])
        ShiftAdaMax([w], 0.0625, variant).step()
    assert np.allclose(scaled.data, np.clip(0.1 + 4 * (plain.data - 0.1), -1, 1))
    scaled.grad = np.float32([1.0, -1.0])
    ShiftAdaMax([scaled], 100.0, variant).step()
    assert scaled.data.tolist() == [-1.0, 1.0]


def test_bop_is_its_algorithm_and_adam_moves_the_rest():
    w, beta = LatentWeight(RNG.uniform(-1, 1, (3, 70)), clip=1.0), Parameter(np.zeros(70))
    expected, m = np.where(w.data >= 0, 1.0, -1.0), 0.0
    optimizer = Bop([w, beta], lr=0.25, threshold=0.05, adam_lr=0.01)
    assert np.array_equal(w.data, expected)
    flips = []
    for g in GRADS:
        w.grad, beta.grad = g.copy(), g[0]
        before = expected
        m = 0.75 * m + 0.25 * g
        expected = np.where((abs(m) > 0.05) & (np.sign(m) == expected), -expected, expected)
        optimizer.step()
        assert np.array_equal(w.data, expected)
        assert np.array_equal(w.signs.signs(), expected)
        flips.append(int((before != expected).sum()))
        assert optimizer.flips == flips[-1]
    assert min(flips) > 0
    other = Parameter(np.zeros(70))
    adam = Adam([other], 0.01)
    for g in GRADS:
        other.grad = g[0]
        adam.step()
    assert np.array_equal(beta.data, other.data)


def test_a_schedule_of_bop_lowers_both_rates():
    gamma, beta = LatentWeight(np.ones((2, 2)), clip=1.0), Parameter([1.0], lr_scale=10.0)
    optimizer = Bop([gamma, beta], 1e-4, adam_lr=1e-2)
    optimizer.lr = 1e-5
    assert optimizer.rate_of(gamma) == 1e-5
    assert optimizer.rate_of(beta) == pytest.approx(1e-2)


MAKERS = {
    "paper": lambda p: ShiftAdaMax(p, 2**-6),
    "code": lambda p: ShiftAdaMax(p, 2**-6, "code"),
    "bop": lambda p: Bop(p, 1e-2, 1e-6),
}


def trained(seed, make, steps, state=None):
    rng = np.random.default_rng(seed)
    model = binary_mlp([20, 16, 3], rng=rng)
    optimizer = make(model.parameters())
    if state:
        model.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
    data = np.random.default_rng(1)
    x, labels = data.integers(0, 256, (30, 20), dtype=np.uint8), data.integers(0, 3, 30)
    losses = []
    for _ in range(steps):
        loss = functional.squared_hinge(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, optimizer, losses


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_it_learns_and_goes_on_where_it_was(make):
    whole, _, losses = trained(0, make, 40)
    assert np.mean(losses[-5:]) < 0.7 * losses[0]
    first, optimizer, _ = trained(0, make, 15)
    state = first.state_dict(), optimizer.state_dict()
    second, _, _ = trained(5, make, 25, state)
    for name, array in whole.state_dict().items():
        assert np.array_equal(array, second.state_dict()[name]), name


def test_bop_leaves_only_plus_and_minus_one():
    model, _, _ = trained(0, MAKERS["bop"], 10)
    for layer in model.layers[::3]:
        assert set(np.unique(layer.weight.data)) == {-1.0, 1.0}


def test_all_settings_count():
    parameters = [start()]
    kinds = [
        ShiftAdaMax(parameters),
        ShiftAdaMax(parameters, variant="code"),
        ShiftAdaMax(parameters, betas=(0.5, 0.999)),
        ShiftAdaMax(parameters, eps=1e-8),
        Bop(parameters),
        Bop(parameters, threshold=1e-7),
        Bop(parameters, adam_lr=0.1),
        Bop(parameters, 1e-3),
    ]
    settings = [str(optimizer.settings()) for optimizer in kinds]
    assert len(set(settings)) == len(settings)


@pytest.mark.parametrize(
    "call",
    [
        lambda p: ShiftAdaMax(p, variant="torch"),
        lambda p: ShiftAdaMax(p, betas=(1.0, 0.9)),
        lambda p: ShiftAdaMax(p, betas=()),
        lambda p: ShiftAdaMax(p, variant="code", eps=0),
        lambda p: ShiftAdaMax(p, eps=-1e-9),
        lambda p: ShiftAdaMax(p, lr=0),
        lambda p: Bop(p, lr=1.5),
        lambda p: Bop(p, threshold=-1e-9),
        lambda p: Bop(p, adam_lr=0),
        lambda p: Bop(p, betas=(0.9, 1.0)),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call([start()])
