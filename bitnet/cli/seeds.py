"""`bitnet train --seeds`: one training per seed, and their mean and deviation."""

import copy
import pathlib
import re

from bitnet.analysis.runs import compare_runs
from bitnet.cli.train_options import check_same, given_settings, new_settings
from bitnet.cli.training_files import again, check_free, file_name, files_of, of_seed
from bitnet.errors import InputError
from bitnet.training.log import RunLog
from bitnet.training.settings import MAY_CHANGE, task_of
from bitnet.training.trained import load_trained

MOST = 1000  # seeds


def seeds_of(text):
    """The seeds that a text such as 0,1,2 or 0-2 stands for."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part.strip(), re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + MOST:
            raise InputError(f"--seeds is {text!r:.60}; expected seeds such as 0,1,2 or 0-2")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds) or len(seeds) > MOST:
        raise InputError(f"--seeds is {text!r:.60}; expected each seed once, and at most {MOST}")
    return seeds


def train_all(args, say, train):
    """Train once for each seed with `train(args, say, settings)`, and print a table.

    A resumed training skips the seeds that are done, resumes one that is not, and starts the rest
    with the settings of the first.
    """
    if args.seed is not None:
        raise InputError(f"--seeds is {args.seeds} and --seed {args.seed}; expected one of them")
    seeds, base, begun = seeds_of(args.seeds), _base(args), None
    outs = {seed: of_seed(base, seed) for seed in seeds}
    logs = {s: args.log and str(of_seed(pathlib.Path(args.log), s)) for s in seeds}
    if args.resume:
        begun = _begun(args, outs)
    else:
        settings = new_settings(given_settings(args, task_of(vars(args))))
        for seed in seeds:  # all of them, before the first one begins
            check_free(files_of(settings, outs[seed], logs[seed]), logs[seed])
    runs: list[RunLog] = []
    for seed, out in outs.items():
        own, there = copy.copy(args), bool(args.resume) and out.is_file()
        own.seed, own.out, own.log = seed, str(out), logs[seed]
        own.resume = str(out) if there else None
        say(f"seed {seed}, {len(runs) + 1} of {len(seeds)}")
        try:
            experiment = train(own, say, None if there or not begun else begun | {"seed": seed})
        except KeyboardInterrupt as error:
            done = f"{len(runs)} of {len(seeds)} seeds are done"
            kept, resumes, _ = str(*error.args).partition("; resume with: ")
            words = [done, kept] if resumes else [done]
            if any(map(pathlib.Path.is_file, outs.values())):
                words.append(again(base, args.log, "--seeds", args.seeds))
            error.args = ("; ".join(words),)
            raise
        runs.append(RunLog(out.stem, experiment.settings, experiment.records))
    say(str(compare_runs(runs)))


def _base(args):
    """The name from which those of the checkpoints are made."""
    named = [name for name in (args.out, args.resume) if isinstance(name, str)]
    if len(set(named)) > 1:
        raise InputError(f"--resume is {args.resume} and --out {args.out}; expected one file")
    if named:
        return pathlib.Path(named[0])
    return pathlib.Path(file_name(new_settings(given_settings(args, task_of(vars(args))))))


def _begun(args, outs):
    """The settings with which the seeds that are not there start: those of the first that is."""
    first = next(filter(pathlib.Path.is_file, outs.values()), None)
    if first is None:
        names = [path.name for path in outs.values()]
        raise InputError(
            f"--resume: there is no {names[0]} and no other seed; name the file without the seed, "
            "as in --resume NAME.checkpoint"
        )
    trained = load_trained(first)
    given = given_settings(args, trained.task)
    check_same(given, trained.settings, first)
    changed = {name: given[name] for name in MAY_CHANGE if name in given}
    return trained.settings | changed | {"init_crc32": None}
