"""Tests of training language models: equality with a loop by hand, resuming and learning."""

import math

import numpy as np
import pytest
from language_models import Fading

from bitnet import InputError
from bitnet.data import Corpus, load_corpus, sequences
from bitnet.data.vocabulary import Vocabulary
from bitnet.nn import functional
from bitnet.nn.models.language import language_model
from bitnet.nn.recurrent import detach
from bitnet.optim import SGD, Adam
from bitnet.optim.schedules import Constant, Plateau
from bitnet.training import (
    Texts,
    evaluate_language,
    fit,
    load_checkpoint,
    perplexity,
    save_checkpoint,
)
from bitnet.training.loop import Epoch
from bitnet.training.metrics import measures
from bitnet.training.texts import REGIMES, schedule_of

TEXT = "the sea the sea and a storm\n" * 6
VOCABULARY = Vocabulary.of(TEXT, "characters")
IDS = VOCABULARY.encode(TEXT)
CORPUS = Corpus("test", IDS, IDS[:40], IDS[40:90], VOCABULARY)


def start(seed=0, lr=0.5, schedule=None, corpus=CORPUS, clip=5.0, batch=4, steps=5, **more):
    model = Fading(len(VOCABULARY), 6, np.random.default_rng(seed))
    return {
        "model": model,
        "data": Texts(corpus, batch, steps, clip),
        "optimizer": SGD(model.parameters(), lr),
        "schedule": schedule or Constant(lr),
        "epochs": 3,
        "rng": np.random.default_rng(seed),
        **more,
    }


def test_it_is_the_loop_by_hand():
    training = start(clip=0.7)
    epochs = list(fit(**training))
    model, rng, clipped = Fading(len(VOCABULARY), 6, np.random.default_rng(0)), None, 0
    rng, sgd = np.random.default_rng(0), SGD(model.parameters(), 0.5)
    for epoch in epochs:
        losses, state = [], None
        for piece in sequences(IDS, 4, 5, rng):
            scores, state = model(piece.x, detach(state) if piece.continues else None)
            loss = functional.cross_entropy(scores, piece.y.reshape(-1))
            losses.append(loss.item())
            sgd.zero_grad()
            (loss * float(len(piece.x))).backward()
            norm = math.sqrt(sum((p.grad**2).sum() for p in sgd.parameters))
            clipped += norm > 0.7
            for parameter in sgd.parameters:
                parameter.grad *= min(1, 0.7 / norm)
            sgd.step()
        sizes = [5] * (len(losses) - 1) + [168 // 4 - 5 * (len(losses) - 1)]
        assert epoch.loss == pytest.approx(np.average(losses, weights=sizes), rel=1e-5)
        assert epoch.valid_loss == pytest.approx(evaluate_language(model, IDS[:40], 4, 5), rel=1e-4)
        assert epoch.test_loss == pytest.approx(
            evaluate_language(model, IDS[40:90], 4, 5), rel=1e-4
        )
    assert [e.epoch for e in epochs] == [1, 2, 3]
    assert clipped > 0
    state, other = model.state_dict(), training["model"].state_dict()
    assert all(np.allclose(state[name], other[name], rtol=1e-4, atol=1e-6) for name in state)


def test_without_a_clip_gradients_are_as_they_are():
    plain, wide = start(clip=None), start(clip=1e9)
    list(fit(**plain)), list(fit(**wide))
    states = [training["model"].state_dict() for training in (plain, wide)]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


def test_a_resumed_training_ends_with_the_same_bytes(tmp_path):
    def training():
        parts = start(schedule=Plateau(0.5))
        return parts, [parts[name] for name in ("model", "optimizer", "schedule", "rng")]

    whole, parts = training()
    list(fit(**whole))
    save_checkpoint(tmp_path / "whole.npz", 3, *parts)
    half, parts = training()
    for epoch in fit(**half):
        save_checkpoint(tmp_path / "half.npz", epoch.epoch, *parts)
        if epoch.epoch == 2:
            break
    resumed, parts = training()
    resumed["model"].table.edit()[:] = 7.0
    done = load_checkpoint(tmp_path / "half.npz", *parts)
    assert [epoch.epoch for epoch in fit(**resumed, done=done)] == [3]
    save_checkpoint(tmp_path / "resumed.npz", 3, *parts)
    assert (tmp_path / "resumed.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_the_schedule_is_told_the_validation_loss():
    schedule = Plateau(0.5)
    epochs = list(fit(**start(schedule=schedule)))
    assert schedule.losses == [epoch.valid_loss for epoch in epochs]
    assert epochs[0].learning_rate == 0.5


def test_a_text_that_repeats_is_learned():
    training = start(lr=0.02, epochs=12)
    training["optimizer"] = Adam(training["model"].parameters(), 0.02)
    epochs = list(fit(**training))
    assert epochs[-1].test_loss < 0.5 * epochs[0].test_loss
    assert perplexity(epochs[-1].test_loss) < 4


def test_the_figures_of_an_epoch():
    parts = {"valid": measures(math.log(8)), "test": measures(800.0)}
    figures = {f"{part}_{name}": v for part, own in parts.items() for name, v in own.items()}
    record = Epoch(2, 1.0, learning_rate=0.1, **figures).record()
    assert "train_accuracy" not in record
    assert record["valid_perplexity"] == pytest.approx(8)
    assert record["valid_bits"] == pytest.approx(3)
    assert math.isfinite(record["test_perplexity"])
    epoch = next(fit(**start()))
    assert epoch.flip_ratio == 0
    assert 0 < epoch.seconds < 1e4
    assert epoch.tokens_per_second > 0


def test_the_flips_are_those_of_all_weights_of_few_bits():
    rng = np.random.default_rng(0)
    few = {"weight_quantizer": 2, "activation_quantizer": 2}
    model = language_model(len(VOCABULARY), rng=rng, kind="gru", width=6, units=8, layers=2, **few)
    weights = [*model.recurrent.input_weights, *model.recurrent.state_weights, model.decoder.weight]
    before = [weight.data >= 0 for weight in weights]
    adam = Adam(model.parameters(), 0.02)
    (epoch,) = fit(model, adam, Texts(CORPUS, 4, 5), schedule=Constant(0.02), rng=rng)
    flips = sum((old != (w.data >= 0)).sum() for old, w in zip(before, weights, strict=True))
    assert epoch.flip_ratio == pytest.approx(flips / sum(old.size for old in before))
    assert 0 < epoch.flip_ratio < 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_training_that_diverges_ends_with_a_sentence(bad):
    training = start()
    training["model"].decoder.edit()[0, 0] = bad
    with pytest.raises(InputError, match=r"epoch 1, piece 1: .*learning rate"):
        next(fit(**training))
    training = start()
    model = training["model"]

    def last(pieces):
        yield from pieces
        model.decoder.edit()[0, 0] = bad

    with pytest.raises(InputError, match="epoch 1: a weight is not finite"):
        next(fit(**training, progress=last))


COUNT = len(VOCABULARY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpus": Corpus("short", IDS[:4], IDS, IDS, VOCABULARY)}, "4 tokens for 4 streams"),
        ({"corpus": Corpus("short", IDS, IDS[:1], IDS, VOCABULARY)}, "the valid text has 1 tokens"),
        ({"corpus": Corpus("short", IDS, IDS, IDS[:0], VOCABULARY)}, "the test text has 0 tokens"),
        ({"corpus": Corpus("other", IDS + 2, IDS, IDS, VOCABULARY)}, f"train .* to {COUNT}; expe"),
        ({"corpus": Corpus("other", IDS, IDS + 2, IDS, VOCABULARY)}, f"valid .* to {COUNT}; expe"),
        (
            {"corpus": Corpus("other", IDS, IDS, IDS - 2, VOCABULARY)},
            "test text has tokens from -2",
        ),
        ({"batch": 0}, "batch is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"rng": 3}, "Generator"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_piece(change, message):
    def progress(pieces):
        raise AssertionError("a piece was asked for")

    with pytest.raises(InputError, match=message):
        next(fit(**start(**change), progress=progress))


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bits", [None, 2])
def test_a_training_stopped_inside_an_epoch_ends_with_the_same_weights(kind, bits):
    """The state is kept from one piece to the next."""

    def training():
        rng = np.random.default_rng(0)
        few = {"weight_quantizer": bits, "activation_quantizer": bits, "layers": 2, "dropout": 0.2}
        model = language_model(len(VOCABULARY), rng=rng, kind=kind, width=6, units=8, **few)
        parts = {"model": model, "optimizer": Adam(model.parameters(), 0.02), "rng": rng}
        return {**parts, "data": Texts(CORPUS, 4, 5), "epochs": 2}

    whole, part = training(), training()
    losses = [epoch.loss for epoch in fit(**whole)]
    (begun,) = fit(**part, stop=iter([False, False, False, True]).__next__)
    assert len(begun.losses) == 4
    model, source = part["model"], part["data"]
    again = type(begun).from_file(begun.notes(), begun.arrays(), model, source, 9)
    assert [epoch.loss for epoch in fit(**part, begun=again)] == losses
    state, other = model.state_dict(), whole["model"].state_dict()
    assert all(np.array_equal(state[name], other[name]) for name in state)
    arrays = begun.arrays()
    names = [name for name in arrays if "state" in name]
    assert len(names) == 2 * (2 if kind == "lstm" else 1)
    for name in names:
        for lie in ({}, {name: arrays[name][:-1]}, {name: arrays[name] * np.float32("nan")}):
            own = {key: array for key, array in arrays.items() if key != name} | lie
            with pytest.raises(InputError):
                type(begun).from_file(begun.notes(), own, model, source, 9)


def test_regimes_are_the_papers():
    small, medium, large = (REGIMES[name] for name in ("small", "medium", "large"))
    rates = {"small": [1, 0.5, 2**-9], "medium": [1, 1 / 1.2], "large": [1, 1 / 1.15]}
    epochs = {"small": (3, 4, 12), "medium": (5, 6), "large": (13, 14)}
    for name, expected in rates.items():
        settings = {"recipe": f"zaremba-{name}", "schedule": "delayed", "lr": REGIMES[name].lr}
        assert [schedule_of(settings)(epoch) for epoch in epochs[name]] == expected
    assert (small.steps, medium.steps, large.clip) == (20, 35, 10)


def test_the_embedded_text_is_learned_a_little():
    corpus = load_corpus("embedded-text", unit="characters").first(8000, 400)
    model = Fading(len(corpus.vocabulary), 16, np.random.default_rng(0))
    adam, rng = Adam(model.parameters(), 0.01), np.random.default_rng(0)
    (epoch,) = fit(model, adam, Texts(corpus, 10, 10), schedule=Constant(0.01), rng=rng)
    assert perplexity(epoch.test_loss) < 0.6 * len(corpus.vocabulary)
