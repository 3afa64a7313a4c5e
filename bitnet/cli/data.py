"""`bitnet data`: list the data sets and where they are; verify or download one.

examples:
  bitnet data
  bitnet data --verbose
  bitnet data fetch fashion-mnist
  bitnet data verify fashion-mnist
"""

import importlib.util
from argparse import Namespace

import bitnet
from bitnet.data import TEXTS, available, available_texts, fetch, verify
from bitnet.data.catalogue import PUBLISHED, find_files, folder_of

SCIPY, PILLOW = ("scipy", "SciPy"), ("PIL", "Pillow")
READERS = {"svhn": SCIPY, "svhn-extra": SCIPY, "folder": PILLOW}
ACTIONS = "actions (without one: list each data set and where it is)"


def add_arguments(parser):
    """Add the arguments of the verb to a parser."""
    parser.add_argument("--verbose", action="store_true", help="list each file and its bytes")
    actions = parser.add_subparsers(title=ACTIONS, dest="action", metavar="ACTION")
    names, known = ", ".join(PUBLISHED), (*PUBLISHED, *TEXTS)
    where = "folder of the files; default: where `bitnet data` lists it"
    about = "compare files with the published checksums"
    check = actions.add_parser("verify", help=about, description=f"{about}.")
    every = f"{names}; default: all that are found"
    check.add_argument("name", metavar="NAME", nargs="?", choices=known, help=every)
    check.add_argument("--folder", metavar="FOLDER", help=where)
    about = "download a data set and verify it; an interrupted download is resumed"
    get = actions.add_parser("fetch", help=about, description=f"{about}.")
    get.add_argument("name", metavar="NAME", choices=known, help=names)
    about = "folder of a mirror, http://... or https://...; default: the public address of the set"
    get.add_argument("--url", metavar="BASE", help=about)
    get.add_argument("--folder", metavar="FOLDER", help=where)
    get.add_argument("--quiet", action="store_true", help="show no progress bar")


def main(args: Namespace) -> None:
    """List, verify or fetch data sets."""
    if args.action and args.name in TEXTS:
        raise bitnet.InputError(
            f"{args.name} is a text, which cannot be fetched or verified; `bitnet data` says where "
            "it is, or which files are missing"
        )
    if args.action == "verify":
        _verify(args.name, args.folder)
    elif args.action == "fetch":
        _fetch(args)
    else:
        _list(args.verbose)


def _list(verbose):
    """Print where each set is, or how to get it."""
    for name, where in [*available(), *available_texts()]:
        library, title = READERS.get(name, ("numpy", "NumPy"))
        if importlib.util.find_spec(library) is None:
            where += f"; reading it needs {title}: `pip install {title.lower()}`"
        print(f"{name:14} {where}")
        found = find_files(name, folder_of(name)) if verbose and name in PUBLISHED else {}
        for file, path in found.items() if any(found.values()) else ():
            n_bytes = f"{path.stat().st_size:,}" if path else "missing"
            print(f"{'':14} {n_bytes:>13} {path or file}")


def _verify(name, folder):
    """Print one line per file; raise an error if one differs from the published file."""
    if name is None and folder is not None:
        raise bitnet.InputError("--folder needs NAME; name the data set in it")
    names = [name] if name else list(PUBLISHED)
    differ = 0
    for each in names:
        verdicts = verify(each, folder)
        if not name and all(verdict.words == "missing" for verdict in verdicts):
            print(f"{each:14} not there")
            continue
        for verdict in verdicts:
            print(f"{each:14} {verdict.path}: {verdict.words}", flush=True)
        differ += sum(verdict.good is False for verdict in verdicts)
    if differ:
        raise bitnet.InputError(
            f"{differ} file{'s are' if differ > 1 else ' is'} not as published; `bitnet data fetch "
            f"{name or 'NAME'}` downloads what is missing or differs"
        )


def _fetch(args):
    """Download a set, and print where its files are."""
    try:
        for path in fetch(args.name, args.folder, args.url, progress=not args.quiet):
            print(path)
    except KeyboardInterrupt as error:
        error.args = ("what has arrived is kept; run the same command to resume",)
        raise
