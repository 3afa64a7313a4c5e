"""Classifiers of texts with different lengths: masks, freezing with any batch, refusals."""

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.analysis import summary
from bitnet.nn import functional
from bitnet.nn.models import padded, sequence_classifier
from bitnet.nn.module import evaluating

BITS = {"float": {}, "bits": {"weight_quantizer": 2, "activation_quantizer": 3}}


def texts(count, rng):
    return [rng.integers(1, 9, rng.integers(1, 8)).tolist() for _ in range(count)]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_it_trains_freezes_and_comes_back(kind, pooling, bits, tmp_path):
    rng = np.random.default_rng(0)
    sizes = {"width": 5, "units": 6, "layers": 2, "pooling": pooling}
    model = sequence_classifier(9, 3, rng=rng, kind=kind, **sizes, **BITS[bits])
    x, labels = padded(texts(12, rng)), rng.integers(0, 3, 12)
    adam = bitnet.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(12):
        adam.zero_grad()
        loss = functional.cross_entropy(model(x), labels)
        loss.backward()
        assert all(abs(p.grad).max() > 0 for p in model.parameters())
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    net = bitnet.freeze(model, x[:1], axes="BT")
    net.save(tmp_path / "net.npz")
    net = bitnet.load(tmp_path / "net.npz")
    for ids in (x, x[:1, :1], padded(texts(3, rng)), np.zeros((1, 4), int)):
        with evaluating(model):
            expected = model(ids).data
        assert np.array_equal(net.scores(ids), expected)
    assert summary(model, x[:1], net).total("memory") > 0


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_padding_changes_nothing(pooling):
    rng = np.random.default_rng(1)
    model = sequence_classifier(9, 3, rng=rng, pooling=pooling, units=5, kind="gru")
    model.decoder.weight.assign(rng.standard_normal((3, 5)))
    x = texts(6, rng)
    with evaluating(model):
        alone = np.concatenate([model(padded([own])).data for own in x])
        wide = np.zeros((6, 20), int)
        wide[:, : padded(x).shape[1]] = padded(x)
        for ids in (padded(x), wide):
            assert np.allclose(model(ids).data, alone, atol=1e-6)
        assert not np.allclose(alone[0], alone[1])


def test_padding_of_sequences():
    assert padded([[1], [2, 3]], 7).tolist() == [[1, 7], [2, 3]]
    for wrong in ([], [[]]):
        with pytest.raises(InputError, match="at least one that has an id"):
            padded(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "cnn"}, "kind is 'cnn'"),
        ({"pooling": "max"}, "pooling is 'max'"),
        ({"padding": 9}, "padding is 9; expected an id below 9"),
        ({"weight_quantizer": 2}, "both, or neither"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        sequence_classifier(9, 3, rng=np.random.default_rng(0), **options)


def test_ids_of_a_single_text_are_refused():
    with pytest.raises(InputError, match=r"expected ids \(B, T\)|ids \(B, T\)"):
        sequence_classifier(9, 3, rng=np.random.default_rng(0))(np.array([1, 2]))
