"""Tests of experiments: exact resume, nets loaded from files, and inconsistent files."""

import json

import numpy as np
import pytest
from saved import GOOD

import bitnet
from bitnet import InputError
from bitnet.archive import read_archive, write_archive
from bitnet.training.checkpoint import KIND, VERSION, read_checkpoint
from bitnet.training.experiment import Experiment
from bitnet.training.sources import inputs_of, read_data
from bitnet.training.trained import Teacher, Trained, load_trained, open_net

FOUND = {
    "picture",
    "input",
    "classes",
    "columns",
    "target",
    "loss",
    "crc32",
}  # by the data, and by the recipe:
SMALL = {k: GOOD[k] for k in GOOD.keys() - FOUND - {"optimizer", "norm", "schedule"}}
SMALL |= {"data": "embedded", "limit": 200, "epochs": 3, "batch": 20}


def trained_file(path, epochs=3, **changes):
    experiment = Experiment({**SMALL, **changes})
    for _ in range(epochs):
        next(experiment.epochs())
    experiment.save(path)
    return experiment


EVERY_KIND = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"net": "conv:4,4/8", "flip": True, "crop": 2},
        {"recipe": "theano"},
        {"recipe": "torch", "validation": 50, "rounding": "stochastic"},
        {"optimizer": "bop", "norm": "shift", "schedule": "step"},
        {"optimizer": "shift-adamax", "schedule": "exponential"},
        {"moments": "bfloat16", "net": "conv:4,4/8"},
        {"float": True, "grad_format": None, "rounding": None},
        {"prepare": ["gcn"]},
        {"balance": True, "widen": 2.0, "widen_after": 0.5},
        {"weights": "3", "activations": "2", "grad_format": "log6", "rounding": None},
        {"net": "conv:4,4/8", "weights": "ternary", "activations": "log:3"},
        {"weights": "2", "activations": "uniform:2:0.5", "widen": 2.0, "widen_after": 0.5},
        {"accumulate": 2, "warmup": 1.5, "weight_decay": 0.1},
        {"accumulate": 4, "validation": 50, "patience": 3, "limit": 550, "optimizer": "sgd"},
    ],
)


TEXT = {"net": "rnn:8", "width": 4, "limit": 600, "epochs": 3, "batch": 5, "steps": 20}
EVERY_TEXT = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"net": "lstm:6,6", "dropout": 0.3, "unit": "characters"},
        {"net": "gru:6", "weights": "2", "activations": "3", "unit": "characters"},
        {"net": "lstm:6", "float": True, "optimizer": "sgd", "clip": 0.5, "schedule": "cosine"},
        {"net": "gru:6", "grad_format": "int8", "rounding": "stochastic"},
        {"recipe": "zaremba-small", "net": "lstm:6"},
        {"accumulate": 2, "warmup": 0.5, "weight_decay": 0.1, "patience": 2, "limit": 1200},
    ],
)


def after(n):
    """Return a function that returns True at its n-th call."""
    asked = iter([False] * (n - 1) + [True])
    return lambda: next(asked)


@EVERY_KIND
def test_a_training_stopped_inside_epochs_ends_with_the_same_bytes(tmp_path, changes):
    stop_inside_epochs(tmp_path, {**SMALL, **changes})


@EVERY_TEXT
def test_one_on_a_text_stopped_inside_epochs_ends_with_the_same_bytes(tmp_path, changes):
    stop_inside_epochs(tmp_path, {**TEXT, **changes})


def stop_inside_epochs(tmp_path, settings):
    whole = Experiment(settings)
    records = [epoch.record() for epoch in whole.epochs()]
    whole.save(tmp_path / "whole")
    part, path, got = Experiment(settings), tmp_path / "part", []
    for n in (3, 2, 6):  # in the first epoch, again in the first, in the second
        got += [epoch.record() for epoch in part.epochs(stop=after(n))]
        assert part.begun
        part.save(path)
        assert load_trained(path).epoch == part.done
        part = Experiment.resume(path)
    got += [epoch.record() for epoch in part.epochs()]
    part.save(path)
    assert path.read_bytes() == (tmp_path / "whole").read_bytes()
    for record in (*records, *got):
        assert record.pop("seconds") > 0
        speeds = [record.pop(f"{what}_per_second", 0) for what in ("images", "tokens")]
        assert max(speeds) > 0
    assert got == records


def test_a_text_resumes_after_an_epoch_with_the_same_bytes(tmp_path):
    whole, part = Experiment(TEXT), Experiment(TEXT)
    list(whole.epochs())
    whole.save(tmp_path / "whole")
    next(part.epochs())
    part.save(tmp_path / "part")
    experiment = Experiment.resume(tmp_path / "part")
    assert [epoch.epoch for epoch in experiment.epochs()] == [2, 3]
    experiment.save(tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize(
    "settings",
    [
        {**SMALL, "validation": 60, "patience": 2, "epochs": 40, "schedule": "constant"},
        {**TEXT, "patience": 1, "epochs": 40, "lr": 0.03},
    ],
)
def test_early_stopping_resumes_and_ends_at_the_same_epoch(tmp_path, settings):
    whole, path = Experiment(settings), tmp_path / "part"
    records = [epoch.record(times=False) for epoch in whole.epochs()]
    assert whole.is_done
    assert 2 < whole.done < 40
    validation = "valid_loss" if "steps" in settings else "validation_accuracy"
    figures = [record[validation] for record in records]
    best = min(figures) if "steps" in settings else max(figures)
    assert len(figures) - 1 - figures.index(best) == settings["patience"]
    assert [record["epoch"] for record in whole.records][-1] == whole.done
    whole.save(tmp_path / "whole")
    part, epochs = Experiment(settings), []
    part.save(path)
    for _ in range(whole.done):
        part = Experiment.resume(path)
        epochs.append(next(part.epochs()).epoch)
        part.save(path)
    assert epochs == list(range(1, whole.done + 1))
    assert path.read_bytes() == (tmp_path / "whole").read_bytes()
    assert list(Experiment.resume(path).epochs()) == []


def test_patience_needs_a_validation_part():
    with pytest.raises(InputError, match="patience is 3, but no images are held back"):
        Experiment({**SMALL, "patience": 3})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda notes: notes.update(stopping=None), "EarlyStopping: the state is None"),
        (lambda notes: notes["stopping"].update(stalled=9), "EarlyStopping: the state is"),
        (lambda notes: notes.update(records=5), "the figures of epochs are 5"),
        (lambda notes: notes.update(records=[5]), "the figures of epochs are"),
        (lambda notes: notes["records"][0].update(loss="x"), "loss is 'x'"),
        (lambda notes: notes["records"][0].update(epoch=0), "epoch is 0"),
    ],
)
def test_lies_about_the_figures_of_epochs(tmp_path, change, message):
    trained_file(tmp_path / "net", 1, validation=50, patience=2)
    header, arrays = read_archive(tmp_path / "net", KIND, VERSION)
    change(header["notes"])
    write_archive(tmp_path / "net", KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match=f"net: {message}"):
        Experiment.resume(tmp_path / "net")


def test_a_step_cannot_be_begun(tmp_path):
    experiment = Experiment({**SMALL, "accumulate": 4})
    assert list(experiment.epochs(stop=after(1))) == []
    assert len(experiment.begun.losses) == 4
    experiment.save(tmp_path / "net")
    header, arrays = read_archive(tmp_path / "net", KIND, VERSION)
    header["notes"]["begun"]["losses"].pop()
    write_archive(tmp_path / "net", KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match="the record of the interrupted epoch does not fit"):
        Experiment.resume(tmp_path / "net")


@pytest.mark.parametrize(
    "change",
    [
        lambda notes, arrays: arrays.pop("extra/begun.state.0.0"),
        lambda notes, arrays: arrays.update({"extra/begun.state.0.0": np.zeros((5, 9), "f4")}),
        lambda notes, arrays: arrays["extra/begun.state.0.0"].fill(np.nan),
        lambda notes, arrays: arrays.update({"extra/begun.state.0.1": np.zeros((5, 8), "f4")}),
        lambda notes, arrays: notes.update(losses=[0.5] * 10**3),
    ],
)
def test_lies_about_a_piece_that_is_done(tmp_path, change):
    experiment = Experiment(TEXT)
    assert list(experiment.epochs(stop=after(2))) == []
    experiment.save(tmp_path / "net")
    header, arrays = read_archive(tmp_path / "net", KIND, VERSION)
    change(header["notes"]["begun"], arrays)
    write_archive(tmp_path / "net", KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match="net: "):
        Experiment.resume(tmp_path / "net")


@pytest.mark.parametrize(
    "change",
    [
        lambda notes, arrays: notes.update(losses=[]),
        lambda notes, arrays: notes.update(losses=[0.5] * 10),
        lambda notes, arrays: notes.update(losses=["0.5"]),
        lambda notes, arrays: notes.update(seconds=None),
        lambda notes, arrays: notes.update(rng={"state": 3}),
        lambda notes, arrays: notes.update(rng=[3]),
        lambda notes, arrays: notes.pop("rng"),
        lambda notes, arrays: arrays.pop("extra/begun.0"),
        lambda notes, arrays: arrays.update({"extra/begun.0": np.zeros((3, 98), np.uint8)}),
        lambda notes, arrays: arrays.update({"extra/begun.0": np.zeros((3, 9), np.uint8)}),
        lambda notes, arrays: arrays.update({"extra/begun.7": np.zeros((3, 9), np.uint8)}),
    ],
)
def test_lies_about_an_epoch_that_is_begun(tmp_path, change):
    experiment = Experiment(SMALL)
    assert list(experiment.epochs(stop=after(2))) == []
    experiment.save(tmp_path / "net")
    header, arrays = read_archive(tmp_path / "net", KIND, VERSION)
    change(header["notes"]["begun"], arrays)
    write_archive(tmp_path / "net", KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match="net: "):
        Experiment.resume(tmp_path / "net")


@EVERY_KIND
def test_a_resumed_training_ends_with_the_same_bytes(tmp_path, changes):
    trained_file(tmp_path / "whole", **changes)
    trained_file(tmp_path / "part", 1, **changes)
    experiment = Experiment.resume(tmp_path / "part")
    assert experiment.done == 1
    assert [epoch.epoch for epoch in experiment.epochs()] == [2, 3]
    experiment.save(tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == (tmp_path / "whole").read_bytes()


FLOAT = {"float": True, "grad_format": None, "rounding": None}


@pytest.mark.parametrize(
    "changes", [{}, {"net": "conv:4/8", "flip": True}, {"prepare": ["gcn"]}, {"batch": 30}]
)
def test_a_teacher_teaches_and_resumes_with_the_same_bytes(tmp_path, changes):
    twin = trained_file(tmp_path / "twin", 1, **FLOAT, **{**changes, "batch": 20})
    changes = {**changes, "teacher": str(tmp_path / "twin"), "teacher_weight": 0.9}
    whole = trained_file(tmp_path / "whole", **changes)
    assert whole.teacher.crc32 == whole.settings["teacher_crc32"]
    images = whole.data.train[0][:7]
    expected = twin.model.eval()(inputs_of(twin.model)(images)).data
    assert np.array_equal(whole.teacher(images), expected)
    state = whole.teacher.trained.model.state_dict()
    assert all(np.array_equal(state[k], v) for k, v in twin.model.state_dict().items())
    part = Experiment({**SMALL, **changes})
    list(part.epochs(stop=after(3)))
    part.save(tmp_path / "part")
    part = Experiment.resume(tmp_path / "part")
    list(part.epochs())
    part.save(tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prepare": ["gcn"]}, "its prepare is"),
        ({"data": "folder"}, "its (picture|classes) is"),
        ({"prepare": ["gcn"], "limit": 100}, "its (prepare|crc32) is"),
    ],
)
def test_a_teacher_of_other_images_is_refused(tmp_path, changes, message):
    twin = trained_file(tmp_path / "twin", 1, **FLOAT)
    settings = {**twin.settings, "teacher": str(tmp_path / "twin"), **changes}
    if "data" in changes:
        settings["classes"] = ["a", "b"]
    with pytest.raises(InputError, match=f"teacher .*twin: {message}"):
        Teacher.of(settings)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"net": "conv:4/8"},
        {"float": True, "grad_format": None, "rounding": None},
        {"prepare": ["gcn", "lcn"]},
    ],
)
def test_the_net_from_the_file(tmp_path, changes):
    experiment = Experiment({**SMALL, **changes})
    epoch = next(experiment.epochs())
    experiment.save(tmp_path / "net")
    net = load_trained(tmp_path / "net")
    assert not net.model.training
    assert net.classes == tuple("0123456789")
    assert net.picture == (28, 28, 1)
    assert (net.epoch, net.settings) == (1, experiment.settings)
    images = bitnet.load_dataset("embedded").test_images[:200]
    assert net.preparation is None or not np.array_equal(net.prepare(images)[..., 0], images)
    assert np.array_equal(net.prepare(images), experiment.data.test[0])
    scores = net.scores(images)
    assert np.array_equal(scores, net.scores(images[..., None]))
    assert np.array_equal(net.predict(images), scores.argmax(axis=1))
    assert (net.predict(images) == experiment.data.test[1]).mean() == epoch.test_accuracy
    assert isinstance(open_net(tmp_path / "net"), Trained)
    frozen = net.freeze()
    assert (frozen.classes, frozen.data, frozen.picture) == (net.classes, "embedded", net.picture)
    assert np.array_equal(frozen.scores(images), scores)
    assert np.array_equal(frozen.scores(images[3:4]), scores[3:4])


@pytest.mark.parametrize(("prepare", "border"), [([], None), (["gcn"], 128)])
def test_what_is_added_to_prepared_images_is_grey(monkeypatch, prepare, border):
    from bitnet.training import sources

    own, borders = sources.batches, []

    def batches(*args, **changes):
        if "border" in changes:
            borders.append(changes["border"])
        return own(*args, **changes)

    monkeypatch.setattr(sources, "batches", batches)
    next(Experiment({**SMALL, "net": "conv:2/4", "crop": 2, "prepare": prepare}).epochs())
    assert set(borders) == {border}


def test_a_frozen_net_takes_raw_images_too(tmp_path):
    trained_file(tmp_path / "net", 1, prepare=["gcn"])
    load_trained(tmp_path / "net").freeze().save(tmp_path / "net.npz")
    images = bitnet.load_dataset("embedded").test_images[:20]
    loaded, trained = open_net(tmp_path / "net.npz"), open_net(tmp_path / "net")
    assert np.array_equal(loaded.scores(images), trained.scores(images))


def test_the_best_epoch_is_the_last_of_equals():
    experiment = Experiment({**SMALL, "validation": 50})
    accuracies = [epoch.validation_accuracy for epoch in experiment.epochs()]
    best = max(range(3), key=lambda i: (accuracies[i], i))
    assert experiment.best["epoch"] == best + 1
    assert experiment.best["validation"] == accuracies[best]


def test_epochs_may_change_only_where_the_rate_does_not_depend_on_them(tmp_path):
    trained_file(tmp_path / "step", 1, recipe="torch")
    experiment = Experiment.resume(tmp_path / "step", epochs=5)
    assert [epoch.epoch for epoch in experiment.epochs()] == [2, 3, 4, 5]
    trained_file(tmp_path / "cosine", 1)
    assert Experiment.resume(tmp_path / "cosine", epochs=3).done == 1
    with pytest.raises(InputError, match="epochs is 5"):
        Experiment.resume(tmp_path / "cosine", epochs=5)


def test_other_data_are_noticed(tmp_path, monkeypatch):
    trained_file(tmp_path / "net", 1)

    def other(*args):
        split = read_data(*args)
        images = split.train[0].copy()
        images[7, 3, 3] ^= 1
        return type(split)((images, split.train[1]), split.test, None, split.classes)

    monkeypatch.setattr("bitnet.training.experiment.read_data", other)
    with pytest.raises(InputError, match="have changed since the training began"):
        Experiment.resume(tmp_path / "net")


def test_reprs_are_one_line(tmp_path):
    experiment = trained_file(tmp_path / "net", 1, validation=50)
    epoch = next(experiment.epochs())
    assert repr(experiment) == "Experiment('mlp:8', 'embedded', 2 of 3 epochs done)"
    source = "Images(Split(150 train, 200 test, 50 validation images of 28x28x1, 10 classes), "
    assert repr(experiment.source) == source + "batch=20, flip=False, crop=0)"
    assert repr(epoch).startswith("Epoch(epoch=2, loss=0.") and len(repr(epoch)) < 300
    assert repr(load_trained(tmp_path / "net")) == "Trained('mlp:8', 'embedded', epoch=1)"
    checkpoint = "Checkpoint(epoch=1, 12 model arrays, 13 optimizer arrays, 0 extra arrays)"
    assert repr(read_checkpoint(tmp_path / "net")) == checkpoint
    assert list(experiment.epochs(stop=after(2))) == []
    assert repr(experiment.begun).startswith("Begun(2 batches, seconds=")
    text = Experiment(TEXT).source
    assert repr(text) == "Texts(600 + 600 + 600 characters, batch=5, steps=20, clip=5.0)"


def test_a_batch_larger_than_the_training_set():
    with pytest.raises(InputError, match="batch is 500; there are only 200"):
        Experiment({**SMALL, "batch": 500})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("experiment") / "net"
    trained_file(path, 1, prepare=["gcn"])
    return read_archive(path, KIND, VERSION)


def lying(**settings):
    def change(header, arrays):
        header["settings"]["experiment"].update(settings)

    return change


def changed(what, value):
    def change(header, arrays):
        header[what] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lying(net="mlp:9"), "6352 weights; expected 7146"),
        (lying(net="mlp:9999999,9999999"), "weights"),
        (lying(net="mlp:9999999"), "weights"),
        (lying(net="cifar10"), "weights"),
        (lying(net="open('x')"), "net"),
        (lying(classes=["a"] * 10**5), "weights"),
        (lying(picture=[10**4, 10**4, 3]), "weights"),
        (lying(picture=[14, 56, 1]), "does not match the images"),
        (lying(picture=None), "picture"),
        (lying(recipe="__import__"), "recipe"),
        (lying(epochs=10**30), "epochs"),
        (lying(optimizer="__import__"), "optimizer"),
        (lying(norm=5), "norm"),
        (lying(schedule="flop"), "schedule"),
        (lying(extra=1), "extra"),
        (lying(prepare=["gcn", "gcn"]), "does not match the images"),
        (lying(prepare=["x"]), "does not match the images"),
        (changed("settings", {}), "another program"),
        (changed("settings", {"experiment": []}), "another program"),
        (changed("settings", []), "settings"),
        (changed("notes", []), "notes"),
        (changed("notes", {}), "Preparation"),
        (changed("notes", {"prepare": {"steps": ["zca"]}}), "Preparation"),
        (changed("epoch", -1), "epochs"),
        (lambda header, arrays: arrays.pop("model/layers.0.weight"), "weights"),
        (lambda header, arrays: arrays.update({"model/layers.9.weight": np.zeros(0)}), "unknown"),
        (lambda header, arrays: arrays["model/layers.1.beta"].fill(np.nan), "NaN"),
    ],
)
def test_files_that_lie(tmp_path, whole, change, message):
    header, arrays = json.loads(json.dumps(whole[0])), {k: v.copy() for k, v in whole[1].items()}
    change(header, arrays)
    write_archive(tmp_path / "net", KIND, VERSION, header, arrays)
    for read in (load_trained, open_net, Experiment.resume):
        with pytest.raises(InputError, match=message):
            read(tmp_path / "net")


def test_the_checkpoint_of_another_program(tmp_path):
    rng = np.random.default_rng(0)
    model = bitnet.nn.Linear(3, 2, rng=rng)
    training = (
        model,
        bitnet.optim.Adam(model.parameters()),
        bitnet.optim.schedules.Constant(1e-3),
        rng,
    )
    bitnet.training.save_checkpoint(tmp_path / "net", 5, *training)
    with pytest.raises(InputError, match="another program"):
        load_trained(tmp_path / "net")


def test_every_truncation_is_refused(tmp_path):
    trained_file(tmp_path / "net", 0, net="mlp:1")
    content = (tmp_path / "net").read_bytes()
    for size in range(0, len(content), 997):
        (tmp_path / "cut").write_bytes(content[:size])
        with pytest.raises(InputError):
            open_net(tmp_path / "cut")
