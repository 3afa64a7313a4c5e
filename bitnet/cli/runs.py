"""`bitnet runs`: compare trainings by their logs or checkpoints: settings that differ, and figures.

The figures are those of the best epoch on the validation part, or of the last epoch.  Runs that
differ only in the seed also get a row with mean and sample standard deviation.

examples:
  bitnet runs a.jsonl b.jsonl
  bitnet runs a.csv b.checkpoint
  bitnet runs net.seed0.checkpoint net.seed1.checkpoint net.seed2.checkpoint
  bitnet runs *.jsonl --json
"""

from argparse import Namespace

from bitnet.analysis.runs import compare_runs, read_run
from bitnet.archive import to_json


def add_arguments(parser):
    """Add the arguments of the verb to a parser."""
    about = "a log or a checkpoint of `bitnet train`"
    parser.add_argument("runs", nargs="+", metavar="RUN", help=about)
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: Namespace) -> None:
    """Print the table."""
    table = compare_runs([read_run(path) for path in args.runs])
    print(to_json(table.record()) if args.json else table)
