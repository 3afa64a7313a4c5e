"""Layers and models of language: settings, packed weights, states, clipping, learning."""

import numpy as np
import pytest

import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor, kernels, no_grad
from bitnet.autograd import LatentWeight, Parameter
from bitnet.kernels import BitPlanes
from bitnet.nn import Embedding, ScaledLinear
from bitnet.nn import Linear as FloatLinear
from bitnet.nn.models.language import KINDS, LanguageModel, language_model
from bitnet.nn.recurrent import GRU, LSTM, RNN, detach
from bitnet.optim import SGD, Adam, clip_grad_norm
from bitnet.quantizers import DoReFa, LinearQuant, Ternary, Uniform, dorefa_activation

X = np.random.default_rng(9).standard_normal((5, 3, 8)).astype(np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
@pytest.mark.parametrize("few", [{}, {"weight_quantizer": 3, "activation_quantizer": 4}])
def test_layers_are_functions_one_behind_the_other(kind, few):
    layer = kind(8, 16, rng=rng(), num_layers=2, **few)
    y, state = layer(X)
    assert y.shape == (5, 3, 16)
    assert [len(own) for own in state] == [layer.n_states] * 2
    x = Tensor(X)
    options = {"quantizer": layer.activation_quantizer} if few else {}
    for i in range(2):
        weights = layer.input_weights[i], layer.state_weights[i]
        if few:
            x = F.quantize(x, Uniform(4))
            weights = [F.quantize_scaled(w.data, Uniform(3)) for w in weights]
        x, _ = getattr(F, kind.__name__.lower())(x, *weights, layer.biases[i], **options)
    np.testing.assert_array_equal(x.data, y.data)
    assert len(layer.parameters()) == 6
    assert "state_weights.1" in layer.state_dict()


def test_the_first_weights():
    layer = LSTM(8, 25, rng=rng())
    for weight in (*layer.input_weights, *layer.state_weights):
        assert 0.19 < abs(weight.data).max() <= 0.2
        assert weight.clip is None
    assert layer.biases[0].data.tolist() == [0] * 25 + [1] * 25 + [0] * 50
    assert not GRU(8, 25, rng=rng()).biases[0].data.any()


def test_rectified_states_are_quantized_from_zero_to_three():
    layer = RNN(8, 16, rng=rng(), weight_quantizer=4, activation_quantizer=3, activation="relu")
    assert layer.activation_quantizer == LinearQuant(3, 3 / 7, signed=False)
    assert RNN(
        8, 16, rng=rng(), weight_quantizer=4, activation_quantizer=3
    ).activation_quantizer == Uniform(3)
    model = language_model(
        9,
        rng=rng(),
        kind="rnn",
        width=8,
        units=16,
        weight_quantizer=4,
        activation_quantizer=3,
        activation="relu",
    )
    assert model.embedding.activation_quantizer == Uniform(3)  # rows of the table have both signs
    assert model.decoder.activation_quantizer == LinearQuant(3, 3 / 7, signed=False)
    few = {"weight_quantizer": 4, "activation_quantizer": dorefa_activation(2)}
    model = language_model(9, rng=rng(), kind="rnn", width=8, units=16, **few, activation="relu")
    assert model.embedding.activation_quantizer == Uniform(2)
    assert model.decoder.activation_quantizer == dorefa_activation(2)


def test_the_rows_of_an_embedding_are_packed_at_one_scale():
    layer = Embedding(20, 70, rng=rng(), activation_quantizer=4)
    rows = layer(np.array([[1, 2], [2, 19]])).data
    assert isinstance(rows, BitPlanes)
    assert rows.shape == (2, 2, 70)
    table = F.quantize_scaled(layer.weight.data, Uniform(4)).data
    np.testing.assert_array_equal(rows.values(), table.values()[[[1, 2], [2, 19]]])


def test_weights_are_packed_once_a_step(monkeypatch):
    layer, optimizer = LSTM(8, 16, rng=rng(), weight_quantizer=4, activation_quantizer=4), None
    optimizer = SGD(layer.parameters(), lr=0.1)
    packed, split = [], kernels.Codebook.planes

    def planes(codebook, codes):
        packed.append(codes.shape)
        return split(codebook, codes)

    monkeypatch.setattr(kernels.Codebook, "planes", planes)
    for _ in range(2):
        for _ in range(3):
            y, _ = layer(X)
        assert sum(shape == (64, 16) for shape in packed) == 1
        y.sum().backward()
        before = F.quantize_scaled(layer.state_weights[0], layer.weight_quantizer).data
        optimizer.step()
        packed.clear()
    with no_grad():
        after = F.quantize_scaled(layer.state_weights[0], layer.weight_quantizer).data
    assert after is not before
    assert after.unit != before.unit


def test_what_is_derived_of_data_goes_when_they_change():
    weight, made = LatentWeight([[1.0, 2.0]]), []

    def total(data):
        made.append(1)
        return data.sum()

    assert weight.derived("sum", total) == weight.derived("sum", total) == 3
    assert len(made) == 1
    with pytest.raises(ValueError, match="read-only"):
        weight.data[0, 0] = 5
    weight.edit()[0, 0] = 5
    assert weight.derived("sum", total) == 7
    weight.data = np.float32([[1.0, 1.0]])
    assert weight.derived("sum", total) == 2


def test_dropout_keeps_what_is_packed_packed(monkeypatch):
    seen = []
    lstm = F.lstm
    monkeypatch.setattr(
        LSTM,
        "function",
        lambda self, x, *rest, **options: seen.append(x.data) or lstm(x, *rest, **options),
    )
    layer = LSTM(
        8, 16, rng=rng(), num_layers=2, dropout=0.5, weight_quantizer=4, activation_quantizer=4
    )
    layer(X)
    layer.eval()(X)
    assert [x.scale for x in seen] == [1.0, 1.0, 1.0, 1.0]
    assert [len(x.coefficients) for x in seen] == [4, 8, 4, 4]
    assert (seen[1].integers() == 0).any()


def test_states_end_where_they_are_detached():
    layer = GRU(8, 16, rng=rng())
    _, state = layer(X)
    y, _ = layer(X, state)
    y.sum().backward()
    through = layer.state_weights[0].grad.copy()
    layer.state_weights[0].grad = None
    y, _ = layer(X, detach(layer(X)[1]))
    y.sum().backward()
    assert not np.allclose(through, layer.state_weights[0].grad)
    assert detach(None) is None


def test_gradients_are_clipped_together():
    a, b, none = Parameter([3.0]), Parameter([[4.0]]), Parameter([1.0])
    a.grad, b.grad = np.float32([3.0]), np.float32([[-4.0]])
    assert clip_grad_norm([a, b, none], 5.0) == 5.0
    assert (a.grad.item(), b.grad.item()) == (3.0, -4.0)
    assert clip_grad_norm([a, b, none], 2.5) == 5.0
    assert (a.grad.item(), b.grad.item(), none.grad) == (1.5, -2.0, None)
    assert clip_grad_norm([none], 1.0) == 0.0


def test_the_gradient_of_a_single_number_is_clipped_too():
    alone = Parameter(3.0)
    (alone * 2.0).backward()
    assert clip_grad_norm(alone, 1.0) == 2.0
    assert alone.grad == 1.0


def test_a_lazy_gradient_is_clipped_too():
    layer = ScaledLinear(8, 4, rng=rng(), weight_quantizer=2, activation_quantizer=3)
    layer(X).sum().backward()
    norm = clip_grad_norm(layer.parameters(), 1e-3)
    own = np.sqrt(sum((p.grad**2).sum() for p in layer.parameters()))
    assert norm > 1e-2
    assert own == pytest.approx(1e-3, rel=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gradients_that_are_no_numbers_are_refused(bad):
    a = Parameter([1.0])
    a.grad = np.float32([bad])
    with pytest.raises(InputError, match="NaN or infinity"):
        clip_grad_norm([a], 1.0)
    with pytest.raises(InputError, match="norm is 0"):
        clip_grad_norm([a], 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("few", [{}, {"weight_quantizer": 4, "activation_quantizer": 4}])
def test_a_model_learns_a_text_that_repeats(kind, few):
    text = np.tile([0, 1, 2, 0, 2, 1], 30)
    model = language_model(3, rng=rng(), kind=kind, width=8, units=24, **few)
    optimizer = Adam(model.parameters(), lr=0.02)
    losses, state = [], None
    for step in range(40):
        ids = text[step % 6 :][:121].reshape(121, 1)
        scores, state = model(ids[:-1], detach(state) if step % 6 else None)
        loss = F.cross_entropy(scores, ids[1:].ravel())
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.0
    assert min(losses[-5:]) < 0.35


def test_dropout_of_a_model_is_of_its_training():
    model = language_model(
        9, rng=rng(), width=8, units=16, weight_quantizer=4, activation_quantizer=4, dropout=0.5
    )
    ids = np.arange(9).reshape(3, 3)
    assert (model(ids)[0].data != model(ids)[0].data).any()
    model.eval()
    np.testing.assert_array_equal(model(ids)[0].data, model(ids)[0].data)
    assert model.recurrent.dropout == 0.5


def test_a_model_knows_where_its_state_is():
    model = language_model(9, rng=rng(), kind="gru", width=8, units=16, layers=2)
    ids = rng().integers(0, 9, (6, 2))
    whole, _ = model(ids)
    first, state = model(ids[:2])
    second, _ = model(ids[2:], state)
    assert np.allclose(np.concatenate([first.data, second.data]), whole.data, atol=1e-5)


def test_settings_that_do_not_fit_are_refused():
    calls = [
        lambda: RNN(8, 16, rng=rng(), activation="sine"),
        lambda: RNN(0, 16, rng=rng()),
        lambda: LSTM(8, 16, rng=rng(), num_layers=0),
        lambda: LSTM(8, 16, rng=0),
        lambda: LSTM(8, 16, rng=rng(), dropout=1.0),
        lambda: LSTM(8, 16, rng=rng(), weight_quantizer=4),
        lambda: LSTM(8, 16, rng=rng(), activation_quantizer=4),
        lambda: LSTM(8, 16, rng=rng(), weight_quantizer=9, activation_quantizer=4),
        lambda: LSTM(8, 16, rng=rng(), weight_quantizer=4, activation_quantizer=Ternary()),
        lambda: LSTM(
            8, 16, rng=rng(), weight_quantizer=4, activation_quantizer=4, grad_format="int3"
        ),
        lambda: LSTM(8, 16, rng=rng())(X[:, :, :7]),
        lambda: LSTM(8, 16, rng=rng())(X, ()),
        lambda: Embedding(4, 2, rng=rng(), activation_quantizer=DoReFa(2)),
        lambda: Embedding(4, 2, rng=rng())([4]),
        lambda: ScaledLinear(8, 4, rng=rng(), weight_quantizer=2, activation_quantizer=3)(
            X[..., :7]
        ),
        lambda: language_model(9, rng=rng(), kind="transformer"),
        lambda: language_model(9, rng=rng(), kind="lstm", activation="relu"),
        lambda: LanguageModel(
            Embedding(9, 8, rng=rng()), LSTM(7, 16, rng=rng()), FloatLinear(16, 9, rng=rng())
        ),
    ]
    for call in calls:
        with pytest.raises(InputError):
            call()


def test_weights_of_other_quantizers():
    for weights, activations in ((Ternary(), LinearQuant(4, 0.125)), ("log:4", 4), ("dorefa:2", 3)):
        layer = LSTM(8, 16, rng=rng(), weight_quantizer=weights, activation_quantizer=activations)
        y, _ = layer(X)
        y.sum().backward()
        assert all(p.grad is not None for p in layer.parameters())


def test_ids_may_be_lists_and_floats_are_refused():
    model = language_model(9, rng=rng(), width=4, units=5).eval()
    ids = np.array([[1, 8], [0, 3]])
    expected, state = model(ids, None)
    found, again = model(ids.tolist(), state=None)
    assert (found.data == expected.data).all()
    assert (again[0][0].data == state[0][0].data).all()
    for wrong in (ids + 0.5, ids + np.nan, ids + np.inf, ids.astype(np.float32) + 2**24):
        with pytest.raises(InputError, match="expected integers"):
            model(wrong)
