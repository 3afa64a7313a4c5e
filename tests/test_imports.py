"""The floors of the house: imports go down only, and `import bitnet` is light."""

import ast
import pathlib
import subprocess
import sys

import pytest

import bitnet

ROOT = pathlib.Path(bitnet.__file__).parent

# What a module may import, beside its own folder's modules on the same line of this table:
# everything on the lines above.
FLOORS = [
    ["errors", "table"],
    ["arrays"],
    ["archive", "command", "kernels", "preparation", "vocabulary"],
    ["backend", "quantizers"],
    ["tensor"],
    ["parameter"],
    ["functions"],
    ["module"],
    ["activations", "optimizers", "schedules"],
    ["layers"],
    ["bit_optimizers", "image_layers", "norms", "scaled_layers"],
    ["branches", "recurrent_layers"],
    ["data", "gradcheck", "imagenet_models", "language_models", "models", "runlog"],
    ["checkpoint", "nets", "reestimation", "train"],
    ["fit", "recipes"],
    ["deploy", "settings"],
    ["language", "layer_counts", "trained"],
    ["experiment", "opened", "repetition", "summary"],
    ["bench", "energy", "operations", "plots"],
    ["__init__"],
    ["verbs"],
    ["__main__"],
]
FLOOR_OF = {name: i for i, names in enumerate(FLOORS) for name in names}

# narrower than their floor: they run where there is no trainer, or know fewer rooms
ONLY = {
    "arrays": {"errors"},
    "deploy.layers": {"arrays", "errors", "kernels", "deploy"},
    "deploy.unique": {"kernels"},
    "deploy.plan": {"errors", "kernels"},
    "deploy.runtime": {"arrays", "backend", "errors", "kernels", "deploy"},
    "deploy.recurrent": {
        "arrays",
        "backend",
        "errors",
        "kernels",
        "quantizers",
        "deploy",
        "vocabulary",
    },
    "deploy.matrix": {"arrays", "errors", "kernels", "quantizers"},
    "deploy.language_file": {"archive", "arrays", "errors", "kernels", "deploy"},
    "deploy.file": {"archive", "arrays", "errors", "kernels", "deploy", "preparation"},
    "data.cifar": {"archive", "errors"},
    "data.idx": {"archive", "errors"},
    "data.svhn": {"errors"},
    "data.photos": {"backend", "data", "errors"},
    "preparation": {"errors"},
    "vocabulary": {"errors"},
    "data.batches": {"arrays", "backend", "errors"},
    "data.catalogue": {"errors"},
    "data.checksums": {"archive", "data", "errors"},
    "data.fetch": {"archive", "data", "errors"},
    "data.image_folder": {"errors"},
    "data.image_stream": {"backend", "data", "errors"},
    "data.datasets": {"data", "errors"},
    "data.sequences": {"arrays", "backend", "errors"},
    "data.text": {"data", "errors", "vocabulary"},
}

# libraries that are imported on first use, and where
LAZY = {
    "cupy": {"backend"},
    "numba": {"kernels"},
    "llvmlite": {"kernels"},
    "threadpoolctl": {"backend"},
    "scipy": {"data"},
    "matplotlib": {"plots"},
    "PIL": {"data"},
    "pooch": {"data"},
    "requests": {"data"},
    "urllib3": {"data"},
    "tqdm": {"data", "verbs"},
}
STANDARD = {"numpy"} | set(sys.stdlib_module_names)


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield pytest.param(path, parts, id=".".join(parts))


def imports(tree):
    """(the module's name, whether at the top of the file) of every import of a file."""
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            if node.module == "bitnet":
                yield from ((f"bitnet.{alias.name}", id(node) in top) for alias in node.names)
            else:
                yield node.module, id(node) in top


@pytest.mark.parametrize(("path", "parts"), list(modules()))
def test_imports_go_down_only(path, parts):
    own = parts[0]
    assert own in FLOOR_OF, f"{own} has no floor: give it one in FLOORS"
    name = ".".join(part for part in parts if part != "__init__")
    for imported, at_top in imports(ast.parse(path.read_text())):
        package, *rest = imported.split(".")
        if package != "bitnet":
            if package not in STANDARD:
                assert own in LAZY.get(package, ()), f"{name} imports {package}"
                own_room = {"cpu", "cuda"} & set(parts)  # imported as a whole on first use
                assert not at_top or own_room, f"{name} imports {package} at the top"
            continue
        room = rest[0] if rest else "__init__"
        if room not in FLOOR_OF:  # a public name, as `from bitnet import InputError`
            room = "__init__"
        if name in ONLY:
            assert room in ONLY[name], f"{name} imports bitnet.{room}"
        if room != own:
            assert FLOOR_OF[room] < FLOOR_OF[own], f"{name} imports bitnet.{room}, which is above"


def test_only_freeze_knows_both_worlds():
    for path in (ROOT / "deploy").glob("*.py"):
        rooms = {name.split(".")[1] for name, _ in imports(ast.parse(path.read_text()))
                 if name.startswith("bitnet.")}  # fmt: skip
        trainer = {"language_models", "layers", "module", "recurrent_layers", "tensor", "train"}
        assert path.name.startswith("freeze") or not rooms & trainer


@pytest.mark.parametrize(("path", "parts"), list(modules()))
def test_files_can_be_read_in_an_afternoon(path, parts):
    lines = path.read_text().splitlines()
    assert len(lines) <= 400
    assert max(map(len, lines), default=0) <= 100
    assert not {"utils", "helpers", "common"} & set(parts)
    assert ast.get_docstring(ast.parse(path.read_text())), "the subject, in the first sentence"


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_import_is_silent_and_loads_numpy_alone():
    out = python(
        "import sys; before = set(sys.modules); import bitnet; "
        "print(*{m.partition('.')[0] for m in set(sys.modules) - before}, file=sys.stderr)"
    )
    loaded = set(out.stderr.split()) - STANDARD - {"bitnet"}
    assert out.stdout == ""
    assert not {name for name in loaded if not name.startswith("_")}


def test_import_takes_under_a_quarter_of_a_second(tmp_path, monkeypatch):
    """CPU seconds of the main thread, the least of five processes: other work does not count.

    The first one compiles the files, as the first import after an installation does.
    """
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    code = "import time; t = time.thread_time(); import bitnet; print(time.thread_time() - t)"
    assert min(float(python(code).stdout) for _ in range(5)) < 0.25
