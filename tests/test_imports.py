"""The floors of the house: imports go down only, and an import loads little."""

import ast
import importlib
import pathlib
import subprocess
import sys

import house
import pytest

import bitnet

ROOT = pathlib.Path(bitnet.__file__).parent
FLOOR_OF = {name: i for i, names in enumerate(house.FLOORS) for name in names}

# rooms that may import less than their floor allows: prediction needs no trainer, data need no net
LIGHT = {
    "__init__",
    "errors",
    "arrays",
    "files",
    "archive",
    "kernels",
    "devices",
    "quantizers",
    "deploy",
}
ONLY = {
    "data": {"__init__", "errors", "arrays", "files", "archive", "devices"},
    "deploy": LIGHT | {"data.preparation", "data.targets", "data.vocabulary"},
}
OF_FREEZE = "freeze", "freezer", "quantizing", "rules", "traced"
KNOWS_THE_TRAINER = {f"deploy.{name}" for name in OF_FREEZE}
KNOWS_THE_TRAINER.add("deploy.compare")

# libraries that are imported on first use, and the rooms that may do so
LAZY = {
    "cupy": {"devices"},
    "numba": {"kernels"},
    "llvmlite": {"kernels"},
    "threadpoolctl": {"devices"},
    "scipy": {"data"},
    "matplotlib": {"analysis"},
    "PIL": {"data"},
    "pooch": {"data"},
    "requests": {"data"},
    "urllib3": {"data"},
    "shtab": {"cli"},
    "tqdm": {"data", "cli"},
}
STANDARD = {"numpy"} | set(sys.stdlib_module_names)


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield pytest.param(path, parts, id=".".join(parts))


def imports(tree):
    """Yield (name of the module, whether at the top of the file) of each import but for types."""
    tree, _ = house.split_types(tree)
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            room = node.module.count(".") < 2 and node.module.startswith("bitnet")
            names = [f"{node.module}.{alias.name}" for alias in node.names] if room else []
            yield from ((name, id(node) in top) for name in names or [node.module])


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
        late = own == "__main__"  # where Ctrl-C during an import must be one line
        assert at_top or late, f"{name} imports {imported} inside a function"
        room = rest[0] if rest else "__init__"
        if room not in FLOOR_OF:  # a public name, as `from bitnet import InputError`
            room = "__init__"
        if room != own:
            allowed = ONLY.get(own)
            if allowed and name not in KNOWS_THE_TRAINER:
                assert {room, ".".join(rest[:2])} & allowed, f"{name} imports {imported}"
            assert FLOOR_OF[room] < FLOOR_OF[own], f"{name} imports {imported}, which is above"


@pytest.mark.parametrize(("path", "parts"), list(modules()))
def test_files_can_be_read(path, parts):
    assert max(map(len, path.read_text().splitlines()), default=0) <= 100
    assert not {"utils", "helpers", "common"} & set(parts)
    assert ast.get_docstring(ast.parse(path.read_text())), "the subject, in the first sentence"


LAZY_ROOMS = [path for path in sorted(ROOT.rglob("__init__.py")) if "lazily(" in path.read_text()]


@pytest.mark.parametrize("path", LAZY_ROOMS, ids=lambda path: path.parent.name)
def test_types_are_imported_from_where_the_lazy_table_finds_them(path):
    """`from MODULE import NAME as NAME` under TYPE_CHECKING, which type checkers and editors read.

    The submodules that a room offers may be imported there as well: all of them, or none.
    """
    room = ".".join(path.parent.relative_to(ROOT.parent).parts)
    tree, types = house.split_types(ast.parse(path.read_text()))
    if not types:
        pytest.skip(f"{room} has no block for type checkers")
    typed = [(node.module, alias) for node in types for alias in node.names]
    assert all(alias.asname == alias.name for _, alias in typed), "import NAME as NAME"
    table = house.lazy_table(tree)
    assert {alias.name: module for module, alias in typed if module != room} == table
    submodules = set(importlib.import_module(room).__all__) - set(table)
    assert {alias.name for module, alias in typed if module == room} in (set(), submodules)


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


def test_the_rooms_are_there_after_importing_the_package_alone():
    python("import bitnet; bitnet.training.fit; bitnet.nn.BinaryLinear; bitnet.analysis.plots")


def test_import_takes_under_a_quarter_of_a_second(tmp_path, monkeypatch):
    """Take the smallest CPU time of the main thread over five processes: other work does not count.

    The first process compiles the files, like the first import after an installation.
    """
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    code = "import time; t = time.thread_time(); import bitnet; print(time.thread_time() - t)"
    assert min(float(python(code).stdout) for _ in range(5)) < 0.25
