def constant(node):
    own = node["array"]
    return Value(own.shape, own.flat, is_float=own.is_float)


KINDS = {}  # the function of each kind of node: filled by the exporter


def values_of(*inputs):
    """Return the values of all nodes for the inputs."""
    given, values = iter(inputs), []
    for node in NODES:
        kind = node["kind"]
        if kind in ("pixels", "signs", "numbers", "ids"):
            values.append(entered(node, list(next(given))))
            continue
        if kind in ("weights", "constant"):
            if "value" not in node:
                node["value"] = KINDS[kind](node)
            values.append(node["value"])
            continue
        values.append(KINDS[kind](node, *[values[i] for i in node["inputs"]]))
    return values


def entered(node, x):
    """Return an input of numbers as a value; refuse another length."""
    sizes = {"B": 1, "T": STEPS}
    shape = [own if isinstance(own, int) else sizes[own] for own in node["shape"]]
    if len(x) != size(shape):
        raise ValueError("an input of %d numbers; expected %d" % (len(x), size(shape)))
    if node["kind"] == "signs":
        return packed(shape, [int(v > 0) for v in x], {"codebook": None})
    is_float = node["kind"] == "numbers"
    return Value(shape, [f32(v) if is_float else int(v) for v in x], is_float=is_float)


def results(*inputs):
    """Return all results of the net, as lists."""
    values = values_of(*inputs)
    return [values[i].numbers() for i in OUTPUTS]


def scores(*inputs):
    """Return the scores of the classes for one input."""
    return results(*inputs)[0]


def integers(*inputs):
    """Return the integers of each product of bits for one input."""
    pairs = zip(NODES, values_of(*inputs))
    return [value.flat for node, value in pairs if node["kind"] in ("linear", "conv")]


def predict(*inputs):
    """Return the class of one input: the first one with the largest score."""
    own = scores(*inputs)
    return own.index(max(own))


def predict_all(inputs):
    """Return the class of each input."""
    return [predict(x) for x in inputs]


def self_test():
    """Return whether drawn inputs have the scores that they had when this file was written."""
    drawn, n = 1, ABOUT["inputs"]
    for expected in ABOUT["tests"]:
        x = []
        for _ in range(n):
            drawn = (drawn * 1664525 + 1013904223) % 2**32
            x.append(drawn >> 24 if ABOUT["kind"] == "B" else (drawn >> 24) / 64 - 2)
        if scores(x) != expected:
            return False
    return True


def main(words):
    """Print the class, or the scores, of each input of a file or of standard input."""
    options = [word for word in words if word.startswith("--")]
    paths = [word for word in words if not word.startswith("--")]
    if set(options) - {"--scores", "--self-test"} or len(paths) > 1:
        return "expected [--scores | --self-test] [INPUTS.raw]"
    if "--self-test" in options:
        return None if self_test() else "the scores of drawn inputs differ from those expected"
    file = open(paths[0], "rb") if paths else sys.stdin.buffer
    kind, n = ABOUT["kind"], ABOUT["inputs"]
    n_bytes = n * struct.calcsize(kind)
    while True:
        content = file.read(n_bytes)
        if len(content) < n_bytes:
            problem = "the last input has %d bytes; expected %d" % (len(content), n_bytes)
            return problem if content else None
        x = struct.unpack("<%d%s" % (n, kind), content)
        print(*scores(x)) if "--scores" in options else print(predict(x))


if __name__ == "__main__":
    problem = main(sys.argv[1:])
    if problem:
        sys.stderr.write(problem + "\n")
        sys.exit(1)
