"""Build a wheel of the predictor alone: the modules that load a frozen net and predict.

    python tools/predictor_wheel.py [--out DIR] [--no-numba]      write the wheel; default: here
    python tools/predictor_wheel.py --list [--no-numba]           print its files

It needs NumPy.  If Numba is there, its kernels are used; --no-numba leaves them out.  The package
has the name `bitnet`, so install it where bitnet itself is not installed.
"""

import argparse
import base64
import hashlib
import pathlib
import sys
import zipfile

from house import Imports

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAME = "bitnet_predictor"
ROOTS = ("bitnet.training.files", "bitnet.deploy.runtime", "bitnet.deploy.language")
WITH_NUMBA = ("bitnet.deploy.compiled", "bitnet.kernels.cpu")  # imported by name
METADATA = """\
Metadata-Version: 2.1
Name: bitnet-predictor
Version: {version}
Summary: Predictions of frozen nets of bits: bitnet without its trainer
License: MIT
Requires-Python: >=3.11
Requires-Dist: numpy>=2.0
Provides-Extra: fast
Requires-Dist: numba>=0.61; extra == "fast"
"""
WHEEL = """\
Wheel-Version: 1.0
Generator: tools/predictor_wheel.py
Root-Is-Purelib: true
Tag: py3-none-any
"""
TIME = 2020, 1, 1, 0, 0, 0  # of all files, so that the same source gives the same bytes


def files(numba=True, root=ROOT):
    """Return the files of the predictor, relative to the root of a checkout, sorted."""
    imports, needed = Imports(root / "bitnet"), set()
    left = [name for name in imports.of if numba and name.startswith(WITH_NUMBA)] + [*ROOTS]
    while left:
        name = left.pop()
        if name not in needed:
            needed.add(name)
            left += [*imports.of[name], *([name.rpartition(".")[0]] if "." in name else [])]
    paths = [
        pathlib.Path(*name.split("."), *["__init__"] * (name in imports.rooms)) for name in needed
    ]
    return sorted(path.with_suffix(".py") for path in paths)


def build(out, numba=True, root=ROOT):
    """Write the wheel into a folder; return its path."""
    text = (root / "bitnet" / "__init__.py").read_text()
    version = text.split('__version__ = "')[1].split('"')[0]
    info = f"{NAME}-{version}.dist-info"
    contents = {str(path): (root / path).read_bytes() for path in files(numba, root)}
    contents |= {"bitnet/py.typed": b"", f"{info}/LICENSE": (root / "LICENSE").read_bytes()}
    contents |= {f"{info}/METADATA": METADATA.format(version=version).encode()}
    contents |= {f"{info}/WHEEL": WHEEL.encode()}
    rows = [f"{name},sha256={digest(own)},{len(own)}\n" for name, own in contents.items()]
    contents[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"]).encode()
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{NAME}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, own in contents.items():
            archive.writestr(zipfile.ZipInfo(name, TIME), own, zipfile.ZIP_DEFLATED)
    return path


def digest(content):
    """Return the SHA-256 of a file in the form of a RECORD."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", metavar="DIR", default=".", help="folder; default: this one")
    parser.add_argument("--list", action="store_true", help="print the files of the wheel")
    about = "leave out the kernels for Numba"
    parser.add_argument("--no-numba", dest="numba", action="store_false", help=about)
    args = parser.parse_args()
    if args.list:
        print(*files(args.numba), sep="\n")
        return
    try:
        path = build(args.out, args.numba)
    except OSError as error:
        sys.exit(f"{args.out}: {error.strerror}; choose a folder that can be written with --out")
    print(f"{path}: {len(files(args.numba))} modules, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
