"""`tools/house.py` on a small package: circles, upward imports, counts and the exit code."""

import sys

import house
import pytest

LAZY = """from small import lazily
__getattr__, __dir__, __all__ = lazily(__name__, {"small.upper.two": "two also"})
"""
FILES = {
    "__init__": "def lazily(room, places): ...\n",
    "low": "from small.upper import two\n",
    "lower.__init__": "from small.lower.base import base\n",
    "lower.base": "import sys\n",
    "upper.__init__": LAZY,
    "upper.one": "from small.upper import two\nfrom small import lazily, lower\n\nlower.base\n",
    "upper.two": "from small.upper import three as other\nfrom small.lower import base\ntwo = 1\n",
    "upper.three": "def late():\n    from small import upper\n    return upper.also\n",
}
FLOORS = [["__init__"], ["low", "lower"], ["upper"]]


@pytest.fixture
def root(tmp_path):
    write(tmp_path, FILES)
    return tmp_path


def write(root, files):
    for name, text in files.items():
        path = root / "small" / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_circle_through_a_room_is_found(root):
    """`upper.three` uses a name of its room, which the lazy table finds in `upper.two`."""
    figures = house.measure(root, "small", FLOORS)
    assert figures["import circles"] == ["small.upper.three, small.upper.two"]
    write(root, {"upper.three": "three = 1\n"})
    assert house.measure(root, "small", FLOORS)["import circles"] == []


def test_imports_are_of_the_file_that_defines_a_name(root):
    imports = house.Imports(root / "small").of
    assert imports["small.upper.one"] == {
        "small",
        "small.lower",
        "small.lower.base",
        "small.upper.two",
    }
    assert imports["small.upper.two"] == {"small.upper.three", "small.lower.base"}
    assert imports["small.upper"] == {"small"}  # a lazy table imports nothing
    assert imports["small.lower"] == {"small.lower.base"}


@pytest.mark.parametrize("condition", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_what_is_imported_for_types_is_no_import(root, condition):
    types = f"if {condition}:\n    from small.upper.two import two as two\n"
    write(root, {"low": f"import typing\nfrom typing import TYPE_CHECKING\n{types}"})
    write(root, {"upper.__init__": f"{LAZY}\n{types}", "upper.three": "three = 1\n"})
    imports = house.Imports(root / "small").of
    assert imports["small.low"] == set()
    assert imports["small.upper"] == {"small"}


def test_upward_imports(root):
    figures = house.measure(root, "small", FLOORS)
    assert figures["upward imports"] == ["small.low imports small.upper.two"]
    beside = [["__init__"], ["low"], ["lower", "upper"]]
    assert (
        "small.upper.two imports small.lower.base"
        in house.measure(root, "small", beside)["upward imports"]
    )
    nowhere = [["__init__"], ["lower"], ["upper"]]
    assert (
        "small.low imports small.upper.two"
        in house.measure(root, "small", nowhere)["upward imports"]
    )


CODE = '''"""A module,

of two lines."""

# a comment
import sys  # code


class A:
    """One line."""

    x = """a text,
    not a docstring"""

    def f(self):
        """Another."""
        return 1
'''


def test_counts(root):
    assert house.lines_of(CODE) == (17, 6)
    write(root, {"lower.base": CODE, "low": "x = 1  # fmt: " + "skip\n" + 300 * "x = 1\n"})
    (root / "small" / "__pycache__").mkdir()
    figures = house.measure(root, "small", FLOORS)
    assert figures["rooms"]["lower"] == [18, 7, 2]
    assert figures["rooms"]["low"] == [301, 301, 1]
    assert figures["files over 300 lines of code"] == ["small/low.py"]
    assert figures["entries at the top"] == ["__init__.py", "low.py", "lower", "upper"]
    assert figures["files"] == len(FILES)
    assert figures["lines"] == sum(room[0] for room in figures["rooms"].values())
    assert figures["lines of code"] == sum(room[1] for room in figures["rooms"].values())
    assert figures[house.SKIP] == 1
    write(root, {"autograd.tensor": CODE, "nn.linear": CODE, "nn.conv": CODE})
    assert house.measure(root, "small", FLOORS)["lines of code in the core"] == 12


@pytest.mark.parametrize(("words", "code"), [(["--check"], 1), ([], 0)])
def test_a_broken_limit_is_an_exit_code_where_it_is_asked_for(
    root, monkeypatch, capsys, words, code
):
    figures = house.measure(root, "small", FLOORS)
    monkeypatch.setattr(house, "measure", lambda root: figures)
    monkeypatch.setitem(house.LIMITS, "lines", 10)
    monkeypatch.setattr(sys, "argv", ["house.py", *words])
    with pytest.raises(SystemExit) as end:
        house.main()
    assert end.value.code == code
    assert "(at most 10) BROKEN" in capsys.readouterr().out
