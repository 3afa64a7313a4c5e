"""Tests of checkpoints: exact resume, and complete files after a kill."""

import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.archive import read_archive, write_archive
from bitnet.nn import functional, models
from bitnet.optim import SGD, Adam, AdaMax, schedules
from bitnet.training.checkpoint import KIND, VERSION

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 30), dtype=np.uint8)
LABELS = RNG.integers(0, 4, 60)
SETTINGS = {"data": "random"}


def new_training(seed=0, hidden=16, optimizer=Adam, rate=1e-2):
    rng = np.random.default_rng(seed)
    model = models.binary_mlp([30, hidden, 4], rng=rng, dropout=(0.2, 0.5), stochastic=True)
    return model, optimizer(model.parameters()), schedules.Cosine(rate, 6), rng


def train(model, optimizer, schedule, rng, epochs):
    for epoch in epochs:
        passes = bitnet.data.batches(IMAGES, LABELS, 20, rng)
        for i, (x, labels) in enumerate(passes):
            optimizer.lr = schedule(epoch + i / len(passes))
            loss = functional.squared_hinge(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def everything(training):
    model, optimizer, _, rng = training
    return {**model.state_dict(), **optimizer.state_dict()}, rng.bit_generator.state


def narrow_adam(parameters):
    return Adam(parameters, moments="bfloat16", rng=np.random.default_rng())


def seeded_adam(parameters):
    return Adam(parameters, moments="bfloat16", rng=np.random.default_rng(3))


def test_a_resumed_training_has_the_seed_of_its_moments_in_bfloat16(tmp_path):
    path = tmp_path / "a.npz"
    whole, first = new_training(optimizer=seeded_adam), new_training(optimizer=seeded_adam)
    train(*whole, range(4))
    train(*first, range(2))
    bitnet.training.save_checkpoint(path, 2, *first, SETTINGS)
    second = new_training(seed=99, optimizer=narrow_adam)
    train(*second, range(bitnet.training.load_checkpoint(path, *second, SETTINGS), 4))
    expected, came = everything(whole)[0], everything(second)[0]
    assert all(np.array_equal(came[name], array) for name, array in expected.items())
    assert came["0.m"].dtype == np.uint16
    with pytest.raises(InputError, match="moments = 'bfloat16'"):
        bitnet.training.load_checkpoint(path, *new_training(), SETTINGS)
    state = second[1].state_dict()
    state["0.v"][0, 0] = 0x7F80
    with pytest.raises(InputError, match=r"'0.v' holds NaN or infinity"):
        second[1].load_state_dict(state)


@pytest.mark.parametrize("optimizer", [Adam, AdaMax])
def test_a_resumed_training_is_bit_identical(tmp_path, optimizer):
    path = tmp_path / "a.npz"
    whole = new_training(optimizer=optimizer)
    train(*whole, range(6))
    first = new_training(optimizer=optimizer)
    train(*first, range(3))
    bitnet.training.save_checkpoint(path, 3, *first, SETTINGS)
    second = new_training(seed=99, optimizer=optimizer)
    done = bitnet.training.load_checkpoint(path, *second, SETTINGS)
    train(*second, range(done, 6))
    (expected, expected_rng), (came, came_rng) = everything(whole), everything(second)
    assert all(np.array_equal(came[name], array) for name, array in expected.items())
    assert came_rng == expected_rng


@pytest.mark.parametrize(
    ("other", "settings", "message"),
    [
        (new_training(rate=2e-2), SETTINGS, "start = 0.01; this one has 0.02"),
        (new_training(optimizer=AdaMax), SETTINGS, "optimizer = 'Adam'; this one has 'AdaMax'"),
        (
            (*new_training()[:1], SGD(new_training()[0].parameters(), 1.0), *new_training()[2:]),
            SETTINGS,
            "optimizer = 'Adam'; this one has 'SGD'",
        ),
        (new_training(hidden=17), SETTINGS, r"model: 'layers.1.weight'"),
        (new_training(), {"data": "other"}, "data = 'random'; this one has 'other'"),
        (new_training(), None, "data = 'random'; this one has None"),
    ],
)
def test_a_checkpoint_of_another_training_changes_nothing(tmp_path, other, settings, message):
    bitnet.training.save_checkpoint(tmp_path / "a.npz", 3, *new_training(seed=1), SETTINGS)
    before, before_rng = everything(other)
    with pytest.raises(InputError, match=message):
        bitnet.training.load_checkpoint(tmp_path / "a.npz", *other, settings)
    after, after_rng = everything(other)
    assert all(np.array_equal(after[name], array) for name, array in before.items())
    assert after_rng == before_rng


def test_settings_come_back_as_they_went(tmp_path):
    settings = {"hidden": (16, 16), "x": np.float32(0.1), "y": float("nan"), 3: None}
    bitnet.training.save_checkpoint(tmp_path / "a.npz", 3, *new_training(), settings)
    assert bitnet.training.load_checkpoint(tmp_path / "a.npz", *new_training(), settings) == 3
    with pytest.raises(InputError, match="cannot hold"):
        bitnet.training.save_checkpoint(tmp_path / "b.npz", 3, *new_training(), {"path": tmp_path})
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_another_kind_of_generator_is_refused(tmp_path):
    bitnet.training.save_checkpoint(tmp_path / "a.npz", 3, *new_training())
    *rest, _ = new_training(seed=5)
    before = rest[0].state_dict()
    with pytest.raises(InputError, match="state of the generator"):
        bitnet.training.load_checkpoint(
            tmp_path / "a.npz", *rest, np.random.Generator(np.random.SFC64(0))
        )
    assert all(np.array_equal(rest[0].state_dict()[name], array) for name, array in before.items())


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_generator_of_numpy_goes_on_where_it_was(tmp_path, kind):
    model, optimizer, schedule, _ = new_training()
    rng = np.random.Generator(getattr(np.random, kind)(5))
    rng.integers(9, size=7, dtype=np.int8)
    bitnet.training.save_checkpoint(tmp_path / "a.npz", 3, model, optimizer, schedule, rng)
    expected = rng.random(5)
    other = np.random.Generator(getattr(np.random, kind)(6))
    bitnet.training.load_checkpoint(tmp_path / "a.npz", model, optimizer, schedule, other)
    assert np.array_equal(other.random(5), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, a: h.update(epoch=-1), "number of epochs"),
        (lambda h, a: h.update(epoch=True), "number of epochs"),
        (lambda h, a: h.update(settings=3), "settings"),
        (lambda h, a: h.update(rng=3), "state of the generator"),
        (lambda h, a: h.update(schedule=[0.5]), "Cosine has no state"),
        (lambda h, a: h["rng"]["state"].update(state=10**60), "state of the generator"),
        (lambda h, a: h["rng"].update(uinteger=10**60), "state of the generator"),
        (lambda h, a: a.update(more=np.zeros(2)), "unknown array 'more'"),
        (lambda h, a: a.update({"optimizer/steps": np.array(-1)}), "below 0"),
        (lambda h, a: a.update({"optimizer/0.m": np.zeros(3)}), "optimizer: '0.m'"),
        (lambda h, a: a.pop("optimizer/0.m"), "optimizer: the state lacks '0.m'"),
        (lambda h, a: a["model/layers.1.weight"].fill(np.nan), "NaN"),
    ],
)
def test_inconsistent_checkpoints_with_a_valid_seal_change_nothing(tmp_path, change, message):
    path, training = tmp_path / "a.npz", new_training()
    bitnet.training.save_checkpoint(path, 3, *new_training(seed=1), SETTINGS)
    header, arrays = read_archive(path, KIND, VERSION)
    change(header, arrays)
    write_archive(path, KIND, VERSION, header, arrays)
    before, before_rng = everything(training)
    with pytest.raises(InputError, match=message):
        bitnet.training.load_checkpoint(path, *training, SETTINGS)
    after, after_rng = everything(training)
    assert all(np.array_equal(after[name], array) for name, array in before.items())
    assert after_rng == before_rng


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (SGD, lambda p: SGD(p, 1.0, momentum=0.5)),
        (SGD, lambda p: SGD(p, 1.0, nesterov=True)),
        (Adam, lambda p: Adam(p, 1.0, eps=1e-7)),
        (Adam, lambda p: Adam(p, 1.0, betas=(0.9, 0.99))),
        (Adam, lambda p: Adam(p, 1.0, scale_power=2)),
    ],
)
def test_all_settings_of_an_optimizer_count(a, b):
    parameters = new_training()[0].parameters()
    assert a(parameters, 1.0).settings() != b(parameters).settings()


def test_a_frozen_net_is_no_checkpoint(tmp_path):
    model, *rest = new_training()
    bitnet.freeze(model).save(tmp_path / "net.npz")
    with pytest.raises(InputError, match="holds a 'frozen net'; expected a training checkpoint"):
        bitnet.training.load_checkpoint(tmp_path / "net.npz", model, *rest)


SAVE_FOR_EVER = """
import sys, numpy as np, bitnet
from bitnet.nn import models
from bitnet.optim import schedules
rng = np.random.default_rng(0)
model = models.binary_mlp([300, 300, 10], rng=rng)
training = model, bitnet.optim.Adam(model.parameters()), schedules.Constant(1.0), rng
epoch = int(sys.argv[2])
while True:
    epoch += 1
    model.parameters()[0].data[...] = (epoch % 1000) / 1000
    bitnet.training.save_checkpoint(sys.argv[1], epoch, *training)
    print(epoch, flush=True)
"""


def test_a_killed_process_leaves_the_last_whole_checkpoint(tmp_path):
    """Kill a process that saves in a loop, at moments spread over a save; load after each."""
    path, epoch, rng = tmp_path / "a.npz", 0, np.random.default_rng(0)
    for _ in range(8):
        command = [sys.executable, "-c", SAVE_FOR_EVER, str(path), str(epoch)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            for _ in range(2):
                announced = int(process.stdout.readline())
            time.sleep(float(rng.uniform(0, 0.03)))
            os.kill(process.pid, signal.SIGKILL)
        generator = np.random.default_rng(1)
        model = models.binary_mlp([300, 300, 10], rng=generator)
        training = model, Adam(model.parameters()), schedules.Constant(1.0), generator
        epoch = bitnet.training.load_checkpoint(path, *training)
        assert epoch >= announced
        assert np.all(model.parameters()[0].data == np.float32((epoch % 1000) / 1000))
    # killed while it writes, a process leaves its partial file, which nobody reads
    kept = [name for name in os.listdir(tmp_path) if not name.endswith(".partial")]
    assert kept == ["a.npz"]


def test_a_diverged_model_does_not_replace_the_last_good_file(tmp_path):
    path, training = tmp_path / "a.npz", new_training()
    bitnet.training.save_checkpoint(path, 1, *training)
    whole = path.read_bytes()
    training[0].parameters()[0].edit()[0, 0] = np.nan
    with pytest.raises(InputError, match="holds NaN, infinity"):
        bitnet.training.save_checkpoint(path, 2, *training)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("epoch", "more", "words"),
    [
        (-1, {}, "epoch is -1"),
        (1.5, {}, "epoch is 1.5"),
        (1, {"notes": [1]}, "notes is .1."),
        (1, {"notes": {1: "a"}}, "the key 1; expected text"),
        (1, {"extra": {"a": np.zeros(2, np.float16)}}, "extra/a' is float16; expected one of"),
        (1, {"settings": {"n": 10**5000}}, "cannot hold these values"),
    ],
)
def test_what_would_not_be_loaded_is_not_saved(tmp_path, epoch, more, words):
    path, training = tmp_path / "a.npz", new_training()
    bitnet.training.save_checkpoint(path, 1, *training)
    whole = path.read_bytes()
    with pytest.raises(InputError, match=words):
        bitnet.training.save_checkpoint(path, epoch, *training, **more)
    assert path.read_bytes() == whole


def test_a_checkpoint_in_a_stream(tmp_path):
    stream, training, other = io.BytesIO(), new_training(), new_training(seed=5)
    bitnet.training.save_checkpoint(stream, 3, *training, SETTINGS)
    stream.seek(0)
    assert bitnet.training.load_checkpoint(stream, *other, SETTINGS) == 3
    (expected, expected_rng), (came, came_rng) = everything(training), everything(other)
    assert {k: a.tolist() for k, a in came.items()} == {k: a.tolist() for k, a in expected.items()}
    assert came_rng == expected_rng


def test_hostile_values_are_quoted_in_short(tmp_path):
    training = new_training()
    bitnet.training.save_checkpoint(tmp_path / "a.npz", 1, *training, {"data": "x" * 10**5})
    with pytest.raises(InputError) as info:
        bitnet.training.load_checkpoint(tmp_path / "a.npz", *training, {"data": "y" * 10**5})
    assert len(str(info.value)) < len(str(tmp_path)) + 300
