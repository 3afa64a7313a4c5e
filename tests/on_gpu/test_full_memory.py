"""A full GPU memory, simulated by the stand-in: one error sentence, and no loss of data."""

from functools import partial

import numpy as np
import pytest
import stand_in
import trainings
from trainings import QUICK, TEXT, begun

import bitnet
from bitnet import InputError, kernels
from bitnet.__main__ import main
from bitnet.nn.models.language import language_model
from bitnet.training import evaluate_language
from bitnet.training.metrics import activity


@pytest.fixture
def small():
    """Simulate a GPU whose memory fills soon."""
    with stand_in.installed(), kernels.using("reference"):
        yield


def test_a_model_stays_whole_where_it_is_if_the_memory_is_full(small):
    model, *_ = begun("cpu")
    before = [parameter.data for parameter in model.parameters()]
    with stand_in.memory_of(4000), pytest.raises(InputError, match="memory of the GPU is full"):
        model.to("gpu")
    assert model.device == "cpu"
    assert all(p.data is own for p, own in zip(model.parameters(), before, strict=True))
    net = bitnet.freeze(model)
    with (
        stand_in.memory_of(300),
        pytest.raises(InputError, match=r"Out of memory allocating \d+ b"),
    ):
        net.to("gpu")
    assert net.device == "cpu"


def test_a_training_whose_memory_is_full_keeps_its_last_checkpoint(small, tmp_path, capsys):
    out = tmp_path / "a.checkpoint"
    main([*QUICK, "--epochs", "1", "--quiet", "--schedule", "step", "--out", str(out)])
    before = out.read_bytes()
    capsys.readouterr()
    more = ["train", "--resume", str(out), "--epochs", "2", "--quiet", "--gpu"]
    for n_bytes, where in ((1000, ""), (250_000, "epoch 2, batch ")):
        with stand_in.memory_of(n_bytes), pytest.raises(SystemExit) as left:
            bitnet.cli.run(lambda: main(more))
        assert left.value.code == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: {where}")
        assert "the memory of the GPU is full" in error
        assert "use a smaller batch" in error
        assert error.endswith("keeps 1 of 2 epochs\n")
        assert error.count("\n") == 1
        assert out.read_bytes() == before
    main([*more[:-1]])
    assert bitnet.training.checkpoint.read_checkpoint(out).epoch == 2


@pytest.mark.parametrize("text", [False, True])
def test_wherever_the_memory_fills_the_file_is_good(small, tmp_path, capsys, text):
    """It may fill in the first batches, in an optimizer step, or in the metrics of an epoch."""
    asked = TEXT if text else [*QUICK, "--epochs", "2", "--quiet"]
    where, n_bytes = set(), 10_000
    while n_bytes < 10**8:
        out = tmp_path / f"{n_bytes}.checkpoint"
        try:
            with stand_in.memory_of(n_bytes):
                bitnet.cli.run(lambda out=out: main([*asked, "--gpu", "--out", str(out)]))
            break
        except SystemExit as left:
            assert left.code == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert "the memory of the GPU is full" in error
        assert f"{out} keeps " in error
        assert error.count("\n") == 1
        where.add(error.partition("the memory")[0])
        bitnet.training.checkpoint.read_checkpoint(out)
        n_bytes = n_bytes * 3 // 2
    assert len(where) > 1


IDS = np.arange(60) % 9
NEEDS_MEMORY = {
    "scores": lambda net, lm: lambda: bitnet.training.metrics.scores(net, trainings.ROWS),
    "activity": lambda net, lm: lambda: activity(net, trainings.ROWS),
    "weight_bits": lambda net, lm: lambda: bitnet.training.weight_bits(net),
    "reestimate": lambda net, lm: lambda: bitnet.training.reestimate(net, [trainings.ROWS]),
    "frozen": lambda net, lm: partial(bitnet.freeze(net).to("gpu").pre_activations, trainings.ROWS),
    "evaluate_language": lambda net, lm: lambda: evaluate_language(lm, IDS, 2, 5),
    "frozen language": lambda net, lm: partial(
        bitnet.freeze(lm).to("gpu").scores, IDS.reshape(20, 3)
    ),
}


@pytest.mark.parametrize("name", NEEDS_MEMORY)
def test_a_full_memory_is_named(small, name):
    net, rng = trainings.mlp(np.random.default_rng(0)), np.random.default_rng(1)
    lm = language_model(
        9, rng=rng, kind="gru", width=6, units=10, weight_quantizer=2, activation_quantizer=3
    )
    net(trainings.ROWS)
    before = net.state_dict()
    run = NEEDS_MEMORY[name](net.to("gpu"), lm.to("gpu"))
    with stand_in.memory_of(600), pytest.raises(InputError, match="memory of the GPU is full"):
        run()
    found = net.state_dict()
    assert all(np.array_equal(found[key], before[key]) for key in before)
    run()
