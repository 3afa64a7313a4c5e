"""Tests of the training loop: its records, equality with a loop by hand, and its end."""

import dataclasses

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.nn import BatchNorm, BinaryLinear, Linear, Module, ReLU, Sequential, Sign, functional
from bitnet.nn.models.feedforward import binary_convnet, binary_mlp
from bitnet.optim import Adam
from bitnet.optim.schedules import Cosine, Widening
from bitnet.training import Images, Split, fit, steps
from bitnet.training.metrics import activity, histograms

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 6, 6, 1), np.uint8)
LABELS = RNG.integers(0, 3, 60, np.uint8)
SPLIT = Split((IMAGES[:40], LABELS[:40]), (IMAGES[40:], LABELS[40:]))


def rows(images):
    return images.reshape(len(images), -1)


def start(seed=0, split=SPLIT, model=None, **more):
    """Return the arguments of `fit`; `more` has some for `fit` or `Images`."""
    rng = np.random.default_rng(seed)
    model = model or binary_mlp([36, 16, 3], rng=rng)
    names = {field.name for field in dataclasses.fields(Images)}
    images = {"batch": 10, "to_input": rows, **more}
    return {
        "model": model,
        "optimizer": Adam(model.parameters(), 1e-2),
        "schedule": Cosine(1e-2, 3),
        "epochs": 3,
        "rng": rng,
        **{name: value for name, value in more.items() if name not in names},
        "data": Images(split, **{k: v for k, v in images.items() if k in names}),
    }


def with_loss(training, loss):
    return {**training, "data": dataclasses.replace(training["data"], loss_of=loss)}


def test_it_is_the_loop_by_hand():
    training = start()
    epochs = list(fit(**training))
    rng = np.random.default_rng(0)
    model = binary_mlp([36, 16, 3], rng=rng)
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
    training, seen = start(epochs=2, clip_value=Widening(1.0, 3.0, 0.5)), []

    def loss(scores, labels):
        seen.append(training["model"].layers[2].clip_value)
        return functional.squared_hinge(scores, labels)

    list(fit(**with_loss(training, loss)))
    assert seen == [1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]


def test_a_wider_window_lets_more_gradients_pass():
    same, wide = (start(epochs=1, clip_value=Widening(w, w, 0)) for w in (1.0, 4.0))
    plain = start(epochs=1)
    (a,), (b,), (c,) = (list(fit(**training)) for training in (plain, same, wide))
    assert a.loss == b.loss != c.loss
    assert c.saturated < b.saturated


def test_a_teacher_sees_the_images_of_the_batch():
    teacher, seen = binary_mlp([36, 16, 3], rng=np.random.default_rng(1)).eval(), []

    def scores(images):
        seen.append(images.copy())
        return teacher(rows(images)).data

    def loss(given, labels, taught):
        assert np.array_equal(taught, teacher(rows(seen[-1])).data)
        return functional.distillation(given, labels, taught, 2.0, 0.5)

    training = start(epochs=1, loss_of=loss, teacher=scores, flip=True)
    list(fit(**training))
    rng = np.random.default_rng(0)
    binary_mlp([36, 16, 3], rng=rng)  # as `start` draws them
    for x, (images, _) in zip(
        seen, bitnet.data.batches(*SPLIT.train, 10, rng, flip=True), strict=True
    ):
        assert np.array_equal(x, images)


def test_the_record_of_an_epoch():
    held = Split(SPLIT.train, SPLIT.test, SPLIT.test)
    (epoch,) = fit(**start(split=held, epochs=1))
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
        next(fit(**with_loss(training, loss)))
    training = start()
    for epoch in fit(**training):
        if epoch.epoch == 1:
            training["model"].layers[1].beta.edit()[:] = np.nan
            break
    with pytest.raises(InputError, match=r"rejects an image of shape \(6, 6, 1\): .*NaN"):
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
    model = binary_convnet((6, 6, 1), [(4,)], [3], rng=np.random.default_rng(0))
    norm = model.layers[2]
    norm.beta.edit()[:2] = 1e9, -1e9  # always +1, always -1
    saturated, dead = activity(model, IMAGES)
    assert dead == 2 / 4
    assert saturated >= 2 / 4


def test_activity_takes_images_in_parts():
    model = binary_mlp([36, 16, 3], rng=np.random.default_rng(0))
    many = np.concatenate([IMAGES] * 3)
    assert activity(model, many, rows) == activity(model, IMAGES, rows)


def test_histograms_are_of_binary_layers_only():
    rng = np.random.default_rng(0)
    model = Sequential(BinaryLinear(5, 4, rng=rng), BatchNorm(4))
    model.layers[0].weight.edit()[:] = 1.0
    assert histograms(model) == {"layers.0.weight": [0] * 39 + [20]}


def test_histograms_reach_to_the_bound_of_the_quantizer():
    layer = bitnet.nn.QuantLinear(
        5, 4, rng=np.random.default_rng(0), weight_quantizer="uniform:2:3"
    )
    layer.weight.edit()[:] = 3.0
    assert histograms(Sequential(layer)) == {"layers.0.weight": [0] * 39 + [20]}


class Shortcut(Module):
    """A model that is not a Sequential: a sign in two products, and a sum."""

    def __init__(self, rng):
        self.first, self.norm = BinaryLinear(36, 16, rng=rng), BatchNorm(16)
        self.hidden = {"sign": Sign(), "product": BinaryLinear(16, 16, rng=rng)}
        self.last, self.rectify = Linear(16, 3, rng=rng), ReLU()

    def forward(self, x):
        a = self.norm(self.first(x))
        y = self.hidden["product"](self.hidden["sign"](a))
        return self.last(self.rectify(self.norm(y) + a))


def test_any_module_is_trained():
    training = start(model=Shortcut(np.random.default_rng(0)))
    before = functional.cross_entropy(training["model"](rows(IMAGES[:40])), LABELS[:40]).item()
    epochs = list(fit(**with_loss(training, functional.cross_entropy)))
    assert epochs[-1].loss < before
    assert 0 < epochs[-1].saturated < 1
    assert list(epochs[0].histograms) == ["first.weight", "hidden.product.weight"]


def test_activity_of_any_module_is_that_of_its_activations():
    model = Shortcut(np.random.default_rng(0))
    seen = []
    for layer in (model.hidden["sign"], model.rectify):
        own = layer.forward
        layer.forward = lambda x, own=own: seen.append(x.data.copy()) or own(x)
    model.eval()(rows(IMAGES[:40]))
    for layer in (model.hidden["sign"], model.rectify):
        del layer.forward
    model.train()
    closed = (abs(seen[0]) > 1).sum() + (seen[1] <= 0).sum()
    dead = (seen[0] >= 0).all(axis=0) | (seen[0] < 0).all(axis=0)
    dead = dead.sum() + (seen[1] <= 0).all(axis=0).sum()
    assert activity(model, IMAGES[:40], rows) == (closed / (2 * 40 * 16), dead / 32)
    assert "forward" not in vars(model.rectify)
    assert model.training


def test_an_activation_in_two_places_is_one():
    relu = ReLU()
    x = np.float32([[0.5, -3.0], [-0.5, -2.0]])
    # -0.5, -3, -2, and the three zeros that they become: 6 of 8; the second unit is never on
    assert activity(Sequential(relu, relu), x) == (6 / 8, 1 / 2)
    assert "forward" not in vars(relu)


def test_a_net_without_activations_has_no_activity():
    model = Sequential(Linear(36, 3, rng=np.random.default_rng(0)))
    (epoch,) = fit(**start(model=model, epochs=1, to_input=lambda x: np.float32(rows(x))))
    assert epoch.saturated is epoch.dead is None
    assert "dead" not in epoch.record()


@pytest.mark.parametrize("schedule", [lambda position: 0.01 / (1 + position), None])
def test_a_schedule_may_be_a_function_or_left_out(schedule):
    rates = [epoch.learning_rate for epoch in fit(**start(schedule=schedule))]
    assert rates == ([0.01 / (1 + i + 0.75) for i in range(3)] if schedule else [1e-2] * 3)


def part(images, labels):
    return IMAGES[:40][images], LABELS[:40][labels]


class Reshaping(Module):
    """A model that returns twelve rows of scores per image."""

    def __init__(self):
        self.weight = bitnet.autograd.Parameter(np.ones(1, np.float32))

    def forward(self, x):
        return (bitnet.Tensor(np.float32(x.data)) * self.weight).reshape(-1, 3)


FEW, WRONG = slice(0, 5), np.arange(5) + 1
OTHER = np.zeros((5, 5, 6, 1), np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": Split(part(FEW, FEW), part(slice(0), slice(0)))}, "test part has 0 images"),
        ({"split": Split(part(slice(0), slice(0)), SPLIT.test)}, "train part has 0 images"),
        (
            {"split": Split(SPLIT.train, SPLIT.test, part(slice(0), slice(0)))},
            "validation part has",
        ),
        ({"split": Split(SPLIT.train, part(FEW, slice(4)))}, r"test part has 5 .* shape \(4,\)"),
        ({"split": Split((IMAGES[:40], LABELS[:39]), SPLIT.test)}, "train part has 40 images"),
        ({"split": Split((IMAGES[:5], WRONG), SPLIT.test), "batch": 5}, "train labels .* 1 to 5"),
        ({"split": Split(SPLIT.train, (IMAGES[:5], WRONG))}, "test labels .* 1 to 5; .* 0 to 2"),
        ({"split": Split(SPLIT.train, (IMAGES[:5], -WRONG))}, "test labels .* -5 to -1"),
        ({"split": Split(SPLIT.train, SPLIT.test, (IMAGES[:5], WRONG))}, "validation labels"),
        ({"split": Split(SPLIT.train, (IMAGES[:5], WRONG / 4))}, "test labels are float64"),
        ({"split": Split(SPLIT.train, (OTHER, LABELS[:5]))}, "test images have shape"),
        ({"split": Split(SPLIT.train, SPLIT.test, (OTHER, LABELS[:5]))}, "validation images have"),
        ({"batch": 0}, "batch_size is 0; expected a whole number"),
        ({"batch": 2.5}, "batch_size is 2.5"),
        ({"batch": 41}, "batch is 41; there are only 40 images"),
        ({"crop": 6}, "crop is 6; expected fewer pixels than the images have, 6 x 6"),
        ({"to_input": lambda x: rows(x)[:, 1:]}, r"rejects an image of shape \(6, 6, 1\): .*36"),
        ({"model": binary_mlp([36, 2], rng=np.random.default_rng(0))}, "train labels .* 0 to 1"),
        (
            {"model": Sequential(Reshaping())},
            r"scores for an image .* shape \(12, 3\); expected \(1",
        ),
        ({"epochs": -1}, "epochs is -1"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"rng": 0}, "Generator"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_batch(change, message):
    training = start(**change)

    def progress(passes):
        raise AssertionError("a batch was asked for")

    state = training["model"].state_dict()
    with pytest.raises(InputError, match=message) as caught:
        next(fit(**training, progress=progress))
    assert "\n" not in str(caught.value)
    after = training["model"].state_dict()
    assert all(np.array_equal(after[name], array) for name, array in state.items())


def test_accumulated_gradients_are_the_mean_of_those_of_the_batches():
    """The last step of an epoch has fewer batches: 10 + 10 + 10 and 10 of 40 images."""
    training = start(epochs=2, accumulate=3, schedule=Cosine(1e-2, 2))
    epochs = list(fit(**training))
    rng = np.random.default_rng(0)
    model = binary_mlp([36, 16, 3], rng=rng)
    adam = Adam(model.parameters(), 1e-2)
    for epoch in range(2):
        losses, given = [], list(bitnet.data.batches(*SPLIT.train, 10, rng))
        for first, group in ((0, given[:3]), (3, given[3:])):
            adam.lr = Cosine(1e-2, 2)(epoch + first / 4)
            adam.zero_grad()
            for x, y in group:
                loss = functional.squared_hinge(model(rows(x)), y)
                loss.backward(np.float32(1 / len(group)))
                losses.append(loss.item())
            adam.step()
        assert epochs[epoch].loss == np.mean(losses)
    assert adam.steps == training["optimizer"].steps == 4
    state, other = model.state_dict(), training["model"].state_dict()
    assert all(np.array_equal(state[name], other[name]) for name in state)


def test_steps_are_those_of_fit():
    whole, parts = start(), start()
    epochs, found = list(fit(**whole)), list(steps(**parts))
    a, b = whole["model"].state_dict(), parts["model"].state_dict()
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert [step.position for step in found] == [i / 4 for i in range(12)]
    assert [step.is_last for step in found] == [i % 4 == 3 for i in range(12)]
    for i, epoch in enumerate(epochs):
        own = found[4 * i : 4 * i + 4]
        assert epoch.loss == np.mean([step.loss for step in own])
        assert epoch.learning_rate == own[-1].learning_rate
    assert "state" not in repr(found[0])


def test_the_caller_of_steps_sets_the_rate_and_leaves():
    training = {**start(), "schedule": None}
    rates = []
    for step in steps(**training, accumulate=2):
        rates.append(step.learning_rate)
        training["optimizer"].lr /= 2
        assert len(step.losses) == 2
        if len(rates) == 3:
            break
    assert rates == [1e-2, 5e-3, 2.5e-3]
    assert training["optimizer"].steps == 3


@pytest.mark.parametrize("accumulate", [0, 1.5, True])
def test_a_number_of_batches_per_step_is_checked(accumulate):
    for loop in (fit, steps):
        with pytest.raises(InputError, match=f"{loop.__name__}: accumulate is"):
            next(loop(**start(accumulate=accumulate)))
