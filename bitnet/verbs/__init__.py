"""The verbs of the command line: a module each, with `HELP`, `add_arguments` and `main`."""

from bitnet.verbs import bench, data, status

VERBS = {"status": status, "data": data, "bench": bench}  # in the order of `bitnet --help`
