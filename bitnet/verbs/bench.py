"""`bitnet bench`: a short stopwatch for this machine."""

from bitnet.bench import report
from bitnet.verbs.options import add_threads, use_threads
from bitnet.verbs.status import facts

HELP = "a short stopwatch: float, packed, frozen"
SHOWN = ("processor", "numpy", "numba", "kernels", "threads", "blas")


def add_arguments(parser):
    """Give a parser the arguments of the verb."""
    add_threads(parser)


def main(args):
    """Print the machine and the speeds."""
    use_threads(args.threads)
    for name, fact in facts():
        if name in SHOWN:
            print(f"{name:20} {fact}")
    for line in report():
        print(line, flush=True)
