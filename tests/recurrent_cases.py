"""Cases of `test_gradients` for embeddings, scaled products and recurrent layers."""

import functools

import numpy as np

import bitnet.nn.functional as F  # noqa: N812
from bitnet.quantizers import DoReFa, LinearQuant, Uniform

RNG = np.random.default_rng(1)
T, B, N, H = 4, 3, 5, 6
THREE_BITS = np.arange(-7, 8, 2) / 7
IDS = np.array([[0, 3], [3, 3]])
TABLE = RNG.standard_normal((4, 5))
X, STATE, CELL = (RNG.standard_normal(shape) for shape in ((T, B, N), (B, H), (B, H)))
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
STATES = {"rnn": [STATE], "lstm": [STATE, CELL], "gru": [STATE]}


def operands(kind, few=False):
    """Return x, weight, state_weight, bias and states, on the grids of the quantizers if `few`."""
    rows = GATES[kind] * H
    draw = functools.partial(RNG.choice, THREE_BITS) if few else RNG.standard_normal
    scale = 0.5 if few else 0.4
    weights = draw((rows, N)) * scale, draw((rows, H)) * scale
    return draw((T, B, N)), *weights, RNG.standard_normal(rows), *STATES[kind]


def outputs(y, states):
    """Return the outputs and states of a layer in one Tensor."""
    for i, state in enumerate(states, 2):
        y = y + state * float(i)
    return y


def of_floats(kind, **options):
    def run(x, weight, state_weight, bias, *states):
        function = getattr(F, kind)
        return outputs(*function(x, weight, state_weight, bias, states, **options))

    return (run, *operands(kind)), {"batched": (), "tolerance": 1e-5}


def straight(x, bits=3):
    return F.quantize(x, Uniform(bits), straight=True)


def weights_of(w):
    return F.quantize_scaled(w, Uniform(3), scale=0.5)


def low_bit(kind, quantizer, **options):
    """Return a case whose surrogate runs step by step, with `slope * h + constant` for q(h)."""
    given = operands(kind, few=True)

    def run(x, weight, state_weight, bias, *states):
        few = straight(x), weights_of(weight), weights_of(state_weight)
        layer = functools.partial(getattr(F, kind), quantizer=quantizer, **options)
        return outputs(*layer(*few, bias, states))

    constants = []
    steps = stepwise(kind, options.get("activation"))
    steps(*given, lambda h, t: constants.append(pretended(quantizer, h)) or constants[t])

    def surrogate(*inputs):
        return steps(*inputs, lambda h, t: constants[t])

    return (run, *given), {"surrogate": surrogate, "batched": (), "tolerance": 1e-5}


def pretended(quantizer, h):
    """Return (slope, constant) of the line that stands for q around h."""
    slope = quantizer.slope(h.data)
    return slope, quantizer.values(h.data) - slope * h.data


def stepwise(kind, activation):
    def run(x, weight, state_weight, bias, *states_and_lines):
        *states, lines = states_and_lines
        x, weight, state_weight, bias, *states = map(
            F_tensor, (x, weight, state_weight, bias, *states)
        )
        ys = []
        for t in range(T):
            slope, constant = lines(states[0], t)
            seen = states[0] * slope + constant
            z = F.linear(x[t], weight, bias)
            product = seen @ state_weight.T
            if kind == "gru":
                states = [gru(z, product, states[0])]
            elif kind == "lstm":
                states = lstm(z + product, states[1])
            else:
                states = [F.relu(z + product) if activation == "relu" else tanh(z + product)]
            ys.append(F.reshape(states[0], 1, B * H))
        y = F.reshape(F.concatenate(*ys), T, B, H)
        return outputs(y, states)

    return run


def F_tensor(x):  # noqa: N802
    from bitnet.autograd.tensor import as_tensor

    return as_tensor(x)


def tanh(v):
    """Compute tanh by a plain recurrent layer of one step without a state."""
    n = v.shape[1]
    y, _ = F.rnn(F.reshape(v, 1, *v.shape), np.eye(n), np.zeros((n, n)), np.zeros(n))
    return y[0]


def logistic(v):
    return tanh(v * 0.5) * 0.5 + 0.5


def parts(v, count):
    v = v.T
    return [v[k * H : (k + 1) * H].T for k in range(count)]


def lstm(v, c):
    i, f, g, o = parts(v, 4)
    c = logistic(f) * c + logistic(i) * tanh(g)
    return [logistic(o) * tanh(c), c]


def gru(z, p, h):
    (r, u, n), (to_r, to_u, to_n) = parts(z, 3), parts(p, 3)
    r, u = logistic(r + to_r), logistic(u + to_u)
    n = tanh(n + r * to_n)
    return n + u * (h - n)


def smooth_weights(w):
    return F.unpack(F.quantize_scaled(w, DoReFa(3), scale=0.7), np.float64)


def dorefa_surrogate(w):
    t = tanh(w / 0.7)
    return t * (0.7 / float(abs(np.tanh(TABLE / 0.7)).max()))


CASES = {
    "Embedding": [((lambda w: F.embedding(IDS, w), TABLE), {"batched": ()})],
    "QuantizeScaled": [
        ((lambda w: F.unpack(weights_of(w), np.float64), TABLE), {"surrogate": lambda w: w}),
        ((smooth_weights, TABLE), {"surrogate": dorefa_surrogate, "batched": ()}),
    ],
    "ScaledLinear": [
        (
            (
                lambda x, w, b: F.scaled_linear(straight(x), weights_of(w), b),
                RNG.choice(THREE_BITS, (2, 3, 70)),
                RNG.choice(THREE_BITS, (4, 70)) / 2,
                RNG.standard_normal(4),
            ),
            {
                "surrogate": lambda x, w, b: F.reshape(
                    F.linear(F.reshape(x, x.shape[0] * 3, 70), w, b), x.shape[0], 3, 4
                )
            },
        ),
        (
            (
                lambda x, w, b: F.scaled_linear(straight(x, 1), weights_of(w), b),
                RNG.choice([-1.0, 1.0], (3, 70)),
                RNG.choice(THREE_BITS, (4, 70)) / 2,
                RNG.standard_normal(4),
            ),
            {"surrogate": F.linear},
        ),
    ],
    "RNN": [
        of_floats("rnn"),
        of_floats("rnn", activation="relu"),
        low_bit("rnn", Uniform(3)),
        low_bit("rnn", LinearQuant(3, 0.5, signed=False), activation="relu"),
    ],
    "LSTM": [of_floats("lstm"), low_bit("lstm", Uniform(4, 0.5)), low_bit("lstm", Uniform(1))],
    "GRU": [of_floats("gru"), low_bit("gru", Uniform(4, 0.5))],
}
