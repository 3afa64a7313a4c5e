"""`bitnet summary` of files and of nets by name."""

import json

import numpy as np
import pytest
from saved import save_nets

from bitnet import InputError
from bitnet.__main__ import main
from bitnet.analysis.report import summary
from bitnet.nn import models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_nets(tmp_path_factory.mktemp("nets"))


@pytest.mark.parametrize("kind", ["mlp", "conv", "bits", "conv_bits", "twin"])
def test_the_bytes_of_a_file_are_those_on_the_disk(folder, capsys, kind):
    on_disk = (folder / f"{kind}.npz").stat().st_size
    for name in (f"{kind}.npz", f"{kind}.checkpoint"):
        main(["summary", str(folder / name), "--json"])
        table = json.loads(capsys.readouterr().out)["summary"]
        assert table["file_bytes"] == on_disk
        parts = [layer["n_bytes"] for layer in table["layers"]]
        assert sum(parts) + table["overhead_bytes"] == on_disk
        main(["summary", str(folder / name)])
        assert f"{on_disk:,}" in capsys.readouterr().out


def test_energy_and_repetition(folder, capsys):
    main(["summary", str(folder / "conv.npz"), "--energy", "--repetition", "--json"])
    tables = json.loads(capsys.readouterr().out)
    assert [*tables] == ["summary", "energy", "repetition"]
    assert [e["net"] for e in tables["energy"]["estimates"]] == ["binary", "float twin"]
    assert tables["repetition"]["layers"][0]["filters"] == 5
    main(["summary", str(folder / "conv.checkpoint"), "--energy", "--repetition"])
    out = capsys.readouterr().out
    assert "pJ" in out
    assert "42.0 %" in out
    main(["summary", str(folder / "twin.checkpoint"), "--energy"])
    assert "float32 MACs" in capsys.readouterr().out


def test_nets_of_few_bits(folder, capsys):
    for name in ("bits.npz", "bits.checkpoint"):
        main(["summary", str(folder / name), "--energy", "--operations", "--json"])
        tables = json.loads(capsys.readouterr().out)
        assert tables["summary"]["totals"]["weights"] == {"2-bit": 784 * 9 + 90}
        macs = {p: n for p, n in tables["summary"]["totals"]["macs"].items() if n}
        assert macs == {"8x2": 784 * 9, "3x2": 90}
        assert tables["energy"]["estimates"][0]["net"] == "quantized"
        assert tables["operations"]["totals"]["multiplications"] == 0  # shift-based norms
        assert tables["operations"]["totals"]["comparisons"] == 9 * 7
    main(["summary", str(folder / "conv_bits.npz")])
    assert "2-bit" in capsys.readouterr().out
    for name in ("conv_bits.npz", "conv_bits.checkpoint"):
        with pytest.raises(InputError, match=r"with 2-bit weights; expected ±1 filters"):
            main(["summary", str(folder / name), "--repetition"])


def test_operations(folder, capsys):
    for name in ("mlp.npz", "mlp.checkpoint", "twin.npz", "twin.checkpoint"):
        main(["summary", str(folder / name), "--operations", "--json"])
        tables = json.loads(capsys.readouterr().out)
        assert [*tables] == ["summary", "operations"]
        assert tables["operations"]["totals"]["multiplications"] > 0
    for net in ("conv:4,4/8", "mlp:8"):
        main(["summary", net, "--operations"])
        assert "comparisons" in capsys.readouterr().out


def test_nets_by_name(capsys):
    main(["summary", "svhn", "--json"])
    assert json.loads(capsys.readouterr().out)["summary"]["totals"]["one_bit"] == 6_397_632
    main(["summary", "svhn", "--weights", "2", "--activations", "log:3", "--json"])
    totals = json.loads(capsys.readouterr().out)["summary"]["totals"]
    assert totals["weights"] == {"2-bit": 6_397_632}
    assert {p for p, n in totals["macs"].items() if n} == {"8x2", "3x2"}
    main(["summary", "conv:4,4/", "--image", "9x8x2", "--classes", "3", "--float", "--json"])
    table = json.loads(capsys.readouterr().out)["summary"]
    twin = models.float_convnet((9, 8, 2), [(4, 4)], [3], rng=np.random.default_rng(0))
    assert table["totals"]["macs"] == summary(twin).macs


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no.npz"], "no file no.npz; net is 'no.npz'"),
        (["mlp:8", "--image", "28x28"], "ROWSxCOLUMNSxCHANNELS"),
        (["mlp:8", "--image", "28x0x1"], "ROWSxCOLUMNSxCHANNELS"),
        (["mlp:8", "--classes", "0"], "--classes is 0"),
        (["cifar10", "--image", "4x4x3"], "too small"),
        (["mlp:9999999", "--image", "9999x9999x9999"], "at most"),
        (["mlp:8", "--repetition"], "no convolutions of bits"),
        (["{}/mlp.npz", "--image", "28x28x1"], "--image applies only to a net by name"),
        (["{}/mlp.npz", "--classes", "3"], "--classes applies only to a net by name"),
        (["{}/mlp.npz", "--weights", "2"], "--weights applies only to a net by name"),
        (["mlp:8", "--weights", "9"], "weights is '9'; expected 1 to 8"),
        (["mlp:8", "--activations", "2", "--float"], "--activations applies only to low-bit nets"),
        (["{}/mlp.npz", "--float"], "--float applies only to a net by name"),
        (["{}/mlp.jsonl"], "not a file of bitnet"),
    ],
)
def test_what_is_no_net_is_refused(folder, words, message):
    with pytest.raises(InputError, match=message):
        main(["summary", *(word.format(folder) for word in words)])


def test_help(capsys):
    with pytest.raises(SystemExit) as left:
        main(["summary", "--help"])
    assert left.value.code == 0
    assert "usage: " in capsys.readouterr().out
