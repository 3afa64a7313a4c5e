"""Count the lines and words of the README, and check them against their limits.

    python tools/words.py    print both numbers; exit code 1 if a limit is broken

Words are all that blanks separate, outside fenced blocks.
"""

import pathlib
import re
import sys

LIMITS = {"lines": 120, "words": 700}
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def count(text):
    """Return the lines of a text, and its words outside fenced blocks, by name."""
    return {"lines": len(text.splitlines()), "words": len(FENCED.sub("", text).split())}


def main():
    counts = count((pathlib.Path(__file__).parent.parent / "README.md").read_text())
    broken = [name for name, limit in LIMITS.items() if counts[name] > limit]
    for name, limit in LIMITS.items():
        print(f"{name}: {counts[name]} (at most {limit}){' BROKEN' * (name in broken)}")
    sys.exit(int(bool(broken)))


if __name__ == "__main__":
    main()
