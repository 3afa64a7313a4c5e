"""`bitnet inspect`: the text is the bits, and says what each threshold does."""

import re

import numpy as np
import pytest
from saved import save_nets

import bitnet
from bitnet import InputError, nn
from bitnet.__main__ import main
from bitnet.cli import inspect


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    nets = save_nets(tmp_path_factory.mktemp("nets"))
    (nets / "notes.txt").write_text("notes")
    return nets


def signs_in(text, characters="+-"):
    """The ±1 of the lines that hold nothing else."""
    plus, minus = characters
    lines = [line for line in text.splitlines() if line and set(line) <= {plus, minus, " "}]
    return [[1 if c == plus else -1 for c in line.replace(" ", "")] for line in lines]


def test_the_layers_are_listed(folder, capsys):
    main(["inspect", str(folder / "conv.npz")])
    out = capsys.readouterr().out
    assert re.search(r"^0 +conv +5x3x3x1 ", out, re.MULTILINE)
    assert re.search(r"^1 +linear +10x980 .*none \(scores\)$", out, re.MULTILINE)
    net = bitnet.load(folder / "conv.npz")
    assert f"{(net.layers[1].bits.signs() > 0).mean():.1%}".replace("%", " %") in out


@pytest.mark.parametrize("name", ["mlp.npz", "mlp.checkpoint"])
def test_the_text_is_the_bits(folder, capsys, name):
    net = bitnet.load(folder / "mlp.npz")
    main(["inspect", str(folder / name), "--layer", "0", "--unit", "3"])
    out = capsys.readouterr().out
    rows = signs_in(out)
    assert np.array_equal(rows, net.layers[0].bits.signs()[3].reshape(28, 28))
    rule = ">=" if net.layers[0].increasing[3] else "<="
    assert f"+1 where z {rule} {net.layers[0].thresholds[3]}," in out
    main(["inspect", str(folder / name), "--layer", "1", "--all", "--signs", "#."])
    out = capsys.readouterr().out
    assert np.array_equal(signs_in(out, "#."), net.layers[1].bits.signs())
    assert out.count("score = (z - ") == 10


def test_the_bits_of_a_convolution(folder, capsys):
    main(["inspect", str(folder / "conv.npz"), "--layer", "0", "--all"])
    rows = signs_in(capsys.readouterr().out)
    bits = bitnet.load(folder / "conv.npz").layers[0].bits.signs()
    assert np.array_equal(np.array(rows).reshape(5, 3, 3), bits[..., 0])


def test_channels_stand_beside_each_other():
    rng = np.random.default_rng(0)
    model = bitnet.nn.models.binary_convnet((4, 4, 20), [(2,)], [3], rng=rng)
    net = bitnet.freeze(model)
    lines = list(inspect.layer_lines(net, 0, 1))
    assert [line for line in lines if line.startswith("input")] == [
        "input channels 0 to 15:",
        "input channels 16 to 19:",
    ]
    first = signs_in("\n".join(lines))[0]
    own = net.layers[0].bits.signs()[1]
    assert first == own[0].T[:16].ravel().tolist()


def numbers_in(text):
    """The integers of the lines that hold nothing else."""
    lines = [line.replace("|", " ").split() for line in text.splitlines()]
    whole = [all(re.fullmatch(r"-?\d+", word) for word in words) for words in lines]
    return [[*map(int, words)] for words, fits in zip(lines, whole, strict=True) if words and fits]


@pytest.mark.parametrize("name", ["bits.npz", "bits.checkpoint"])
def test_the_text_of_few_bits_is_the_integers(folder, capsys, name):
    layer, last = bitnet.load(folder / "bits.npz").layers
    own = layer.bits.integers()
    main(["inspect", str(folder / name), "--layer", "0", "--unit", "3"])
    out = capsys.readouterr().out
    assert np.array_equal(numbers_in(out), own[3].reshape(28, 28))
    assert "2-bit weights: -3, -1, 1, 3, times 0.333333" in out
    assert f"in the layer: -3 ({(own == -3).mean():.1%});".replace("%", " %") in out
    assert f"in the unit: -3 ({(own[3] == -3).mean():.1%});".replace("%", " %") in out
    assert f"unit 3: {(own[3] > 0).sum()} of 784 weights are above 0\n" in out
    sign, way = (">=", "increasing") if layer.increasing[3] else ("<=", "falling")
    steps = ", ".join(map(str, layer.thresholds[3]))
    rule = "-7, -5, -3, -1, 1, 3, 5, 7: the next one at each of z"
    assert f"{rule} {sign} {steps} ({way})" in " ".join(out.split())
    main(["inspect", str(folder / name), "--layer", "1", "--all"])
    out = capsys.readouterr().out
    assert "which are 3-bit numbers: -7, -5, -3, -1, 1, 3, 5, 7, times 0.142857" in out
    assert np.array_equal(numbers_in(out), last.bits.integers())
    assert out.count("score = (z - ") == 10


def test_filters_of_few_bits(folder, capsys):
    main(["inspect", str(folder / "conv_bits.npz"), "--layer", "0", "--all"])
    out = capsys.readouterr().out
    own = bitnet.load(folder / "conv_bits.npz").layers[0].bits.integers()
    assert np.array_equal(np.array(numbers_in(out)).reshape(5, 3, 3), own[..., 0])
    assert f"are above 0, {(own[0] == 0).sum()} are 0" in out
    main(["inspect", str(folder / "conv_bits.npz")])
    out = capsys.readouterr().out
    assert re.search(r"layer +kind +weights +bits +share above 0 +thresholds", out)
    assert f"2  {(own > 0).mean():.1%}".replace("%", " %") in re.sub(" {2,}", "  ", out)


def test_channels_of_numbers_stand_beside_each_other():
    rng = np.random.default_rng(0)
    model = bitnet.nn.models.binary_convnet(
        (4, 4, 20), [(2,)], [3], rng=rng, weight_quantizer=3, activation_quantizer=8
    )
    net = bitnet.freeze(model)
    lines = list(inspect.layer_lines(net, 0, 1))
    own = net.layers[0].bits.integers()[1]
    assert numbers_in("\n".join(lines))[0] == own[0].T[:6].ravel().tolist()
    assert "input channels 0 to 5:" in lines
    steps = net.layers[0].thresholds[1]
    text = " ".join(" ".join(lines).split())
    assert (
        f"the next one at each of 255 steps from z >= {steps[0]} to {steps[-1]} (increasing)"
        in text
    )


def test_many_numbers_are_counted_in_ranges():
    rng = np.random.default_rng(0)
    model = bitnet.nn.models.binary_mlp([300, 2], rng=rng, weight_quantizer=8)
    lines = " ".join(" ".join(inspect.layer_lines(bitnet.freeze(model), 0)).split())
    own = model[0].packed.integers()
    assert "8-bit weights: 256 integers from -255 to 255, times 0.00392157" in lines
    share = f"{((own >= -255) & (own <= -225)).mean():.1%}".replace("%", " %")
    assert f"in the layer: -255 to -225 ({share}); -223 to -193 (" in lines
    shares = re.findall(r"\((\d+\.\d) %\)", lines)
    assert len(shares) == 16
    assert sum(map(float, shares)) == pytest.approx(100, abs=1)


def test_little_is_printed_unless_all_is_asked_for(folder, capsys, monkeypatch):
    words = ["inspect", str(folder / "mlp.npz"), "--layer"]
    main([*words, "0"])
    out = capsys.readouterr().out
    assert out.count("\nunit ") == inspect.UNITS
    assert "units 0 to 3 of 9; add --unit J or --all for others" in out
    monkeypatch.setattr(inspect, "WEIGHTS", 100)
    main([*words, "0"])
    out = capsys.readouterr().out
    assert sum(map(len, signs_in(out))) == 84
    assert "only 100 weights are shown; add --all for all" in out
    main([*words, "0", "--all"])
    assert sum(map(len, signs_in(capsys.readouterr().out))) == 9 * 784


def test_files_of_text_and_pictures(folder, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (extra plot)")
    words = ["inspect", str(folder / "mlp.npz"), "--layer", "0"]
    main([*words, "--out", str(tmp_path / "a.txt")])
    main([*words, "--out", str(tmp_path / "a.txt")])  # over its own text
    assert "a.txt: written" in capsys.readouterr().out
    main(words)
    assert capsys.readouterr().out == (tmp_path / "a.txt").read_text()
    main([*words, "--unit", "2", "--as", "png", "--out", str(tmp_path / "a.png")])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{}/mlp.npz", "--layer", "2"], "expected 0 to 1"),
        (["{}/mlp.npz", "--layer", "-1"], "expected 0 to 1"),
        (["{}/mlp.npz", "--unit", "0"], "--unit needs --layer"),
        (["{}/mlp.npz", "--layer", "0", "--unit", "9"], "units 0 to 8"),
        (["{}/mlp.npz", "--signs", "++"], "two characters"),
        (["{}/mlp.npz", "--signs", "+\n"], "two characters"),
        (["{}/mlp.npz", "--layer", "0", "--as", "png"], "needs --layer and --out NAME.png"),
        (["{}/mlp.npz", "--as", "svg", "--out", "{}/a.svg"], "needs --layer"),
        (["{}/mlp.npz", "--layer", "0", "--as", "png", "--out", "a.svg"], "ends with .png"),
        (["{}/mlp.npz", "--out", "{}/none/a.txt"], "no folder"),
        (["{}/mlp.npz", "--out", "{}/mlp.npz"], r"ends with \.txt"),
        (["{}/mlp.npz", "--out", "{}/notes.txt"], "has other contents"),
        (["{}/mlp.npz", "--out", "{}/a.png"], r"ends with \.txt"),
        (["{}/twin.npz", "--layer", "0", "--as", "png", "--out", "{}/a.png"], "float weights"),
        (["{}/mlp.jsonl"], "not a file of bitnet"),
    ],
)
def test_what_is_not_there_is_refused(folder, words, message):
    with pytest.raises(InputError, match=message):
        main(["inspect", *(word.format(folder) for word in words)])


def test_help(capsys):
    with pytest.raises(SystemExit) as left:
        main(["inspect", "--help"])
    assert left.value.code == 0
    assert "usage: " in capsys.readouterr().out


def test_the_lines_of_a_net_and_of_its_scores():
    net = bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=np.random.default_rng(0)))
    assert [line.split() for line in list(inspect.net_lines(net))[:3]] == [
        ["layer", "kind", "weights", "share", "of", "+1", "thresholds"],
        ["0", "linear", "64x784", "50.1", "%", "0", "to", "0"],
        ["1", "linear", "10x64", "52.8", "%", "none", "(scores)"],
    ]
    layer, norm = nn.BinaryLinear(3, 1, rng=np.random.default_rng(0)), nn.BatchNorm(1)
    layer.weight.assign(np.array([[1.0, -1.0, 1.0]]))
    for array in (norm.running_mean, norm.running_inv_std, norm.beta.edit()):
        array[:] = 0.5
    text = "layer 0: linear, 1 units x 3 inputs, which are pixels p, taken as 2p - 255"
    for layers, rule in [((layer, norm), "(z - 0.5) * 0.5 + 0.5"), ((layer,), "z")]:
        net = bitnet.freeze(nn.Sequential(*layers))
        unit = f"unit 0: 2 of 3 weights are +1; score = {rule}"
        assert [*inspect.layer_lines(net, 0)] == [text, unit, "+-+"]


@pytest.mark.parametrize("name", ["twin.npz", "twin.checkpoint"])
def test_a_float_net(folder, capsys, name):
    main(["inspect", str(folder / name)])
    out = capsys.readouterr().out
    assert re.search(r"^0 +float linear +9x784 +32 +.* none$", out, re.MULTILINE)
    assert re.search(r"^1 +float linear +10x9 +32 +.* none \(scores\)$", out, re.MULTILINE)
    main(["inspect", str(folder / name), "--layer", "1", "--unit", "3"])
    out = capsys.readouterr().out
    layer = bitnet.load(folder / "twin.npz").layers[1]
    own = layer.bits[3]
    assert "10 units x 9 inputs, which are float32 numbers" in out
    assert f"{(own > 0).sum()} of 9 weights are above 0; score = (z - " in out
    shown = [float(number) for line in out.splitlines()[2:] for number in line.split()]
    np.testing.assert_allclose(shown, own, rtol=5e-3)


@pytest.mark.parametrize("few", [{}, {"weight_quantizer": 2, "activation_quantizer": 3}])
@pytest.mark.parametrize(("kind", "gate"), [("lstm", "output gate"), ("gru", "candidate")])
def test_a_language_model(few, kind, gate):
    rng = np.random.default_rng(0)
    net = bitnet.freeze(nn.models.language_model(9, rng=rng, kind=kind, width=4, units=8, **few))
    rows = [line.split() for line in inspect.net_lines(net)][1:4]
    kinds = [row[1] if few else " ".join(row[1:3]) for row in rows]
    assert kinds[0] == kinds[2] == ("linear" if few else "float linear")
    assert rows[1][1] == kind
    of_states = " ".join(inspect.layer_lines(net, 1, len(net.layers[1].bits) - 1))
    assert f"the sum of the {gate} of state 7" in of_states
    what = "states, as 3-bit numbers: " if few else "states, as float32 numbers"
    assert what in of_states
    last = [*inspect.layer_lines(net, 2, 1)]
    assert any("score = z" in line for line in last)
