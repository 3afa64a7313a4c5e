"""From the shell, in an empty folder: files as users have them, to a net and a prediction."""

import json

import numpy as np
import pytest
from PIL import Image

import bitnet
from bitnet import InputError
from bitnet.__main__ import main
from bitnet.data.idx import write_idx
from bitnet.training.trained import load_trained

RNG = np.random.default_rng(0)
QUICK = ("--net", "mlp:16", "--epochs", "4", "--batch", "10", "--out", "a.checkpoint")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITNET_DATA", raising=False)
    return tmp_path


def bitnet_says(capsys, *words):
    capsys.readouterr()
    main([*map(str, words)])
    return capsys.readouterr().out


def table(path, rows=60, label=("cold", "hot"), names=("a", "b", "c")):
    """Write a table whose last column follows from the first one."""
    x = RNG.normal(20, 5, (rows, len(names))).round(3)
    lines = [",".join([*names, "state"])]
    lines += [",".join([*map(str, row), label[int(row[0] > 20)]]) for row in x]
    path.write_text("\n".join(lines) + "\n")
    return x


def whole(capsys, *words):
    """Train, freeze and evaluate; return the figures of the frozen net and what was said."""
    said = bitnet_says(capsys, "train", *QUICK, *words)
    said += bitnet_says(capsys, "freeze", "a.checkpoint", "--out", "a.npz")
    figures = [
        json.loads(bitnet_says(capsys, "evaluate", file, "--json", *more))
        for file, more in (("a.checkpoint", ()), ("a.npz", ("--data", words[1])))
    ]
    same = [{k: v for k, v in f.items() if k not in ("file", "images_per_second")} for f in figures]
    assert same[0] == same[1]
    return figures[1], said


def predicted(capsys, *words):
    return json.loads(bitnet_says(capsys, "predict", "a.npz", *words, "--json"))


def test_a_table(folder, capsys):
    table(folder / "sensors.csv", 200)
    figures, said = whole(capsys, "--data", "sensors.csv", "--epochs", "15")
    assert figures["accuracy"] > 0.65
    assert "the labels are in state; 3 inputs" in said
    assert "no test part: every fifth of the 200 is one" in said
    net = bitnet.load("a.npz")
    assert (net.input, net.columns, net.classes) == ("numbers", ("a", "b", "c"), ("cold", "hot"))
    rows = predicted(capsys, "sensors.csv")
    assert (rows[0]["input"], len(rows)) == ("sensors.csv[0]", 200)
    (folder / "other.csv").write_text("c;extra;b;a\n1;x;20;29.5\n1;y;20;9.5\n")
    own = predicted(capsys, "other.csv")
    x = np.float32([[29.5, 20, 1], [9.5, 20, 1]])
    assert [row["class"] for row in own] == [net.classes[i] for i in net.predict(x)]
    np.save(folder / "x.npy", x)
    assert [row["scores"] for row in predicted(capsys, "x.npy")] == [row["scores"] for row in own]


def test_a_regression(folder, capsys):
    x = table(folder / "t.csv", 200)
    y = 3 * x[:, 0] - x[:, 1] + 100
    lines = ["a,b,c,y", *(",".join(map(str, row)) for row in np.column_stack([x, y]).tolist())]
    (folder / "train.csv").write_text("\n".join(lines))
    figures, said = whole(
        capsys, "--data", "train.csv", "--net", "mlp:64", "--epochs", "30", "--lr", "0.01"
    )
    assert figures["r2"] > 0.5
    assert figures["mean_absolute_error"] < 2 * y.std()
    assert "target regression: y" in said
    assert "train and test show R^2" in said
    net = bitnet.load("a.npz")
    numbers = net.predict(x[:5].astype(np.float32))
    assert (net.target, numbers.shape, numbers.dtype) == ("regression", (5,), np.float32)
    assert load_trained("a.checkpoint").predict(x[:5, None, None]).tolist() == numbers.tolist()
    rows = predicted(capsys, "train.csv")
    assert np.allclose([row["numbers"]["y"] for row in rows[:5]], numbers)
    line = bitnet_says(capsys, "predict", "a.npz", "train.csv").splitlines()[0]
    assert line == f"train.csv[0]\ty\t{numbers[0]:.6g}"
    with pytest.raises(InputError, match="predicts regression, which has no confusion matrix"):
        main(["plot", "confusion", "a.npz"])
    with pytest.raises(InputError, match="--top applies only to classes"):
        main(["predict", "a.npz", "train.csv", "--top", "2"])


def test_several_labels(folder, capsys):
    x = table(folder / "t.csv", 200)
    flags = np.column_stack([x[:, 0] > 20, x[:, 1] > 18]).astype(int)
    lines = ["a,b,c,warm,wet"]
    lines += [
        ",".join(map(str, [*row, *own]))
        for row, own in zip(x.tolist(), flags.tolist(), strict=True)
    ]
    (folder / "set.csv").write_text("\n".join(lines))
    figures, said = whole(
        capsys, "--data", "set.csv", "--label", "warm,wet", "--class-weights", "balanced"
    )
    assert figures["f1"] > 0.7
    assert set(figures["labels"]) == {"warm", "wet"}
    assert "target multilabel: warm, wet" in said
    net = bitnet.load("a.npz")
    found = net.predict(x[:9].astype(np.float32))
    assert (found.dtype, found.shape) == (bool, (9, 2))
    rows = predicted(capsys, "set.csv")
    names = [[name for name, own in zip(net.classes, row, strict=True) if own] for row in found]
    assert [row["labels"] for row in rows[:9]] == names
    text = bitnet_says(capsys, "evaluate", "a.checkpoint")
    assert "as the mean of the labels" in text
    assert "precision" in text


def test_a_test_table_next_to_the_training_table(folder, capsys):
    table(folder / "x-train.csv")
    table(folder / "x-test.csv", 15)
    figures, said = whole(capsys, "--data", "x-train.csv")
    assert figures["images"] == 15
    assert "test part: " in said
    assert load_trained("a.checkpoint").settings["folder"] == str(folder)


def test_arrays(folder, capsys):
    """Keras names, pixels, labels from 1, and `predict` passes the labels over."""
    images = RNG.integers(0, 100, (60, 8, 8), np.uint8)
    labels = RNG.integers(1, 3, 60)
    images[labels == 2] += 150
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:9], "y_test": labels[:9]}
    np.savez(folder / "set.npz", **arrays, about=np.array("mine"))
    figures, said = whole(capsys, "--data", "set.npz")
    assert (figures["accuracy"], figures["images"]) == (1.0, 9)
    assert "arrays that are not used: about" in said
    net = bitnet.load("a.npz")
    assert (net.classes, net.picture, net.data) == (("1", "2"), (8, 8, 1), "set.npz")
    main(["predict", "a.npz", "set.npz", "--json"])
    out, err = capsys.readouterr()
    assert len(json.loads(out)) == 69
    for name in ("y_train", "y_test", "about"):
        assert name in err
    rows = predicted(capsys, "set.npz", "--array", "x_test")
    assert [row["class"] for row in rows] == [str(label) for label in labels[:9]]
    with pytest.raises(InputError, match=r"--array is 'x_tset'; .* did you mean 'x_test'"):
        main(["predict", "a.npz", "set.npz", "--array", "x_tset"])
    with pytest.raises(InputError, match=r"set\.npz: y_test: the array holds numbers of type"):
        main(["predict", "a.npz", "set.npz", "--array", "y_test"])


def test_arrays_of_numbers(folder, capsys):
    """MedMNIST's names and its column of labels; floats are numbers in their own units."""
    x = RNG.normal(0, 1e-4, (80, 6))
    y = (x[:, :1] > 0).astype(np.uint8)
    np.savez(folder / "set.npz", train_images=x, train_labels=y)
    figures, _ = whole(capsys, "--data", "set.npz")
    assert 0 < figures["images"] <= 16
    assert bitnet.load("a.npz").input == "numbers"
    np.save(folder / "x.npy", x)  # float64
    assert len(predicted(capsys, "x.npy")) == 80


@pytest.mark.parametrize(
    "name", ["emnist-letters-{}-images-idx3-ubyte.gz", "{}-images.idx3-ubyte", "{}.images-idx3"]
)
def test_idx_files_of_any_size(folder, capsys, name):
    """Labels from 1, as in EMNIST letters; the folder alone is enough."""
    (folder / "set").mkdir()
    labels = RNG.integers(1, 4, 60).astype(np.uint8)
    images = np.repeat(labels[:, None], 77, 1).reshape(60, 11, 7) * 60
    for part, rows in (("train", slice(0, 50)), ("test", slice(50, 60))):
        path = folder / "set" / name.format(part)
        write_idx(path, images[rows])
        own = path.name.replace("images", "labels").replace("idx3", "idx1")
        write_idx(path.with_name(own), labels[rows])
    figures, _ = whole(capsys, "--data", "set")
    assert figures["images"] == 10
    net = bitnet.load("a.npz")
    assert (net.classes, net.picture) == (("1", "2", "3"), (11, 7, 1))
    np.save(folder / "x.npy", images[:4])
    rows = predicted(capsys, "x.npy")
    assert [row["index"] for row in rows] == net.predict(images[:4]).tolist()


def test_mnist_with_dots_in_its_names(folder, capsys):
    for part, n in (("train", 40), ("t10k", 10)):
        write_idx(folder / f"{part}-images.idx3-ubyte", RNG.integers(0, 255, (n, 28, 28), np.uint8))
        write_idx(folder / f"{part}-labels.idx1-ubyte", RNG.integers(0, 10, n).astype(np.uint8))
    said = bitnet_says(capsys, "train", "--data", "mnist", "--folder", ".", *QUICK)
    assert "on mnist: 40 images, 10 test images" in said


def phone_pictures(folder):
    """Write pictures with an orientation, transparency and 12 of 16 bits, in classes."""
    for i, name in enumerate(("dark", "light")):
        (folder / name).mkdir(parents=True)
        for k in range(10):
            grey = RNG.integers(i * 128, i * 128 + 100, (12, 9), np.uint8)
            image = Image.fromarray(np.stack([grey] * 3, -1))
            exif = Image.Exif()
            exif[0x112] = 6
            image.save(folder / name / f"IMG_{k}.JPG", "JPEG", exif=exif)
    Image.fromarray(np.full((9, 9), 300, np.uint16)).save(folder / "dark" / "scan.png")
    Image.fromarray(np.full((9, 9, 4), 255, np.uint8)).save(folder / "light" / "clear.png")
    Image.fromarray(np.full((9, 9), 250, np.uint8)).save(folder / "light" / "scan.tif")


def test_a_folder_of_phone_pictures(folder, capsys):
    phone_pictures(folder / "photos")
    words = ("--data", "photos", "--size", "8", "--net", "conv:8/16", "--epochs", "10")
    figures, said = whole(capsys, *words)
    assert figures["accuracy"] >= 0.75
    assert "16 bits per pixel, with values from 300 to 300, which 9 bits hold" in said
    assert "no test part: every fifth of the 23 is one" in said
    rows = predicted(capsys, "photos/light", "photos/dark/IMG_0.JPG")
    assert [row["input"] for row in rows[-2:]] == ["photos/light/scan.tif", "photos/dark/IMG_0.JPG"]
    _, images = bitnet.data.read_images_of("photos/light", 8)
    classes = bitnet.load("a.npz").predict(images).tolist()
    assert [row["index"] for row in rows[:12]] == classes
    (folder / "photos" / "dark" / "IMG_99.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    with pytest.raises(InputError, match=r"IMG_99\.HEIC: .* convert them to JPEG"):
        main(["train", *QUICK, *words, "--out", "b.checkpoint"])
    with pytest.raises(InputError, match=r"IMG_99\.HEIC: a HEIC or AVIF picture"):
        main(["predict", "a.npz", "photos/dark/IMG_99.HEIC"])


def test_seeds_and_then_other_data(folder, capsys):
    """A net of one table begins the training on another with the same columns and more classes."""
    table(folder / "one.csv", 80)
    words = ("--net", "mlp:16", "--epochs", "2", "--batch", "10")
    said = bitnet_says(capsys, "train", "--data", "one.csv", *words, "--seeds", "0-1")
    assert "mean of 2" in said
    assert load_trained("mlp-16-one.seed1.checkpoint").settings["seed"] == 1
    table(folder / "two.csv", 80, label=("low", "high"))
    (folder / "two.csv").write_text((folder / "two.csv").read_text() + "1,2,3,broken\n" * 9)
    start = ("--init", "mlp-16-one.seed0.checkpoint", "--out", "two.checkpoint")
    said = bitnet_says(capsys, "train", "--data", "two.csv", *words, *start)
    assert "not loaded: layers.4.weight ((2, 16) there, (3, 16) here)" in said
    assert load_trained("two.checkpoint").classes == ("broken", "high", "low")


def test_a_resumed_training_reads_the_same_file(folder):
    table(folder / "t.csv")
    main(["train", *QUICK, "--data", "t.csv", "--quiet", "--recipe", "default", "--float"])
    before = (folder / "a.checkpoint").read_bytes()
    main(["train", "--resume", "a.checkpoint", "--quiet"])
    assert (folder / "a.checkpoint").read_bytes() == before
    table(folder / "t.csv")
    with pytest.raises(InputError, match=r"the training data t\.csv have changed"):
        main(["train", "--resume", "a.checkpoint"])
    (folder / "t.csv").unlink()
    with pytest.raises(InputError, match=r"there is no file .*t\.csv"):
        main(["train", "--resume", "a.checkpoint"])


CSV = "a,b,y\n" + "1,2,u\n3,4,v\n" * 10


def npz(**arrays):
    return lambda path: np.savez(path, **arrays)


def idx(array, labels=None):
    def write(path):
        write_idx(path, np.asarray(array, np.uint8))
        if labels is not None:
            name = path.name.replace("images", "labels").replace("idx3", "idx1")
            write_idx(path.with_name(name), np.asarray(labels, np.uint8))

    return write


PIXELS, TEN = np.zeros((10, 4, 4), np.uint8), np.arange(10) % 2
FAULTS = [
    ("t.csv", "", "the file is empty"),
    ("t.csv", "a,b\n", "no row after the names"),
    ("t.csv", "a\n1\n2\n", "1 column; expected 2 to"),
    ("t.csv", CSV + "5,6\n", "line 22: 2 cells; expected 3"),
    ("t.csv", CSV + "5,,u\n", "line 22: cell 2 is empty; fill it in"),
    ("t.csv", CSV + "5,NA,u\n", "column 'b' has 'NA' in row 21; .*fill it in"),
    ("t.csv", CSV + "5,nan,u\n", "column 'b' has 'nan' in row 21"),
    ("t.csv", CSV + "5,inf,u\n", "column 'b' has 'inf' in row 21"),
    ("t.csv", CSV + "5,1e99,u\n", "column 'b' has a number too large for float32 in row 21"),
    ("t.csv", CSV + "5,Rome,u\n", "column 'b' has 'Rome' in row 21; expected numbers; use"),
    ("t.csv", CSV.replace(",", ";") + "5;6,5;u\n", "has '6,5' in row 21; .*a decimal point"),
    ("t.csv", CSV + '5,"6,u\n', "line 22: .*; expected CSV"),
    ("t.csv", ",a,y\n" + "0,1,u\n" * 9, r"column 1 has no name; .*to_csv\(index=False\)"),
    ("t.csv", "a,a,y\n" + "0,1,u\n" * 9, "two columns are named 'a'"),
    ("t.csv", "a,label,class\n" + "0,1,u\n" * 9, "columns 'label' and 'class' may both"),
    ("t.csv", "a,b,y\n" + "0,1,u\n" * 4, "4 rows without a test part; expected 5 or more"),
    ("t.csv", b"a,b\n\xff,1\n", "line 2: byte 4 is 0xff, which is not UTF-8"),
    ("t.csv", CSV.encode("utf-16"), "the text is in UTF-16"),
    ("t.csv", b"PK\x03\x04\0\0", "byte 4 is 0, as in a binary file"),
    ("t.npz", b"PK\x03\x04", r"t\.npz: not a \.npy or \.npz file"),
    ("t.npz", npz(a=PIXELS), "its arrays are a; expected images and labels"),
    ("t.npz", npz(images=PIXELS, labels=TEN[:9]), "10 inputs and 9 labels"),
    ("t.npz", npz(images=PIXELS[0], labels=TEN[:4]), "4 rows without a test part"),
    ("t.npz", npz(images=PIXELS[:0], labels=TEN[:0]), r"images is uint8 of shape \(0, 4, 4\)"),
    ("t.npz", npz(images=TEN, labels=TEN), r"images is int64 of shape \(10,\); expected"),
    ("t.npz", npz(images=PIXELS * 1j, labels=TEN), "images: the array holds numbers of type <c16"),
    ("t.npz", npz(images=PIXELS + np.nan, labels=TEN), "images: NaN, infinity or a number too"),
    ("t.npz", npz(images=PIXELS, labels=TEN + np.nan), "a label is NaN or infinity"),
    ("t.npz", npz(images=PIXELS, labels=np.array([{}] * 10, object)), "labels: the array holds"),
    ("t.npz", npz(images=PIXELS, labels=np.zeros((10, 2, 2))), r"labels of shape \(10, 2, 2\)"),
    ("t.npz", npz(images=np.zeros((10, 3, 8, 8), np.uint8), labels=TEN), "expected channels last"),
    (
        "t.npz",
        npz(x_train=PIXELS, y_train=TEN, x_test=PIXELS, y_test=TEN + 1),
        "the class '2' is among the labels, but the training part has no such class",
    ),
    (
        "t.npz",
        npz(x_train=PIXELS, y_train=TEN, x_test=PIXELS[:, 1:], y_test=TEN),
        r"the test inputs are uint8 \(3, 4\); expected uint8 \(4, 4\)",
    ),
    (
        "t.npz",
        npz(images=np.zeros((90, 2)), labels=np.arange(90)),
        "the labels are 90 different whole numbers in 90 rows; say whether",
    ),
    ("x-images-idx3-ubyte", idx(PIXELS), "no file x-labels-idx1-ubyte next to it"),
    ("x-images-idx3-ubyte", idx(PIXELS, TEN[:9]), r"labels of shape \(9,\); expected 10"),
    ("x-images-idx3-ubyte", idx(TEN, TEN), r"an array of shape \(10,\); these may be the labels"),
    ("x-images-idx3-ubyte", b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "type code 13; expected 8"),
    ("x-images-idx3-ubyte", b"\0\0\x08\x03\0\0", "truncated within the header"),
    ("x-images-idx3-ubyte", b"\x1f\x8b\x08\0", "the gzip data end early or are damaged"),
    ("x-images-idx3-ubyte", b"words", "the file is none of these"),
    ("x.xlsx", b"PK", "the file is none of these: a table"),
]


@pytest.mark.parametrize(("name", "content", "message"), FAULTS)
def test_faulty_files_are_one_sentence_and_nothing_is_written(folder, name, content, message):
    path = folder / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = sorted(folder.iterdir())
    with pytest.raises(InputError, match=message) as caught:
        main(["train", *QUICK, "--data", name])
    assert name.partition("-")[0] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--data t.scv", "--data: there is no file or folder t.scv"),
        ("--data no/set", "--data: there is no file or folder no/set"),
        ("--data t.csv --label z", "label is 'z'; expected one of a, b, y"),
        ("--data t.csv --drop z", "drop is 'z'; expected one of a, b, y"),
        ("--data t.csv --label y --drop y", "'y' is in label and in drop"),
        ("--data t.csv --drop a,b", "no column is left for the inputs"),
        ("--data t.csv --target regression", "the labels are text; expected numbers"),
        ("--data t.csv --target multilabel", "a label is neither 0 nor 1"),
        ("--data t.csv --label a,y", "the label column 'y' has text"),
        ("--data t.csv --loss huber", "loss is huber; for target classification expected"),
        ("--data t.csv --class-weights 1,2,3", "class_weights has 3 numbers; expected 2"),
        ("--data t.csv --class-weights 1,x", "--class-weights is '1,x'; expected balanced"),
        ("--data t.csv --label-smoothing 0.1", "label_smoothing needs the loss cross-entropy"),
        ("--data t.csv --prepare gcn", "prepare applies to pixels"),
        ("--data t.csv --recipe torch", "no recipe for data 't.csv'"),
        ("--data t.csv --net conv:4/8", "too small for 1 poolings"),
        ("--data t.csv --crop 1", "crop is 1; expected fewer pixels"),
        ("--data t.csv --size 8", "--size applies only to --data folder"),
        ("--data embedded --label y", "label applies to your own data"),
        ("--data embedded --target regression", "target applies to your own data"),
        ("--data t.csv --folder elsewhere", "there is no file or folder elsewhere/t.csv"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(folder, words, message):
    (folder / "t.csv").write_text(CSV)
    with pytest.raises(InputError, match=message):
        main(["train", *QUICK, *words.split()])
    assert [path.name for path in folder.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "a,b\n1,2\n", "no column 'c', which the net takes; its columns are a, b"),
        ("t.csv", "a,b,c\n1,2,x\n", "column 'c' has 'x' in row 1; expected numbers"),
        ("t.npy", np.zeros((2, 4)), r"an array of shape \(2, 4\); expected"),
        ("t.npy", np.full((2, 3), np.inf), "NaN, infinity or a number too large"),
        ("t.npy", np.zeros((2, 3), complex), "numbers of type <c16"),
        ("t.png", np.zeros((4, 4), np.uint8), "takes 3 numbers, and t.png is no table or array"),
    ],
)
def test_inputs_that_do_not_fit_a_net_for_numbers(folder, name, content, message):
    table(folder / "set.csv")
    main(["train", *QUICK, "--data", "set.csv", "--quiet"])
    if isinstance(content, str):
        (folder / name).write_text(content)
    elif name.endswith(".npy"):
        np.save(folder / name, content)
    else:
        Image.fromarray(content).save(folder / name)
    with pytest.raises(InputError, match=message):
        main(["predict", "a.checkpoint", name])
    with pytest.raises(InputError, match="--invert applies only to pixels"):
        main(["predict", "a.checkpoint", "set.csv", "--invert"])


def test_a_table_for_a_net_for_pixels(folder):
    (folder / "t.csv").write_text(CSV)
    main(["train", *QUICK, "--data", "embedded", "--limit", "50", "--quiet"])
    with pytest.raises(InputError, match=r"t\.csv is a table, and a\.checkpoint takes pixels"):
        main(["predict", "a.checkpoint", "t.csv"])


def test_a_frozen_net_whose_file_is_gone(folder):
    table(folder / "set.csv")
    main(["train", *QUICK, "--data", "set.csv", "--quiet"])
    main(["freeze", "a.checkpoint"])
    (folder / "set.csv").rename(folder / "moved.csv")
    with pytest.raises(InputError, match=r"was trained on set\.csv, and there is no file set\.csv"):
        main(["evaluate", "a.npz"])
    main(["evaluate", "a.npz", "--data", "moved.csv"])  # all of its rows
    (folder / "moved.csv").write_text("a,b,c,state\n" + "1,2,3,warm\n" * 2)
    with pytest.raises(InputError, match="the class 'warm' is among the labels, but the net has"):
        main(["evaluate", "a.npz", "--data", "moved.csv"])
