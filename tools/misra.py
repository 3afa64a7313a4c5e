"""Count the deviations of an exported header from MISRA C:2012 that cppcheck's addon finds.

    python tools/misra.py NAME.h

It prints a rule and a number per line.  docs/misra.md has the reason of each.
"""

import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from bitnet.errors import InputError

RULE = re.compile(r"misra-c2012-(\d+\.\d+) .*\.h:\d+")
CHECK = ["cppcheck", "--addon=misra", "--std=c99", "--quiet", "--template={id} {file}:{line}"]


def counts_of(text):
    """Return the number of places of each rule in the text of a header, the smallest rule first."""
    if shutil.which("cppcheck") is None:
        raise InputError("cppcheck was not found; expected it on the PATH: install it")
    found = re.search(r"(\w+)_scores\(\1_state \*state, ([^)]*)\)", text)
    if found is None:
        raise InputError("the file has no NAME_scores; expected a header of `bitnet export`")
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "net.h").write_text(text)
        (pathlib.Path(folder) / "net.c").write_text(program_of(text, found[1]))
        done = subprocess.run([*CHECK, "net.c"], cwd=folder, capture_output=True, text=True)
    places = set(done.stderr.splitlines())  # a place is found once per configuration
    rules = collections.Counter(own[1] for line in places if (own := RULE.fullmatch(line)))
    return dict(sorted(rules.items(), key=lambda pair: [int(n) for n in pair[0].split(".")]))


def program_of(text, name):
    """Return C that calls the functions of a header."""
    lines = ['#include "net.h"']
    for kind, function, arguments in re.findall(
        rf"static inline (void|int) ({name}_(?:scores|predict|self_test))\(([^)]*)\)", text
    ):
        names = ", ".join(re.findall(r"\*(\w+)", arguments))
        call = f"{function}({names});"
        lines.append(f"{kind} run_{function}({arguments});")
        body = call if kind == "void" else f"return {call}"
        lines.append(f"{kind} run_{function}({arguments}) {{ {body} }}")
    return "\n".join([*lines, ""])


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/misra.py NAME.h")
    try:
        counts = counts_of(pathlib.Path(sys.argv[1]).read_text())
    except (InputError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"misra: {error}")
    for rule, n in counts.items():
        print(f"{rule:>5} {n:5}")
    print(f"{len(counts)} rules, {sum(counts.values())} places")


if __name__ == "__main__":
    main()
