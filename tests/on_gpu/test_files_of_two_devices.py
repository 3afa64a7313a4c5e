"""Checkpoints and frozen nets moved between devices, and the command line with --gpu."""

import contextlib
import importlib.util
import json
import pathlib
import runpy
import zipfile

import numpy as np
import pytest
import same_numbers
import trainings
from trainings import QUICK, TEXT, begun

import bitnet
from bitnet import kernels
from bitnet.__main__ import main
from bitnet.arrays import array_module
from bitnet.data.vocabulary import Vocabulary
from bitnet.devices import to_cpu, to_gpu
from bitnet.nn.functional import squared_hinge
from bitnet.nn.models.language import language_model
from bitnet.training import generate
from bitnet.training.checkpoint import read_checkpoint
from bitnet.training.experiment import Experiment

DEVICES = ("cpu", "gpu")


def steps(model, optimizer, rng, count):
    """Run some training steps on batches that `rng` draws."""
    for _ in range(count):
        rows = rng.integers(0, 24, 8)
        loss = squared_hinge(model(trainings.ROWS[rows]), trainings.LABELS[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("first", DEVICES)
@pytest.mark.parametrize("then", DEVICES)
def test_a_checkpoint_of_one_device_is_gone_on_with_on_the_other(gpu, first, then, tmp_path):
    path = tmp_path / "a.checkpoint"
    model, optimizer, schedule, rng = begun(first)
    steps(model, optimizer, rng, 2)
    bitnet.training.save_checkpoint(path, 1, model, optimizer, schedule, rng)
    again = begun(then)
    assert bitnet.training.load_checkpoint(path, *again) == 1
    same_numbers.assert_same("stand-in", again[0].state_dict(), model.state_dict())
    same_numbers.assert_same("stand-in", again[1].state_dict(), optimizer.state_dict())
    on, off = steps(*again[:2], again[3], 2), steps(model, optimizer, rng, 2)
    if gpu == "stand-in" or first == then:
        assert on == off
        same_numbers.assert_same("stand-in", again[0].state_dict(), model.state_dict())
    assert again[0].device == then


def test_a_file_is_of_numpys_arrays(gpu, tmp_path):
    path = tmp_path / "a.checkpoint"
    model, *rest = begun("gpu")
    bitnet.training.save_checkpoint(path, 0, model, *rest)
    with zipfile.ZipFile(path) as file, file.open("model/layers.0.weight.npy") as member:
        assert np.array_equal(np.load(member), to_cpu(model.layers[0].weight.data))


def test_a_training_moves_in_the_middle(gpu):
    """Gradients, cached signs and moments move along in both directions."""
    model, optimizer, _, rng = begun("cpu")
    other, its_optimizer, _, its_rng = begun("cpu")
    with kernels.using("reference"):
        for device in ("gpu", "cpu", "gpu"):
            steps(model, optimizer, rng, 1)
            model.to(device)
            assert model.layers[0].weight.has_signs
            steps(other, its_optimizer, its_rng, 1)
        if gpu == "stand-in":
            same_numbers.assert_same(gpu, model.state_dict(), other.state_dict())
    grads = [parameter.grad for parameter in model.parameters()]
    assert all(array_module(grad) is not np for grad in grads)
    optimizer.step()
    assert all(array_module(v) is not np for own in optimizer.state for v in own.values())


@pytest.mark.parametrize("make", [trainings.mlp, trainings.convnet, trainings.of_few_bits])
def test_freezing_gives_the_same_bytes_on_both_devices(gpu, make, tmp_path):
    images = trainings.ROWS if make is trainings.mlp else trainings.IMAGES
    model = make(np.random.default_rng(4))
    model(images)  # statistics
    bitnet.freeze(model, images).save(tmp_path / "cpu.npz")
    model.to("gpu")
    before = model.state_dict()
    net = bitnet.freeze(model, images)
    assert model.device == "gpu"
    same_numbers.assert_same("stand-in", model.state_dict(), before)
    net.save(tmp_path / "gpu.npz")
    assert (tmp_path / "gpu.npz").read_bytes() == (tmp_path / "cpu.npz").read_bytes()
    assert bitnet.compare(model, net, images).is_complete

    expected, classes = net.scores(images), net.predict(images)
    assert net.to("gpu").device == "gpu"
    assert isinstance(net.scores(images), np.ndarray)
    assert np.array_equal(net.scores(images), expected)
    moved = net.scores(to_gpu(images))
    assert array_module(moved) is not np
    assert np.array_equal(to_cpu(moved), expected)
    assert np.array_equal(net.predict(images), classes)
    assert bitnet.compare(model, net, images).is_complete
    net.save(tmp_path / "moved.npz")
    assert (tmp_path / "moved.npz").read_bytes() == (tmp_path / "cpu.npz").read_bytes()
    assert bitnet.compare(model, net.to("cpu"), to_gpu(images)).is_complete
    assert net.device == "cpu"


def test_a_net_on_the_gpu_takes_more_at_once(gpu):
    model = trainings.mlp(np.random.default_rng(4))
    model(trainings.ROWS)
    net = bitnet.freeze(model)
    there = to_gpu(net)
    assert (net.device, there.device) == ("cpu", "gpu")
    assert there.batch == net.to("gpu").batch > to_cpu(there).batch
    there.batch = 7
    assert to_cpu(there).batch == there.to("cpu").batch == 7


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_a_frozen_language_model(gpu, kind, tmp_path):
    model = language_model(
        9,
        rng=np.random.default_rng(1),
        kind=kind,
        width=6,
        units=10,
        weight_quantizer=2,
        activation_quantizer=3,
    )
    ids = np.random.default_rng(0).integers(0, 9, (5, 4))
    bitnet.freeze(model).save(tmp_path / "cpu.npz")
    frozen = bitnet.freeze(model.to("gpu"))
    frozen.save(tmp_path / "gpu.npz")
    assert (tmp_path / "gpu.npz").read_bytes() == (tmp_path / "cpu.npz").read_bytes()
    expected, state = frozen.scores(ids)
    moved = bitnet.load(tmp_path / "cpu.npz").to("gpu")
    scores, after = moved.scores(ids)
    assert isinstance(scores, np.ndarray)
    assert all(isinstance(own, np.ndarray) for own in after)  # as the ids
    again, _ = moved.scores(ids, to_gpu(state) if kind == "gru" else after)  # on either device
    found = {"scores": scores, "again": again}
    wanted = {"scores": expected, "again": frozen.scores(ids, state)[0]}
    same_numbers.assert_same(gpu, found, wanted)
    rngs = (np.random.default_rng(3) for _ in range(2))
    vocabulary = Vocabulary(["<unk>", "\n", *"abcdefg"], "characters")
    texts = [
        [*generate(net.scores, vocabulary, "abc", 6, rng)]
        for net, rng in zip((moved, frozen), rngs, strict=True)
    ]
    assert gpu != "stand-in" or texts[0] == texts[1]
    moved.save(tmp_path / "moved.npz")
    assert (tmp_path / "moved.npz").read_bytes() == (tmp_path / "cpu.npz").read_bytes()


def test_the_command_line_trains_on_a_gpu(gpu, tmp_path, monkeypatch, capsys):
    """One epoch on each device gives the same bytes as two epochs on the processor."""
    monkeypatch.chdir(tmp_path)
    asked = [*QUICK, "--schedule", "step", "--optimizer", "shift-adamax-code", "--quiet"]
    with kernels.using("reference"):
        main([*asked, "--epochs", "2", "--out", "cpu.checkpoint"])
    main([*asked, "--epochs", "1", "--out", "gpu.checkpoint", "--gpu"])
    main(["train", "--resume", "gpu.checkpoint", "--epochs", "2", "--quiet"])
    both = [read_checkpoint(f"{name}.checkpoint") for name in ("gpu", "cpu")]
    if gpu == "stand-in":
        same_numbers.assert_same(gpu, *(file.model for file in both))
        same_numbers.assert_same(gpu, *(file.optimizer for file in both))
    assert both[0].rng == both[1].rng
    main(["train", "--resume", "cpu.checkpoint", "--gpu"])  # nothing is left to do
    main(["freeze", "gpu.checkpoint", "--out", "net.npz"])
    for file in ("gpu.checkpoint", "net.npz"):
        reports = []
        for more in ([], ["--gpu"]):
            capsys.readouterr()
            main(["evaluate", file, "--limit", "40", "--json", *more])
            reports.append(json.loads(capsys.readouterr().out))
            reports[-1].pop("images_per_second")
        assert reports[0] == reports[1]
    np.save("digits.npy", bitnet.load_dataset("embedded").test_images[:3])
    outs = []
    for more in ([], ["--gpu"]):
        main(["predict", "net.npz", "digits.npy", *more])
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1]


def test_the_command_line_learns_a_text_on_a_gpu(gpu, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main([*TEXT, "--out", "a.checkpoint", "--gpu"])
    with kernels.using("reference"):
        main([*TEXT, "--out", "b.checkpoint"])
    both = [read_checkpoint(tmp_path / f"{name}.checkpoint") for name in "ab"]
    if gpu == "stand-in":
        same_numbers.assert_same(gpu, *(file.model for file in both))
    main(["freeze", "a.checkpoint", "--out", "a.npz"])
    for file in ("a.checkpoint", "a.npz"):
        main(["evaluate", file, "--data", "embedded-text", "--limit", "100", "--gpu"])
        main(["predict", file, "the", "--count", "5", "--gpu"])
    assert "perplexity" in capsys.readouterr().out


MAIN_JOB = str(pathlib.Path(bitnet.__file__).parent.parent / "examples" / "mnist_mlp.py")


def test_the_main_job_on_a_gpu(gpu, tmp_path, monkeypatch, capsys):
    """The example script with --gpu: the frozen net equals the trained one."""
    monkeypatch.chdir(tmp_path)
    words = ["--quick", "--hidden", "16", "--epochs", "1", "--no-twin"]
    for more in (["--out", "cpu.npz"], ["--out", "gpu.npz", "--gpu"]):
        monkeypatch.setattr("sys.argv", [MAIN_JOB, *words, *more])
        with kernels.using("reference") if more[-1] == "cpu.npz" else contextlib.nullcontext():
            runpy.run_path(MAIN_JOB, run_name="__main__")
        found = capsys.readouterr().out
        assert "differing_integers=0, differing_scores=0, differing_classes=0" in found
    if gpu == "stand-in":
        assert pathlib.Path("gpu.npz").read_bytes() == pathlib.Path("cpu.npz").read_bytes()


def test_a_teacher_on_a_gpu(gpu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main([*QUICK, "--epochs", "1", "--float", "--quiet", "--out", "twin.checkpoint"])
    asked = [*QUICK, "--epochs", "1", "--teacher", "twin.checkpoint", "--quiet"]
    main([*asked, "--out", "a.checkpoint", "--gpu"])
    assert Experiment.resume("a.checkpoint").to("gpu").teacher.trained.model.device == "gpu"


@pytest.mark.parametrize("net", [("--net", "mlp:9"), ("--net", "rnn:9", "--steps", "20")])
def test_the_switches_of_the_working_day_on_both_devices(gpu, net, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = *net, "--limit", "600", "--batch", "10", "--epochs", "1", "--quiet"
    main(["train", *few, "--float", "--out", "twin.checkpoint"])
    more = (
        "--accumulate",
        "4",
        "--weight-decay",
        "0.1",
        "--warmup",
        "1",
        "--init",
        "twin.checkpoint",
    )
    for name, device in (("a", []), ("b", ["--gpu"])):
        main(["train", *few, *more, *device, "--out", f"{name}.checkpoint"])
    states = [read_checkpoint(f"{name}.checkpoint").model for name in "ab"]
    if gpu == "stand-in":
        same_numbers.assert_same(gpu, *states)
    assert states[0].keys() == states[1].keys()
    if importlib.util.find_spec("matplotlib"):
        rates = *few[:-3], "--accumulate", "2", "--count", "10", "--json"
        losses = []
        for device in ([], ["--gpu"]):
            main(["lr-find", *rates, *device])
            losses.append(json.loads(capsys.readouterr().out)["losses"])
        np.testing.assert_allclose(*losses, rtol=1e-3)
