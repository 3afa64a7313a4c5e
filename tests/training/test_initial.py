"""Tests of initial weights from another training: what is copied, and what is not."""

import io

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.autograd import LatentWeight
from bitnet.nn import models
from bitnet.optim import Adam, schedules
from bitnet.training import Experiment, initialize, save_checkpoint

SMALL = {"net": "mlp:12,9", "data": "embedded", "limit": 100, "epochs": 1, "batch": 20}
TEXT = {"net": "gru:8", "limit": 600, "epochs": 1, "batch": 5, "steps": 20, "unit": "words"}


def trained(path, **changes):
    experiment = Experiment({**SMALL, **changes})
    list(experiment.epochs())
    experiment.save(path)
    return experiment


def parameters(experiment):
    return {name: p.data for name, p in experiment.model.named_parameters()}


def test_the_same_net_gets_all_parameters_and_new_statistics(tmp_path):
    base = trained(tmp_path / "a", seed=1)
    other = Experiment({**SMALL, "init": str(tmp_path / "a")})
    before, after = parameters(base), parameters(other)
    assert other.initial.loaded == tuple(before)
    assert not other.initial.kept
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert other.model.layers[1].batches == 0 < base.model.layers[1].batches
    assert other.optimizer.steps == 0


@pytest.mark.parametrize("net", ["mlp:12,9", "conv:3,4/5/6"])
@pytest.mark.parametrize("bits", ["1", "3"])
def test_float_first_then_bits(tmp_path, net, bits):
    """The i-th layer with weights of one is that of the other, whose weights have its deviation."""
    twin = trained(tmp_path / "a", net=net, float=True)
    own = {"net": net, "weights": bits, "activations": bits}
    fresh = Experiment({**SMALL, **own})
    other = Experiment({**SMALL, **own, "init": str(tmp_path / "a")})
    pairs = [
        [p for p in experiment.model.parameters() if p.ndim > 1]
        for experiment in (twin, other, fresh)
    ]
    for source, target, random in zip(*pairs, strict=True):
        assert isinstance(target, LatentWeight)
        factor = np.float32(random.data.std() / source.data.std())
        expected = np.clip(source.data * factor, -1, 1)
        np.testing.assert_allclose(target.data, expected, rtol=1e-6)
        assert np.array_equal(target.data >= 0, source.data >= 0)
    assert np.array_equal(twin.model.layers[2].gamma.data, other.model.layers[1].gamma.data)


def test_bits_first_then_float_keeps_the_biases(tmp_path):
    trained(tmp_path / "a")
    other = Experiment({**SMALL, "float": True, "init": str(tmp_path / "a")})
    assert {name.rpartition(".")[2] for name in other.initial.kept} == {"bias"}
    assert set(other.initial.kept.values()) == {"not in the file"}
    assert str(other.initial).startswith("9 of 12 parameters; not loaded: ")


def test_other_classes_and_another_first_layer(tmp_path):
    rng = np.random.default_rng(0)
    source = models.binary_mlp([20, 12, 9, 10], rng=rng)
    save_checkpoint(
        tmp_path / "a", 1, source, Adam(source.parameters()), schedules.Constant(1.0), rng
    )
    target = models.binary_mlp([30, 12, 9, 3], rng=rng)
    before = target.state_dict()
    initial = initialize(target, tmp_path / "a")
    assert initial.kept == {
        "layers.0.weight": "(12, 20) there, (12, 30) here",
        "layers.6.weight": "(10, 9) there, (3, 9) here",
        "layers.7.gamma": "(10,) there, (3,) here",
        "layers.7.beta": "(10,) there, (3,) here",
    }
    after = target.state_dict()
    assert np.array_equal(after["layers.3.weight"], source.layers[3].weight.data)
    assert all(np.array_equal(before[name], after[name]) for name in initial.kept)
    assert "1 more" in str(initial)


def test_what_does_not_fit_changes_nothing(tmp_path):
    trained(tmp_path / "a")
    target = models.binary_mlp([30, 5, 3], rng=np.random.default_rng(0))
    before = target.state_dict()
    with pytest.raises(InputError, match=r"no weights fit the net \(\(12, 784\) there, \(5, 30\)"):
        initialize(target, tmp_path / "a")
    assert all(np.array_equal(before[name], a) for name, a in target.state_dict().items())


def test_a_frozen_net_and_a_missing_file_are_refused(tmp_path):
    experiment = trained(tmp_path / "a")
    bitnet.load(tmp_path / "a").freeze().save(tmp_path / "b.npz")
    for path, message in (("b.npz", "a frozen net has no latent weights"), ("c", "No such file")):
        with pytest.raises(InputError, match=rf"init .*{path}: {message}"):
            Experiment({**SMALL, "init": str(tmp_path / path)})
    file = io.BytesIO()
    experiment.save(file)
    file.seek(0)
    assert len(initialize(experiment.model, file).loaded) == 9


def test_it_resumes_without_the_file(tmp_path):
    trained(tmp_path / "a", seed=1)
    settings = {**SMALL, "init": str(tmp_path / "a"), "epochs": 2}
    whole, part = Experiment(settings), Experiment(settings)
    list(whole.epochs())
    next(part.epochs())
    part.save(tmp_path / "b")
    (tmp_path / "a").unlink()
    part = Experiment.resume(tmp_path / "b")
    list(part.epochs())
    for experiment, name in ((whole, "whole"), (part, "part")):
        experiment.save(tmp_path / name)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "part").read_bytes()


def test_a_language_model_keeps_its_vocabulary(tmp_path):
    base = Experiment({**TEXT, "vocabulary": 50, "float": True})
    base.save(tmp_path / "a")
    other = Experiment({**TEXT, "limit": 900, "init": str(tmp_path / "a")})
    assert other.data.vocabulary.words == base.data.vocabulary.words
    before, after = parameters(base), parameters(other)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    list(other.epochs())
    for changes, message in (
        ({"vocabulary": 40}, "its vocabulary is used; remove vocabulary"),
        ({"unit": "characters"}, "the net predicts words, but unit is characters"),
    ):
        with pytest.raises(InputError, match=message):
            Experiment({**TEXT, **changes, "init": str(tmp_path / "a")})
