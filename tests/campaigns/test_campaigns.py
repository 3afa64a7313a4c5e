"""A short slice of each campaign; README.md says how to run them for longer."""

import json
import sys

import damage
import exactness
import mutations
import numpy as np
import pytest


def collected(campaign, *args, **options):
    """Return the counts of a campaign and what it said."""
    said = []
    counts = campaign(*args, say=lambda text, **_: said.append(text), **options)
    return counts, said


def test_a_slice_of_exactness():
    counts, said = collected(exactness.campaign, 0, numbers=range(32))
    assert said == []
    assert counts["differences"] == 0
    assert counts["nets"] > 15
    assert min(counts[f"outputs: {kind}"] for kind in ("codes", "floats", "integers")) > 0
    assert counts["nets read by hand"] > 0


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (134, "thresholds of pixels, by hand"),
        (400, "thresholds of pixels, by hand"),
        (657, "maxpool of 0 and -0.0"),
    ],
)
def test_nets_that_differed_once(number, what):
    assert collected(exactness.campaign, 1, numbers=[number])[1] == [], what


@pytest.mark.parametrize("node", ["linear", "thresholds", "affine"])
def test_a_wrong_value_is_found(node, monkeypatch):
    own = getattr(exactness.evaluator.Run, node)

    def wrong(self, n, *operands):
        value = own(self, n, *operands)
        array = getattr(value, "integers", value)
        array.flat[0] = -array.flat[0] if node == "affine" else array.flat[0] + 1
        return value

    monkeypatch.setattr(exactness.evaluator.Run, node, wrong)
    counts, said = collected(exactness.campaign, 0, numbers=range(8))
    assert counts["differences"] > 0
    assert any(f"({node})" in text for text in said)


def test_all_bits_of_floats_count():
    x, y = np.float32([0.0, np.nan, 1.0, -0.0]), np.float32([-0.0, -np.nan, 1.0, 0.0])
    assert exactness.differing(x, y, zeros=False) == ("floats", 4, 2)
    assert exactness.differing(x, y, zeros=True) == ("floats", 4, 0)
    assert exactness.differing(x, y.astype(np.float64), zeros=True) == ("types", 4, 4)


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc and limits on memory")


@needs_linux
def test_a_slice_of_mutations():
    counts, said = collected(mutations.campaign, 0, numbers=range(120))
    assert said == []
    assert counts["faults"] == 0
    assert counts["files"] > 90
    assert counts["net: refused"] > counts["net: read and run"] > 0


@needs_linux
def test_what_is_no_refusal_is_a_fault(monkeypatch, tmp_path):
    code = "import json\nprint(json.dumps('ready'), flush=True)\ninput()\n"
    worker = mutations.Worker(tmp_path)
    for last, outcome in (("1 / 0", "exit code 1"), ("input()", "more than 0.1 seconds")):
        worker.command = [sys.executable, "-c", code + last]
        monkeypatch.setattr(mutations, "TIME_S", 60 if last == "1 / 0" else 0.1)
        assert worker.outcome("x") == f"fault: {outcome}"
        assert worker.process is None


def test_changed_archives_have_a_valid_seal(tmp_path):
    (tmp_path / "valid").mkdir()
    valid = mutations.Valid(tmp_path / "valid").files["net-mlp.npz"]
    members = damage.members_of(valid)
    assert damage.members_of(damage.sealed(members)) == members
    header = json.loads(damage.header_of(members))
    assert header["kind"] == "frozen net"
    (tmp_path / "net.npz").write_bytes(
        damage.sealed(damage.with_header(members, json.dumps(header)))
    )
    assert exactness.bitnet.load(tmp_path / "net.npz").sizes == [60, 21, 13, 4]


@needs_linux
def test_a_slice_of_kills(monkeypatch):
    import kills

    words = ("--net", "mlp:8", "--data", "embedded", "--limit", "200", "--epochs", "9")
    monkeypatch.setattr(kills, "TRAININGS", {"mlp": words})
    monkeypatch.setattr(kills, "MOST_KILLS", 2)
    counts, said = collected(kills.campaign, 1, numbers=[0])
    assert said == []
    assert (counts["trainings"], counts["faults"]) == (1, 0)


@needs_linux
def test_litter_and_what_differs_are_faults(tmp_path):
    import kills

    own = {kills.LOG: [{"epoch": 1}], kills.OUT: b"as"}
    names = dict.fromkeys(kills.TRAININGS, (own, 0.1, 0.1))
    stopped = kills.Stopped(0, 0, tmp_path, names, {})
    (tmp_path / kills.LOG).write_text('{"epoch": 1, "seconds": 5}\n')
    (tmp_path / kills.OUT).write_bytes(b"as")
    stopped.check_end()
    assert stopped.faults == []
    (tmp_path / f".{kills.OUT}.9.partial").touch()
    (tmp_path / kills.OUT).write_bytes(b"is")
    stopped.check_end()
    assert [fault.partition(" ")[0] for fault in stopped.faults] == ["the", kills.OUT]
    stopped.check_between()
    (tmp_path / kills.OUT).unlink()
    stopped.epoch = 3
    stopped.check_between()
    assert "not readable" in stopped.faults[2]
    assert stopped.faults[3] == "the checkpoint is lost"
