"""What the campaigns share on the command line: the amount, the seed, and the counts at the end."""

import argparse
import sys


def above_zero(kind):
    """Return a type of arguments: numbers of a kind above 0, as nothing tried is no success."""

    def parse(text):
        try:
            number = kind(text)
        except ValueError:
            number = 0
        if not 0 < number < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r}; expected a number above 0")
        return number

    return parse


def parser(doc, minutes=1.0):
    """Return a parser of the time, the seed, and the number of a single case."""
    found = argparse.ArgumentParser(description=doc.partition("\n")[0])
    found.add_argument("--minutes", type=above_zero(float), default=minutes)
    found.add_argument("--seed", type=int, default=1)
    found.add_argument("--number", type=int, help="repeat this case alone")
    return found


def finish(counts, faults):
    """Print the counts, and end with exit code 1 if there is a count of faults."""
    for name, count in sorted(counts.items()):
        print(f"{name}: {count}")
    sys.exit(counts[faults] > 0)
