"""The verbs of the command line: a module each, with `HELP`, `add_arguments` and `main`.

`add_arguments(parser)` gives an `argparse.ArgumentParser` the arguments of the verb, and
`main(args)` does what they say; it raises InputError, OSError or KeyboardInterrupt, which
`bitnet.run` turns into one line and an exit code.
"""

from bitnet.verbs import (
    bench,
    data,
    evaluate,
    freeze,
    inspect,
    plot,
    predict,
    status,
    summary,
    train,
)

# in the order of `bitnet --help`
VERBS = {
    "status": status,
    "data": data,
    "train": train,
    "evaluate": evaluate,
    "freeze": freeze,
    "predict": predict,
    "summary": summary,
    "inspect": inspect,
    "plot": plot,
    "bench": bench,
}
