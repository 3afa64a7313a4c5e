"""`bitnet lr-find`: train with rising learning rates, plot the loss, and suggest a first rate.

The suggestion is a tenth of the rate with the lowest averaged loss.  No checkpoint is written.

examples:
  bitnet lr-find --net mlp:512,512
  bitnet lr-find --net conv:16/32,32/128 --data fashion-mnist --out rates.png
  bitnet lr-find --optimizer sgd --accumulate 4
  bitnet lr-find --net lstm:64 --end 1 --json
"""

from argparse import Namespace

from bitnet.analysis.plots import check_plot, plot_rates
from bitnet.archive import to_json
from bitnet.cli.options import add_machine, check_number, use_machine
from bitnet.cli.train_options import add_settings, given_settings, new_settings
from bitnet.errors import InputError
from bitnet.training.experiment import Experiment
from bitnet.training.rates import find_rate
from bitnet.training.settings import task_of

# of the schedule, or applied by epochs
WITHOUT = {"epochs", "lr", "patience", "schedule", "validation", "warmup", "widen", "widen_after"}


def add_arguments(parser):
    """Add the arguments of the verb to a parser."""
    parser.usage = "bitnet lr-find [OPTION ...]"
    add = parser.add_argument_group("rates").add_argument
    add("--start", type=float, default=1e-6, metavar="RATE", help="the first learning rate")
    add("--end", type=float, default=10.0, metavar="RATE", help="the last learning rate")
    about = "number of steps, with one rate each; the test ends early if the loss diverges"
    add("--count", type=int, default=100, metavar="N", help=about)
    add("--out", default="lr-find.png", metavar="NAME.png|svg", help="the picture")
    add("--json", action="store_true", help="print JSON")
    add_settings(parser, WITHOUT)
    add_machine(parser)
    parser.set_defaults(resume=None)


def main(args: Namespace) -> None:
    """Find the rate, and draw the picture."""
    device = use_machine(args)
    check_number("count", args.count, 2, 10**6)
    if not 0 < args.start < args.end <= 1e3:
        came = f"--start is {args.start:g} and --end {args.end:g}"
        raise InputError(f"{came}; expected a start above 0 and a larger end of at most 1000")
    check_plot(args.out)
    experiment = Experiment(new_settings(given_settings(args, task_of(vars(args)))))
    experiment.to(device)
    rates = {"start": args.start, "end": args.end, "count": args.count}
    rates["accumulate"] = experiment.settings["accumulate"]
    parts = experiment.model, experiment.optimizer, experiment.source
    curve = find_rate(*parts, rng=experiment.rng, **rates)
    plot_rates(curve, path=args.out)
    if args.json:
        own = {"rates": curve.rates, "losses": curve.losses, "suggestion": curve.suggestion}
        print(to_json(own))
        return
    count, last = len(curve.rates), curve.rates[-1]
    diverged = ", where the loss diverged" if count < args.count else ""
    print(f"{count} steps with rates from {args.start:g} to {last:.2g}{diverged}")
    print(f"suggestion: --lr {curve.suggestion:.2g} (default: {experiment.settings['lr']:g})")
    print(f"{args.out}: loss by learning rate")
