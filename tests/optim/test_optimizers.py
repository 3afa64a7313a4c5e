"""Optimizers against their formulas written out, and the clip and scale of latent weights."""

import numpy as np
import pytest

from bitnet import InputError
from bitnet.autograd import LatentWeight, Parameter
from bitnet.nn import BinaryLinear
from bitnet.optim import SGD, Adam, AdaMax, ShiftAdaMax, clip_grad_norm
from bitnet.optim.schedules import Cosine

RNG = np.random.default_rng(0)
GRADS = RNG.standard_normal((5, 70_000)).astype(np.float32)  # more than a block


def run(optimizer, parameter):
    for grad in GRADS:
        parameter.grad = grad.copy()
        optimizer.step()
        assert np.array_equal(parameter.grad, grad)  # gradients are read only
    return parameter.data


def start():
    return Parameter(np.zeros(GRADS.shape[1], np.float32))


def test_sgd():
    w = start()
    assert np.allclose(run(SGD([w], lr=0.1), w), -0.1 * GRADS.sum(axis=0), atol=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(nesterov):
    w, expected, v = start(), 0.0, 0.0
    for g in GRADS.astype(np.float64):
        v = 0.9 * v + g
        expected = expected - 0.1 * (g + 0.9 * v if nesterov else v)
    optimizer = SGD([w], lr=0.1, momentum=0.9, nesterov=nesterov)
    assert np.allclose(run(optimizer, w), expected, atol=1e-5)


def test_adam():
    w, expected, m, v = start(), 0.0, 0.0, 0.0
    for t, g in enumerate(GRADS.astype(np.float64), 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        expected = expected - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert np.allclose(run(Adam([w], lr=0.1), w), expected, atol=1e-5)


def test_adamax():
    w, expected, m, u = start(), 0.0, 0.0, 0.0
    for t, g in enumerate(GRADS.astype(np.float64), 1):
        m, u = 0.9 * m + 0.1 * g, np.maximum(0.999 * u, abs(g))
        expected = expected - 0.1 * m / (1 - 0.9**t) / (u + 1e-8)
    assert np.allclose(run(AdaMax([w], lr=0.1), w), expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "power"), [(SGD, 2), (Adam, 1), (AdaMax, 1)])
def test_the_step_is_scaled_per_layer_before_it_is_clipped(kind, power):
    scaled, plain = LatentWeight([0.1, 0.1], clip=1.0, lr_scale=4.0), Parameter([0.1, 0.1])
    for w in (scaled, plain):
        w.grad = np.float32([1.0, -1.0])
    for w in (scaled, plain):
        kind([w], lr=0.05).step()
    moved = plain.data - np.float32(0.1)
    assert np.allclose(scaled.data, np.clip(0.1 + 4.0**power * moved, -1, 1))
    scaled.grad = np.float32([1e3, -1e3])
    SGD([scaled], lr=1.0).step()
    assert scaled.data.tolist() == [-1.0, 1.0]


def test_the_square_is_for_latent_weights_alone():
    free = Parameter([0.0], lr_scale=10.0)
    free.grad = np.float32([1.0])
    SGD([free], lr=0.01).step()
    assert free.data.item() == pytest.approx(-0.1)


def test_data_that_were_assigned_transposed_are_trained():
    w = Parameter(np.float32([[1, 2], [3, 4]]))
    w.data = w.data.T
    w.grad = np.ones((2, 2), np.float32)
    SGD([w], 0.5).step()
    assert w.data.tolist() == [[0.5, 2.5], [1.5, 3.5]]


def test_only_latent_weights_are_clipped():
    layer = BinaryLinear(3, 2, rng=RNG)
    free = Parameter([0.0])
    for w in (layer.weight, free):
        w.grad = np.full(w.shape, -5.0, np.float32)
    SGD([layer.weight, free], lr=1.0).step()
    assert (layer.weight.data == 1.0).all()
    assert free.data.tolist() == [5.0]


@pytest.mark.filterwarnings("ignore:Adam. 1 of 2 parameters")
def test_parameters_without_a_gradient_stay():
    a, b = Parameter([1.0]), Parameter([1.0])
    a.grad = np.float32([1.0])
    optimizer = Adam([a, b], lr=0.1)
    optimizer.step()
    assert (a.data.item() < 1.0, b.data.item()) == (True, 1.0)
    optimizer.zero_grad()
    assert a.grad is None


@pytest.mark.parametrize("kind", [SGD, Adam, AdaMax])
def test_state_goes_on_where_it_was(kind):
    a, b = start(), start()
    first, second = kind([a], lr=0.1), kind([b], lr=0.1)
    run(first, a)
    b.data[...] = a.data
    second.load_state_dict(first.state_dict())
    run(first, a)
    run(second, b)
    assert np.array_equal(a.data, b.data)


def test_state_that_does_not_fit_is_refused():
    adam = Adam([Parameter([1.0])])
    with pytest.raises(InputError, match=r"lacks '0[.]m'"):
        adam.load_state_dict({"steps": np.array(3)})
    with pytest.raises(InputError, match=r"\(2,\)"):
        adam.load_state_dict(Adam([Parameter([1.0, 2.0])]).state_dict())


@pytest.mark.parametrize("lr", [0, -1.0, float("nan"), float("inf"), "0.1", None])
def test_a_learning_rate_that_is_not_above_zero_is_refused(lr):
    with pytest.raises(InputError, match="lr is"):
        Adam([Parameter([1.0])], lr)
    optimizer = SGD([Parameter([1.0])], 0.1)
    with pytest.raises(InputError, match="lr is"):
        optimizer.lr = lr if lr != 0 else -0.5


def test_a_schedule_may_end_at_zero():
    w = Parameter([1.0])
    optimizer, w.grad = Adam([w], 0.1), np.float32([1.0])
    optimizer.lr = Cosine(0.1, 3)(3)
    optimizer.step()
    assert w.data.item() == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: Adam([]),
        lambda: Adam([np.ones(3)]),
        lambda: Adam([Parameter([1.0])], betas=(1.0, 0.9)),
        lambda: AdaMax([Parameter([1.0])], betas=(0.9, -0.1)),
        lambda: Adam([Parameter([1.0])], eps=0),
        lambda: Adam(2 * [Parameter([1.0])]),
        lambda: Adam([Parameter([1.0])], betas=0.9),
        lambda: Adam([Parameter([1.0])], weight_decay=None),
        lambda: Adam([Parameter([1.0])], weight_decay=np.nan),
        lambda: SGD([Parameter([1.0])], 0.1, momentum=1.0),
        lambda: clip_grad_norm([Parameter([1.0])], "1"),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call()


def test_a_gradient_that_does_not_fit_moves_nothing():
    first, second = Parameter([1.0]), Parameter([1.0])
    sgd = SGD([first, second], 0.5)
    first.grad, second.grad = np.ones(1, np.float32), np.ones(1)
    with pytest.raises(InputError, match="float64"):
        sgd.step()
    assert first.data == second.data == 1
    assert sgd.steps == 0


@pytest.mark.parametrize("kind", [SGD, Adam, AdaMax, ShiftAdaMax])
def test_weight_decay_is_decoupled_from_the_gradient(kind):
    """`w <- w - lr * weight_decay * w`, then the step that a parameter of this size takes."""
    plain, decayed = Parameter([[2.0 * (1 - 0.25 * 0.1), 0.0]]), Parameter([[2.0, 0.0]])
    gammas = Parameter([2.0, 0.0]), Parameter([2.0, 0.0])
    pairs = [plain, gammas[0]], [decayed, gammas[1]]
    optimizers = kind(pairs[0], 0.25), kind(pairs[1], 0.25, weight_decay=0.1)
    for optimizer in optimizers:
        for parameter in optimizer.parameters:
            parameter.grad = np.broadcast_to(np.float32([1.0, 0.0]), parameter.shape)
        optimizer.step()
    np.testing.assert_array_equal(gammas[0].data, gammas[1].data)
    np.testing.assert_array_equal(plain.data, decayed.data)
    assert "weight_decay" not in optimizers[0].settings()
    assert optimizers[1].settings()["weight_decay"] == 0.1
    for wrong in (-1.0, float("nan"), 4.0):
        with pytest.raises(InputError, match="weight_decay is"):
            kind([plain], 0.25, weight_decay=wrong)


def test_decayed_latent_weights_keep_their_signs_packed():
    weight = LatentWeight([[0.5, -0.5]], clip=1.0)
    optimizer = Adam([weight], weight_decay=0.5)
    weight.grad = np.zeros((1, 2), np.float32)
    optimizer.step()
    assert weight.has_signs
    assert weight.data.tolist() == [[np.float32(0.49975), np.float32(-0.49975)]]


def test_reprs_are_one_line():
    assert repr(Adam([Parameter([1.0]), Parameter([2.0])])) == "Adam(lr=0.001, 2 parameters)"


OPTIMIZERS = [
    lambda ps, **more: SGD(ps, 0.01, momentum=0.9, **more),
    Adam,
    AdaMax,
    ShiftAdaMax,
    lambda ps, **more: ShiftAdaMax(ps, variant="code", **more),
]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_moments_in_bfloat16_take_half_the_memory_and_steps_stay_close(kind):
    exact, narrow = start(), start()
    wide = kind([exact])
    small = kind([narrow], moments="bfloat16", rng=np.random.default_rng(0))
    run(wide, exact)
    run(small, narrow)
    sizes = [sum(a.nbytes for a in optimizer.state[0].values()) for optimizer in (wide, small)]
    assert sizes[0] == 2 * sizes[1]
    moved = abs(exact.data).mean()
    assert 0 < abs(narrow.data - exact.data).mean() < 0.03 * moved
    assert abs((narrow.data - exact.data).mean()) < 2e-4 * moved  # no bias


def test_moments_in_bfloat16_are_those_of_the_seed():
    def moments_of(seed):
        w = start()
        optimizer = Adam([w], moments="bfloat16", rng=np.random.default_rng(seed))
        run(optimizer, w)
        return optimizer.state_dict()

    first, same, other = (moments_of(seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert not np.array_equal(first["0.m"], other["0.m"])


def test_small_changes_of_a_moment_in_bfloat16_add_up():
    """Adam's v rises by 2^-10 of itself per step, which rounding to the nearest would lose."""
    w = Parameter(np.zeros(20_000, np.float32))
    optimizer = Adam([w], moments="bfloat16", rng=np.random.default_rng(0))
    for _ in range(100):
        w.grad = np.ones(20_000, np.float32)
        optimizer.step()
    v = optimizer.state[0]["v"].astype(np.uint32) << np.uint32(16)
    assert abs(v.view(np.float32).mean() / (1 - 0.999**100) - 1) < 0.003


def test_bfloat16_needs_a_generator_and_float32():
    with pytest.raises(InputError, match="pass rng="):
        Adam([start()], moments="bfloat16")
    with pytest.raises(InputError, match="float32 parameters"):
        double = Parameter(np.zeros(3))
        Adam([double], moments="bfloat16", rng=np.random.default_rng(0))
    with pytest.raises(InputError, match=r"numpy.random.Generator"):
        Adam([start()], moments="bfloat16", rng=0)
    with pytest.raises(InputError, match="expected one of float32, bfloat16"):
        Adam([start()], moments="float16")
