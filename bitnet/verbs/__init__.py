"""The verbs of the command line: a module each, with `HELP`, `add_arguments` and `main`."""

from bitnet.verbs import bench, status

VERBS = {"status": status, "bench": bench}  # in the order of `bitnet --help`
