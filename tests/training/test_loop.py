"""The loop of epochs: what it tells, that it equals a loop by hand, and how it ends."""

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.nn import BatchNorm, BinaryLinear, ReLU, Sequential, Sign, functional
from bitnet.nn.models.feedforward import binary_convnet, binary_mlp
from bitnet.optim import Adam
from bitnet.optim.schedules import Cosine, Widening
from bitnet.training.loop import Split, activity, fit, histograms

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 6, 6, 1), np.uint8)
LABELS = RNG.integers(0, 3, 60, np.uint8)
SPLIT = Split((IMAGES[:40], LABELS[:40]), (IMAGES[40:], LABELS[40:]))


def rows(images):
    return images.reshape(len(images), -1)


def start(seed=0, **more):
    rng = np.random.default_rng(seed)
    model = binary_mlp([36, 16, 3], rng)
    return {
        "model": model,
        "optimizer": Adam(model.parameters(), 1e-2),
        "schedule": Cosine(1e-2, 3),
        "loss": functional.squared_hinge,
        "data": SPLIT,
        "epochs": 3,
        "batch": 10,
        "rng": rng,
        "to_input": rows,
        **more,
    }


def test_it_is_the_loop_by_hand():
    training = start()
    epochs = list(fit(**training))
    rng = np.random.default_rng(0)
    model = binary_mlp([36, 16, 3], rng)
    adam, before = Adam(model.parameters(), 1e-2), None
    for epoch in range(3):
        before, losses = bitnet.training.weight_bits(model), []
        for i, (x, y) in enumerate(bitnet.data.batches(*SPLIT.train, 10, rng)):
            adam.lr = Cosine(1e-2, 3)(epoch + i / 4)
            loss = functional.squared_hinge(model(rows(x)), y)
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        assert epochs[epoch].loss == np.mean(losses)
    state, other = model.state_dict(), training["model"].state_dict()
    assert all(np.array_equal(state[name], other[name]) for name in state)
    assert [e.epoch for e in epochs] == [1, 2, 3]
    assert epochs[2].learning_rate == adam.lr
    assert epochs[2].flip_ratio == bitnet.training.flip_ratio(
        before, bitnet.training.weight_bits(model)
    )
    assert epochs[2].test_accuracy == bitnet.training.evaluate(
        model, rows(SPLIT.test[0]), SPLIT.test[1]
    )


def test_going_on_after_some_epochs():
    whole, parts = start(), start()
    list(fit(**whole))
    list(fit(**{**parts, "epochs": 1}))
    assert [e.epoch for e in fit(**parts, done=1)] == [2, 3]
    a, b = whole["model"].state_dict(), parts["model"].state_dict()
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_the_window_is_set_before_each_batch():
    training, seen = start(epochs=2, window=Widening(1.0, 3.0, 0.5)), []

    def loss(scores, labels):
        seen.append(training["model"].layers[2].window)
        return functional.squared_hinge(scores, labels)

    list(fit(**{**training, "loss": loss}))
    assert seen == [1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]


def test_a_wider_window_lets_more_gradients_pass():
    same, wide = (start(epochs=1, window=Widening(w, w, 0)) for w in (1.0, 4.0))
    plain = start(epochs=1)
    (a,), (b,), (c,) = (list(fit(**training)) for training in (plain, same, wide))
    assert a.loss == b.loss != c.loss
    assert c.saturated < b.saturated


def test_a_teacher_sees_the_images_of_the_batch():
    teacher, seen = binary_mlp([36, 16, 3], np.random.default_rng(1)).eval(), []

    def scores(images):
        seen.append(images.copy())
        return teacher(rows(images)).data

    def loss(given, labels, taught):
        assert np.array_equal(taught, teacher(rows(seen[-1])).data)
        return functional.distillation(given, labels, taught, 2.0, 0.5)

    training = start(epochs=1, loss=loss, teacher=scores, flip=True)
    list(fit(**training))
    rng = np.random.default_rng(0)
    binary_mlp([36, 16, 3], rng)  # as `start` draws them
    for x, (images, _) in zip(
        seen, bitnet.data.batches(*SPLIT.train, 10, rng, flip=True), strict=True
    ):
        assert np.array_equal(x, images)


def test_the_record_of_an_epoch():
    held = Split(SPLIT.train, SPLIT.test, SPLIT.test)
    (epoch,) = fit(**start(data=held, epochs=1))
    record = epoch.record()
    assert record["validation_accuracy"] == record["test_accuracy"]
    (epoch,) = fit(**start(epochs=1))
    assert "validation_accuracy" not in epoch.record()
    assert list(epoch.record()) == [
        "epoch",
        "loss",
        "train_accuracy",
        "test_accuracy",
        "learning_rate",
        "flip_ratio",
        "saturated",
        "dead",
        "seconds",
        "images_per_second",
        "histograms",
    ]


def test_flips_and_crops_change_what_is_learned_and_repeat():
    def trained(**more):
        training = start(epochs=1, **more)
        list(fit(**training))
        return training["model"].state_dict()["layers.0.weight"]

    plain, changed, again = trained(), trained(flip=True, crop=1), trained(flip=True, crop=1)
    assert np.array_equal(changed, again)
    assert not np.array_equal(plain, changed)


def test_a_training_that_diverges_ends_with_a_sentence():
    training = start()

    def loss(scores, labels):
        return functional.squared_hinge(scores, labels) * np.float32(np.inf)

    with pytest.raises(InputError, match=r"epoch 1, batch 1: the loss is inf.*learning rate"):
        next(fit(**{**training, "loss": loss}))
    training = start()
    for epoch in fit(**training):
        if epoch.epoch == 1:
            training["model"].layers[1].beta.edit()[:] = np.nan
            break
    with pytest.raises(InputError, match=r"epoch 2, batch 1: .*NaN"):
        next(fit(**training, done=1))


def test_weights_that_are_not_finite_are_never_yielded():
    training = start()
    norm = training["model"].layers[-1]

    def last_step(passes):
        yield from passes
        norm.running_mean[0] = np.nan

    with pytest.raises(InputError, match="epoch 1: a weight is not finite"):
        next(fit(**training, progress=last_step))


def test_activity_of_signs_by_hand():
    norm = BatchNorm(3)
    model = Sequential(norm, Sign())
    x = np.float32([[0.5, 3.0, -1.0], [-0.5, 2.0, -7.0], [1.5, 1.0, 0.25], [-1.5, 5.0, 0.0]])
    # |a| > 1: 1.5, -1.5; 3, 2, 5; -7: 6 of 12.  The second unit says +1 of all.
    assert activity(model, x) == (0.5, 1 / 3)
    assert norm.training


def test_activity_of_rectifiers_by_hand():
    x = np.float32([[0.5, -3.0], [-0.5, -2.0], [1.0, 0.0], [2.0, -1.0]])
    assert activity(Sequential(ReLU()), x) == (5 / 8, 1 / 2)


def test_activity_of_channels_counts_all_positions():
    model = binary_convnet((6, 6, 1), [(4,)], [3], np.random.default_rng(0))
    norm = model.layers[2]
    norm.beta.edit()[:2] = 1e9, -1e9  # always +1, always -1
    saturated, dead = activity(model, IMAGES)
    assert dead == 2 / 4
    assert saturated >= 2 / 4


def test_activity_takes_images_in_parts():
    model = binary_mlp([36, 16, 3], np.random.default_rng(0))
    many = np.concatenate([IMAGES] * 3)
    assert activity(model, many, rows) == activity(model, IMAGES, rows)


def test_histograms_are_of_binary_layers_only():
    rng = np.random.default_rng(0)
    model = Sequential(BinaryLinear(5, 4, rng), BatchNorm(4))
    model.layers[0].weight.edit()[:] = 1.0
    assert histograms(model) == {"layers.0.weight": [0] * 39 + [20]}


def test_histograms_reach_to_the_bound_of_the_quantizer():
    layer = bitnet.nn.QuantLinear(5, 4, np.random.default_rng(0), "uniform:2:3")
    layer.weight.edit()[:] = 3.0
    assert histograms(Sequential(layer)) == {"layers.0.weight": [0] * 39 + [20]}
