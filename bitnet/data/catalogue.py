"""The published data sets: files, sizes, checksums, addresses and folders.

The MD5s of the downloads come from the web page of CIFAR (www.cs.toronto.edu/~kriz/cifar.html), the
README of Fashion-MNIST, and the source of torchvision (MNIST, SVHN).  The MD5 of an IDX file is
that of its decompressed content.  No checksums are published for the files inside the archives of
CIFAR.
"""

import dataclasses
import os
import pathlib

from bitnet.errors import check_choice

DIGITS = tuple("0123456789")
CLOTHES: tuple[str, ...] = ("T-shirt/top", "trouser", "pullover", "dress", "coat")
CLOTHES += ("sandal", "shirt", "sneaker", "bag", "ankle boot")
ABOUT_MNIST = "the MNIST database of handwritten digits (LeCun, Cortes, Burges)"
ABOUT_FASHION = "Fashion-MNIST (Zalando), github.com/zalandoresearch/fashion-mnist, data/fashion"
MNIST_AT = "https://ossci-datasets.s3.amazonaws.com/mnist"
FASHION_AT = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion"
IDX_FILES: tuple[str, ...] = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
IDX_FILES += ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
IDX_BYTES = (47_040_016, 60_008, 7_840_016, 10_008)

# for each IDX file: the MD5 of its content, then the size and the MD5 of the download
MNIST = """
6bbc9ace898e44ae57da46a324031adb 9912422 f68b3c2dcbeaaa9fbdd348bbdeb94873
a25bea736e30d166cdddb491f175f624 28881 d53e105ee54ea40749a09fcbcd1e9432
2646ac647ad5339dbf082846283269ea 1648877 9fb629c4189551a2d022fa330f9573f3
27ae3e4e09519cfbb04c329615203637 4542 ec29112dd5afa0611ce80d1b7f02629c
"""
FASHION = """
f4a8712d7a061bf5bd6d2ca38dc4d50a 26421880 8d4fb7e6c68d591d4c3dfef9ec88bf0d
9018921c3c673c538a1fc5bad174d6f9 29515 25c81989df183df01b3e8a0aad5dffbe
8181f5470baa50b63fa0f6fddb340f0a 4422102 bef4ecab320f06d8554ea6380940ec79
15d484375f8d13e6eb1aabb0c3f46965 5148 bb300cfdad3c16e7a12a480ee83cd310
"""


@dataclasses.dataclass(frozen=True)
class Stated:
    """The published name, size and checksum of a file; for IDX files, those of the content."""

    name: str
    n_bytes: int
    md5: str | None = None


@dataclasses.dataclass(frozen=True)
class Published:
    """A published data set: file format, classes, files and downloads."""

    kind: str  # "idx", "cifar10", "cifar100" or "svhn"
    about: str
    classes: tuple  # names; those in `names_file` take precedence
    train: tuple  # of Stated, like `test` and `downloads`
    test: tuple
    address: str  # of the folder with the downloads
    downloads: tuple
    folder: str  # inside the folder of all data sets
    archive_folder: str = ""  # the folder inside a downloaded archive
    names_file: str = ""

    @property
    def files(self):
        """Return all files of the set, training files first."""
        return self.train + self.test


def _idx(folder, about, classes, address, table):
    """Return a set of four IDX files, described by a table of sizes and MD5s."""
    rows = [line.split() for line in table.strip().splitlines()]
    files = tuple(map(Stated, IDX_FILES, IDX_BYTES, (row[0] for row in rows)))
    pairs = zip(files, rows, strict=True)
    zipped = tuple(Stated(f"{file.name}.gz", int(n), md5) for file, (_, n, md5) in pairs)
    return Published("idx", about, classes, files[:2], files[2:], address, zipped, folder)


def _cifar(kind, classes, train, test, download, archive_folder, names_file):
    """Return a set whose archive has files of records of equal length."""
    about = f"{kind}, binary version (Krizhevsky), www.cs.toronto.edu/~kriz/cifar.html"
    address, name = "https://www.cs.toronto.edu/~kriz", kind.replace("-", "").lower()
    downloads = (Stated(f"{kind.lower()}-binary.tar.gz", *download),)
    inside = name, archive_folder, names_file
    return Published(name, about, classes, train, test, address, downloads, *inside)


TRAIN_MAT = Stated("train_32x32.mat", 182_040_794, "e26dedcc434d2e4c54c9b2d4a06d8373")
EXTRA_MAT = Stated("extra_32x32.mat", 1_329_278_602, "a93ce644f1a588dc4d68dda5feec44a7")
TEST_MAT = Stated("test_32x32.mat", 64_275_384, "eb5a983be6a315427106f1b164d9cef3")


def _svhn(which, *train):
    """Return the set of the cropped digits of SVHN."""
    about = f"SVHN, cropped digits {which}, ufldl.stanford.edu/housenumbers"
    files, address = (*train, TEST_MAT), "https://ufldl.stanford.edu/housenumbers"
    return Published("svhn", about, DIGITS, train, (TEST_MAT,), address, files, "svhn")


PUBLISHED = {
    "mnist": _idx("mnist", ABOUT_MNIST, DIGITS, MNIST_AT, MNIST),
    "fashion-mnist": _idx("fashion-mnist", ABOUT_FASHION, CLOTHES, FASHION_AT, FASHION),
    "cifar10": _cifar(
        "CIFAR-10",
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        tuple(Stated(f"data_batch_{i}.bin", 30_730_000) for i in range(1, 6)),
        (Stated("test_batch.bin", 30_730_000),),
        (170_052_171, "c32a1d4ab5d03f1284b67883e8d87530"),
        "cifar-10-batches-bin",
        "batches.meta.txt",
    ),
    "cifar100": _cifar(
        "CIFAR-100",
        tuple(map(str, range(100))),
        (Stated("train.bin", 153_700_000),),
        (Stated("test.bin", 30_740_000),),
        (168_513_733, "03b5dce01913d631647c71ecec9e9cb8"),
        "cifar-100-binary",
        "fine_label_names.txt",
    ),
    "svhn": _svhn("(Netzer and others)", TRAIN_MAT),
    "svhn-extra": _svhn("with the set extra", TRAIN_MAT, EXTRA_MAT),
}


def published(name):
    """Return a published data set by name; raise InputError for an unknown name."""
    check_choice("published data", PUBLISHED, name=name)
    return PUBLISHED[name]


def folder_of(name):
    """Return the folder of the files of a published set."""
    return data_folder() / published(name).folder


def data_folder():
    """Return the folder of all data sets: BITNET_DATA, or `bitnet` in the user cache."""
    if os.environ.get("BITNET_DATA"):
        return pathlib.Path(os.environ["BITNET_DATA"])
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(cache) / "bitnet"


def find_files(name, folder):
    """Return the path of each file of a published set by name, None if it is missing."""
    known, folder = published(name), pathlib.Path(folder)
    places = [folder / known.archive_folder, folder]
    ends = (".gz", "") if known.kind == "idx" else ("",)
    found = {}
    for file in known.files:
        names = {file.name, file.name.replace("-idx", ".idx")}  # as unpacked by some programs
        paths = (place / f"{name}{end}" for place in places for name in names for end in ends)
        found[file.name] = next(filter(pathlib.Path.is_file, paths), None)
    return found
