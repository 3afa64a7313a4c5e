"""Stop trainings by signals at random times, and resume them: the result must be the same.

    python tests/campaigns/kills.py [--kills 200] [--minutes 60] [--seed 1] [--number N]

Each number starts one of TRAININGS from the command line, stops it by SIGKILL, SIGTERM or SIGINT,
resumes it, stops it again, and so on; the last run is left alone.  Then the checkpoints must have
the bytes of an undisturbed training, and the log its lines without the times; no other file may be
there.  In between, the checkpoint must stay readable and never lose an epoch.  The exit code is 1
if anything is wrong.  `--number N` repeats the training of a single number; its times may differ.
"""

import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import arguments  # noqa: E402

from bitnet import InputError  # noqa: E402
from bitnet.training.checkpoint import read_checkpoint  # noqa: E402

IMAGES = ("--data", "embedded", "--limit", "300", "--batch", "20", "--epochs", "15")
TEXTS = ("--limit", "1500", "--epochs", "6")
TRAININGS = {
    "mlp": ("--net", "mlp:16,16", *IMAGES),
    "low bits": ("--net", "mlp:16", "--weights", "2", "--activations", "log:3", *IMAGES),
    "convolutions": ("--net", "conv:3/8", "--validation", "50", "--flip", *IMAGES),
    "rnn": ("--net", "rnn:16", *TEXTS),
    "lstm": ("--net", "lstm:8", "--weights", "2", "--activations", "3", *TEXTS),
    "dropout": ("--net", "gru:8,8", "--dropout", "0.5", *TEXTS),
}
OUT, BEST, LOG = "net.checkpoint", "net.best.checkpoint", "net.jsonl"
CODES = {signal.SIGKILL: None, signal.SIGTERM: 143, signal.SIGINT: 130}
MOST_KILLS = 6  # of one training
END_S = 120  # in which a stopped training must end
TIMES = ("seconds", "images_per_second", "tokens_per_second")


def start(folder, *words):
    """Start `bitnet train` in a folder."""
    command = [sys.executable, "-m", "bitnet", "train", *words, "--log", LOG, "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe)


def finished(process):
    """Wait for the end of a process; return its exit code and its errors."""
    try:
        _, errors = process.communicate(timeout=END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, f"no end within {END_S} seconds"
    return process.returncode, errors.decode(errors="replace")


def results(folder):
    """Return the bytes of the checkpoints, and the lines of the log without times."""
    found = {name: (folder / name).read_bytes() for name in (OUT, BEST) if (folder / name).exists()}
    records = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    found[LOG] = [{k: v for k, v in own.items() if k not in TIMES} for own in records]
    return found


class Undisturbed:
    """The results of trainings that nothing stops, and how long they and their starts take."""

    def __init__(self):
        self.known = {}

    def __getitem__(self, name):
        if name not in self.known:
            with tempfile.TemporaryDirectory() as folder:
                folder, begin = pathlib.Path(folder), time.monotonic()
                process, first_s = start(folder, *TRAININGS[name], "--out", OUT), None
                while process.poll() is None and first_s is None:
                    first_s = time.monotonic() - begin if (folder / OUT).exists() else None
                    time.sleep(0.01)
                code, errors = finished(process)
                if code != 0:
                    raise SystemExit(f"{name}: the undisturbed training failed: {errors}")
                self.known[name] = results(folder), first_s or 0.5, time.monotonic() - begin
        return self.known[name]


class Stopped:
    """A training that signals stop again and again."""

    def __init__(self, seed, number, folder, undisturbed, counts):
        self.rng, self.folder, self.counts = random.Random(f"{seed} {number}"), folder, counts
        self.name = self.rng.choice([*TRAININGS])
        self.expected, self.first_s, self.all_s = undisturbed[self.name]
        self.epoch, self.faults = -1, []

    def start(self):
        """Start the training, or resume it if it has a checkpoint."""
        if (self.folder / OUT).exists():
            return start(self.folder, "--resume", OUT)
        return start(self.folder, *TRAININGS[self.name], "--out", OUT)

    def run(self):
        """Stop the training a few times, let it end, and check what there is."""
        for _ in range(self.rng.randint(1, MOST_KILLS)):
            if not self.stop():
                break
            self.check_between()
        code, errors = finished(self.start())
        if code != 0:
            self.faults.append(f"the resumed training ended with {code}: {errors[-300:]}")
            return
        self.check_end()

    def check_end(self):
        """Check that the files are those of an undisturbed training, and no others."""
        found, names = results(self.folder), {path.name for path in self.folder.iterdir()}
        if names != set(self.expected):
            self.faults.append(f"the files are {sorted(names)}; expected {sorted(self.expected)}")
        for name, own in self.expected.items():
            if found.get(name) != own:
                self.faults.append(f"{name} differs from that of an undisturbed training")

    def stop(self):
        """Start the training and stop it; return whether a signal met it."""
        number = self.rng.choice([*CODES])
        process, how = self.start(), self.rng.choice(["any", "after start", "after start", "write"])
        begin, wait = time.monotonic(), self.rng.uniform(0, 0.8 * self.all_s)
        if how != "any":
            wait = self.first_s + self.rng.uniform(0, max(0.1, 0.7 * (self.all_s - self.first_s)))
        while process.poll() is None and time.monotonic() < begin + wait:
            time.sleep(0.001)
        while how == "write" and process.poll() is None:
            if any(".partial" in own for own in os.listdir(self.folder)):
                break
        is_twice = number != signal.SIGKILL and self.rng.random() < 0.2
        if process.poll() is None:
            process.send_signal(number)
            if is_twice:
                time.sleep(self.rng.uniform(0, 0.05))
                process.send_signal(number)
        code, errors = finished(process)
        if code == 0:
            self.counts["ended before the signal"] += 1
            return False
        title = signal.Signals(number).name
        self.counts[f"{title}{' twice' if is_twice else ''}"] += 1
        self.counts["while a file was written"] += how == "write"
        self.counts["kills"] += 1
        died = code == -number and number != signal.SIGKILL
        if died or ("KeyboardInterrupt" in errors and "bitnet" not in errors):
            self.counts["before the program began"] += 1  # Python itself had just begun
        elif code != (-number if number == signal.SIGKILL else CODES[number]):
            self.faults.append(f"{title}: exit code {code}: {errors[-300:]}")
        elif "Traceback" in errors:
            self.faults.append(f"{title}: a traceback: {errors[-300:]}")
        return True

    def check_between(self):
        """Check that the checkpoint is readable and has no fewer epochs than before."""
        if not (self.folder / OUT).exists():
            if self.epoch >= 0:
                self.faults.append("the checkpoint is lost")
            return
        try:
            epoch = read_checkpoint(self.folder / OUT).epoch
        except InputError as error:
            self.faults.append(f"the checkpoint is not readable: {error}")
            return
        if epoch < self.epoch:
            self.faults.append(f"the checkpoint went from epoch {self.epoch} back to {epoch}")
        self.epoch = epoch


def campaign(seed, kills=None, seconds=None, numbers=None, say=print):
    """Stop trainings until there are so many kills, or the time is over; return the counts."""
    counts, undisturbed = collections.Counter(), Undisturbed()
    numbers, begin = iter(range(1 << 40) if numbers is None else numbers), time.monotonic()
    while seconds is None or time.monotonic() < begin + seconds:
        number = next(numbers, None)
        if number is None or (kills is not None and counts["kills"] >= kills):
            break
        with tempfile.TemporaryDirectory() as folder:
            own = Stopped(seed, number, pathlib.Path(folder), undisturbed, counts)
            own.run()
        counts["trainings"] += 1
        counts["faults"] += len(own.faults)
        for fault in own.faults:
            say(f"--seed {seed} --number {number}: {own.name}: {fault}", flush=True)
    return counts


def main():
    """Run a campaign and print its counts."""
    parser = arguments.parser(__doc__, minutes=60.0)
    parser.add_argument("--kills", type=arguments.above_zero(int), default=200)
    args = parser.parse_args()
    numbers = None if args.number is None else [args.number]
    counts = campaign(args.seed, args.kills, 60 * args.minutes, numbers)
    arguments.finish(counts, "faults")


if __name__ == "__main__":
    main()
