"""Recurrent functions against loops in NumPy, in float and with k bits."""

import numpy as np
import pytest
import recurrent_cases as cases
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor, kernels
from bitnet.kernels import BitPlanes
from bitnet.quantizers import LinearQuant, LogQuant, Ternary, Uniform

KINDS = {"rnn": 1, "lstm": 4, "gru": 3}


def draw(seed, kind, steps=4, batch=3, n=70, h=65, dtype=np.float32):
    rng = np.random.default_rng(seed)
    rows = KINDS[kind] * h
    shapes = (steps, batch, n), (rows, n), (rows, h), (rows,)
    x, *weights = ((rng.standard_normal(s) / 4).astype(dtype) for s in shapes)
    states = rng.standard_normal((1 + (kind == "lstm"), batch, h)).astype(dtype)
    return x, weights, list(states)


def by_hand(kind, x, weight, state_weight, bias, states, q=lambda h: h):
    """The definition, in float64."""
    arrays = (np.float64(a) for a in (x, weight, state_weight, bias))
    x, weight, state_weight, bias = arrays
    h, *cell = map(np.float64, states)
    s, ys = (lambda v: 1 / (1 + np.exp(-v))), []
    for step in x:
        z, p = step @ weight.T + bias, q(h) @ state_weight.T
        if kind == "rnn":
            h = np.tanh(z + p)
        elif kind == "lstm":
            i, f, g, o = np.split(z + p, 4, axis=1)
            cell = [s(f) * cell[0] + s(i) * np.tanh(g)]
            h = s(o) * np.tanh(cell[0])
        else:
            (r, u, n), (to_r, to_u, to_n) = np.split(z, 3, axis=1), np.split(p, 3, axis=1)
            u = s(u + to_u)
            h = (1 - u) * np.tanh(n + s(r + to_r) * to_n) + u * h
        ys.append(h)
    return np.stack(ys), [h, *cell]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sequence_is_its_loop(kind, dtype):
    x, weights, states = draw(0, kind, dtype=dtype)
    y, after = getattr(F, kind)(x, *weights, states)
    expected, last = by_hand(kind, x, *weights, states)
    assert y.data.dtype == dtype
    assert np.allclose(y.data, expected, atol=1e-5 if dtype == np.float32 else 1e-12)
    for own, other in zip(after, last, strict=True):
        assert np.allclose(own.data, other, atol=1e-5)
    np.testing.assert_array_equal(after[0].data, y.data[-1])


QUANTIZERS = [Uniform(1), Uniform(2), Uniform(4), LinearQuant(4, 0.125), LogQuant(3)]


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("q", QUANTIZERS, ids=lambda q: q.name)
def test_a_sequence_of_few_bits_is_that_of_their_numbers(kind, q):
    x, (weight, state_weight, bias), states = draw(1, kind)
    few = F.quantize(x, q), F.quantize_scaled(weight, q), F.quantize_scaled(state_weight, Ternary())
    y, _ = getattr(F, kind)(*few, bias, states, quantizer=q)
    numbers = [F.unpack(own, np.float64).data for own in few]
    # one step at a time: what q makes of a state at an edge is a matter of the last bit
    before = [np.float64(s) for s in states]
    for t in range(len(x)):
        part = numbers[0][t : t + 1]
        own = by_hand(
            kind,
            part,
            *numbers[1:],
            bias,
            before,
            q=lambda h: np.float64(q.values(h.astype(np.float32))),
        )
        assert np.allclose(y.data[t], own[0][0], atol=1e-5)
        before = [y.data[t], *own[1][1:]]


@pytest.mark.parametrize("kind", KINDS)
@given(st.sampled_from((1, 2, 5)), st.sampled_from((0, 1, 3)), st.sampled_from((1, 64, 65)), seeds)
def test_two_halves_are_the_whole(kind, steps, batch, h, seed):
    """State and gradients continue: bit for bit with k bits, whose sums are exact."""
    x, (weight, state_weight, bias), states = draw(seed, kind, 2 * steps, batch, 9, h)
    q = Uniform(3)

    def run(parts):
        own = [Tensor(a, requires_grad=True) for a in (weight, state_weight, bias, states[0])]
        few = [F.quantize_scaled(w, q) for w in own[:2]]
        state, ys = [own[3], *states[1:]], []
        for part in np.split(x, parts):
            y, state = getattr(F, kind)(F.quantize(part, q), *few, own[2], state, quantizer=q)
            ys.append(y)
        total = sum((y * y).sum() for y in ys) + state[-1].sum()
        total.backward()
        return np.concatenate([y.data for y in ys]), [leaf.grad for leaf in own]

    (whole, grads), (halves, others) = run(1), run(2)
    np.testing.assert_array_equal(whole, halves)
    for a, b in zip(grads, others, strict=True):
        assert np.allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gradient", ["int8", "dorefa8", "log6"])
def test_rounded_gradients_point_the_same_way(kind, gradient):
    x, weights, states = draw(2, kind)

    def grads(gradient):
        own = [Tensor(a, requires_grad=True) for a in (x, *weights, *states)]
        few = F.quantize(own[0], Uniform(4)), *(F.quantize_scaled(w, Uniform(4)) for w in own[1:3])
        rng = np.random.default_rng(0) if gradient == "dorefa8" else None
        options = {"quantizer": Uniform(4), "grad_format": gradient, "rng": rng}
        y, _ = getattr(F, kind)(*few, own[3], own[4:], **options)
        (y * y).sum().backward()
        return [leaf.grad.ravel() for leaf in own]

    for exact, came in zip(grads("float32"), grads(gradient), strict=True):
        cosine = came @ exact / np.linalg.norm(came) / np.linalg.norm(exact)
        assert cosine > (0.95 if gradient == "log6" else 0.995)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_may_be_a_transposed_view(kind):
    x, weights, states = draw(5, kind, n=5, h=6)
    given = np.random.default_rng(5).standard_normal((6, 3, 4)).astype(np.float32)

    def grads(loss):
        own = [Tensor(a, requires_grad=True) for a in (x, *weights, *states)]
        loss(getattr(F, kind)(*own[:4], own[4:])[0]).backward()
        return [leaf.grad for leaf in own]

    views = grads(lambda y: (F.shapes.transpose(y) * given).sum())
    for a, b in zip(views, grads(lambda y: (y * np.ascontiguousarray(given.T)).sum()), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_the_state_may_be_dropped(kind):
    """Dropout of planes gives them a scale, which counts as their unit does."""
    x, (weight, state_weight, bias), states = draw(6, kind, steps=1)
    q = Uniform(3)
    x, weight, kept = F.quantize(x, q), *(F.quantize_scaled(w, q) for w in (weight, state_weight))
    kept = F.dropout(kept, 0.3, np.random.default_rng(0))
    y, _ = getattr(F, kind)(x, weight, kept, bias, states, quantizer=q)
    numbers = [F.unpack(own, np.float64).data for own in (x, weight, kept)]
    expected, _ = by_hand(kind, *numbers, bias, states, q=q.values)
    assert np.allclose(y.data, expected, atol=1e-5)


def test_the_weights_are_laid_out_once_for_all_steps(monkeypatch):
    made = []
    prepare = kernels.prepare
    monkeypatch.setattr(kernels, "prepare", lambda w: made.append(w) or prepare(w))
    x, (weight, state_weight, bias), states = draw(3, "lstm", steps=6)
    few = (
        F.quantize(x, Uniform(4)),
        *(F.quantize_scaled(w, Uniform(4)) for w in (weight, state_weight)),
    )
    F.lstm(*few, bias, states, quantizer=Uniform(4))
    assert len(made) == 1


def test_gates_and_cell_are_floats_and_products_integers(monkeypatch):
    seen, lstm_step = [], kernels.cells.lstm_step

    def step(z, product, unit, before, c, h):
        seen.append([z.dtype, product.dtype, c.dtype])
        lstm_step(z, product, unit, before, c, h)

    monkeypatch.setattr(kernels.cells, "lstm_step", step)
    x, (weight, state_weight, bias), states = draw(4, "lstm")
    few = (
        F.quantize(x, Uniform(4)),
        *(F.quantize_scaled(w, Uniform(4)) for w in (weight, state_weight)),
    )
    F.lstm(*few, bias, states, quantizer=Uniform(4))
    assert seen == [[np.float32, np.int32, np.float32]] * 4


def test_quantized_at_the_scale_of_x():
    x = np.float32([[0.3, -0.2], [0.05, 0.0]])
    planes = F.quantize_scaled(x, Uniform(2), scale=0.3).data
    assert isinstance(planes, BitPlanes)
    assert np.allclose(planes.values(), [[0.3, -0.1], [0.1, 0.1]])
    own = F.quantize_scaled(x * np.float32(100), Uniform(2)).data
    assert (own.integers() == F.quantize_scaled(x, Uniform(2)).data.integers()).all()


def test_a_product_of_bits_with_units_and_a_bias():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 70)).astype(np.float32), rng.standard_normal((5, 70))
    few = F.quantize(x, LinearQuant(3, 0.25)), F.quantize_scaled(w.astype(np.float32), Uniform(1))
    y = F.scaled_linear(*few, np.arange(5, dtype=np.float32))
    numbers = [F.unpack(own, np.float64).data for own in few]
    assert np.allclose(y.data, numbers[0] @ numbers[1].T + np.arange(5))
    dropped = F.dropout(few[0], 0.5, np.random.default_rng(1))
    y = F.scaled_linear(dropped, few[1], np.zeros(5, np.float32))
    assert np.allclose(y.data, F.unpack(dropped, np.float64).data @ numbers[1].T)


def test_what_does_not_fit_is_refused():
    x, weights, states = draw(0, "rnn", h=3, n=5)
    q = Uniform(2)
    few = F.quantize(x, q), F.quantize_scaled(weights[0], q), F.quantize_scaled(weights[1], q)
    calls = [
        lambda: F.rnn(x, *weights, states, activation="sigmoid"),
        lambda: F.rnn(x[:0], *weights, states),
        lambda: F.rnn(x[0], *weights, states),
        lambda: F.rnn(x, *weights, [*states, *states]),
        lambda: F.rnn(x, *weights, [states[0][:2]]),
        lambda: F.rnn(x, *weights, 5),
        lambda: F.rnn(x, *weights, [F.sign(states[0])]),
        lambda: F.rnn(x, *weights, [F.quantize(states[0], q)]),
        lambda: F.rnn(x, weights[0], 3.0, weights[2]),
        lambda: F.lstm(x, *weights),
        lambda: F.gru(x, *weights),
        lambda: F.rnn(x, *weights, quantizer=q),
        lambda: F.rnn(*few, weights[2]),
        lambda: F.rnn(x, *few[1:], weights[2], quantizer=q),
        lambda: F.rnn(*few, weights[2], quantizer=q, grad_format="int3"),
        lambda: F.rnn(np.full_like(x, np.nan), *weights),
        lambda: F.scaled_linear(x, few[1], weights[2]),
        lambda: F.scaled_linear(*few[:2], weights[2][:2]),
        lambda: F.quantize_scaled(np.float32([np.nan]), q, scale=1.0),
        lambda: F.quantize_scaled([[1.0]], 4),
        lambda: F.embedding([0.5], weights[0]),
        lambda: F.embedding([3], weights[0]),
        lambda: F.embedding([-1], weights[0]),
        lambda: F.embedding([0], weights[2]),
        lambda: Tensor(x)[4],
        lambda: Tensor(x)[np.int64(4)],
        lambda: Tensor(1.0)[0],
    ]
    for call in calls:
        with pytest.raises(InputError):
            call()


def test_the_cases_of_the_gradient_check_draw_from_the_grid():
    x, weight, *_ = cases.operands("lstm", few=True)
    np.testing.assert_allclose(Uniform(3).values(x), x, atol=1e-12)
    assert np.allclose(F.unpack(cases.weights_of(Tensor(weight)), np.float64).data, weight)
