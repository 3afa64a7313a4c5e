"""Measure the package: its rooms, its imports, its lines and lines of code.

    python tools/house.py            print the figures
    python tools/house.py --check    and exit with code 1 if a limit is broken

Code is every line that is not blank, not a comment alone and not part of a docstring (of a module,
class or function).  Imports are those of files by files, wherever they are in a file: `from
bitnet.nn import Linear` counts as an import of the file in which the `__init__` of the room finds
`Linear`, by an import statement or in its `lazily(...)` table, and so does `nn.Linear` after `from
bitnet import nn`.  The tables themselves import nothing, and neither does what is under `if
TYPE_CHECKING:`.  A circle is a set of files that import each other, directly or not.  An upward
import is one of a room that is not on a lower floor.
"""

import argparse
import ast
import collections
import pathlib
import sys

# what a room may import, besides its own files: the rooms on the lines above
FLOORS = [
    ["__init__", "errors"],
    ["arrays"],
    ["files"],
    ["archive"],
    ["kernels"],
    ["devices", "quantizers"],
    ["autograd"],
    ["data", "nn"],
    ["deploy", "optim"],
    ["export", "training"],
    ["analysis"],
    ["cli"],
    ["__main__"],
]
CORE = (
    *("autograd/*.py", "kernels/bits.py", "kernels/reference*.py", "kernels/reference/*.py"),
    *(f"nn/functional/{name}.py" for name in ("ste", "quantizers", "linear", "losses")),
    *("nn/functional/norm.py", "nn/functional/normalization.py", "optim/optimizers.py"),
    *(f"nn/{name}.py" for name in ("module", "linear", "norm", "activations")),
)
LIMITS = {
    "entries at the top": 18,
    "import circles": 0,
    "upward imports": 0,
    "lines of code in the core": 2_000,
    "files over 300 lines of code": 0,
}
LARGEST = 300  # lines of code per file
SKIP = "# fmt: " + "skip"


def lines_of(text):
    """Return the numbers of lines, and of lines of code, of a file."""
    docs, lines = set(), text.splitlines()
    for node in ast.walk(ast.parse(text)):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:
            docs |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    own = (line.strip() for i, line in enumerate(lines, 1) if i not in docs)
    return len(lines), sum(1 for line in own if line and not line.startswith("#"))


def split_types(tree):
    """Take the blocks `if TYPE_CHECKING:` out of a syntax tree; return it and their statements."""
    taken = [node for node in tree.body if isinstance(node, ast.If) and _asks_for_types(node.test)]
    rest = [node for node in tree.body if node not in taken]
    return ast.Module(rest, tree.type_ignores), [own for node in taken for own in node.body]


def _asks_for_types(test):
    """Return whether a condition is `TYPE_CHECKING` or `typing.TYPE_CHECKING`."""
    return ast.unparse(test).removeprefix("typing.") == "TYPE_CHECKING"


def lazy_table(tree):
    """Return the module of each name in the `lazily(...)` table of an `__init__`."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    tables = (c.args[1] for c in calls if getattr(c.func, "id", None) == "lazily")
    places = [pair for table in tables for pair in ast.literal_eval(table).items()]
    return {name: module for module, names in places for name in names.split()}


class Imports:
    """Which files of a package import which, by their dotted names."""

    def __init__(self, package):
        self.trees, self.rooms = {}, set()
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            is_room = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_room else parts)
            self.trees[name], _ = split_types(ast.parse(path.read_text()))
            self.rooms |= {name} if is_room else set()
        self.offers = {room: dict(self._offered(self.trees[room])) for room in self.rooms}
        self.of = {name: set(self._imported(tree)) - {name} for name, tree in self.trees.items()}

    def _offered(self, tree):
        """Yield each name that an `__init__` takes from elsewhere, and (module, name) there."""
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                yield from ((a.asname or a.name, (node.module, a.name)) for a in node.names)
        yield from ((name, (module, name)) for name, module in lazy_table(tree).items())

    def _found(self, module, name):
        """Return the file that defines a name which is imported from a module."""
        if f"{module}.{name}" in self.trees:
            return f"{module}.{name}"
        if name in self.offers.get(module, ()):
            return self._found(*self.offers[module][name])
        return module

    def _imported(self, tree):
        """Yield the files that a file imports."""
        nodes, clip = list(ast.walk(tree)), {}  # clip: the rooms, by the name in the file
        for node in nodes:
            for alias in getattr(node, "names", ()) if isinstance(node, ast.Import) else ():
                if alias.name in self.trees:
                    clip[alias.asname or alias.name] = alias.name
                    yield alias.name
            if isinstance(node, ast.ImportFrom) and node.module in self.trees:
                for alias in node.names:
                    found = self._found(node.module, alias.name)
                    clip[alias.asname or alias.name] = found
                    yield found
        for node in nodes:
            if isinstance(node, ast.Attribute):
                room = clip.get(ast.unparse(node.value))
                if room in self.rooms:
                    yield self._found(room, node.attr)

    def circles(self):
        """Return the sets of files that import one another, sorted."""
        reached = {name: self._reached(name) for name in self.of}
        sets = {tuple(sorted(o for o in reached[n] if n in reached[o])) for n in reached}
        return sorted(circle for circle in sets if circle)

    def _reached(self, name):
        """Return all that a file imports, directly or not."""
        reached, left = set(), [name]
        while left:
            new = self.of[left.pop()] - reached
            reached |= new
            left += new
        return reached

    def upward(self, floors):
        """Return "file imports file" for each import of a room that is not on a lower floor."""
        floor_of = {room: i for i, rooms in enumerate(floors) for room in rooms}
        found = []
        for name, imported in self.of.items():
            for other in sorted(imported):
                own, room = (n.split(".")[1] if "." in n else "__init__" for n in (name, other))
                lower = floor_of.get(room, len(floors)) < floor_of.get(own, -1)
                found += [] if room == own or lower else [f"{name} imports {other}"]
        return found


def measure(root, package="bitnet", floors=FLOORS):
    """Return the figures of a checkout by name: numbers, and lists of what they count."""
    root = pathlib.Path(root)
    folder = root / package
    sizes = {path: lines_of(path.read_text()) for path in sorted(folder.rglob("*.py"))}
    rooms = collections.defaultdict(lambda: [0, 0, 0])
    for path, size in sizes.items():
        room = rooms[path.relative_to(folder).parts[0].removesuffix(".py")]
        room[:] = [a + b for a, b in zip(room, (*size, 1), strict=True)]
    imports, core = Imports(folder), {path for pattern in CORE for path in folder.glob(pattern)}
    skips = sum(path.read_text().count(SKIP) for path in root.glob("[!.]*/**/*.py"))
    large = [str(path.relative_to(root)) for path, (_, code) in sizes.items() if code > LARGEST]
    lines, code = (sum(column) for column in zip(*sizes.values(), strict=True))
    return {
        "entries at the top": sorted(
            p.name for p in folder.iterdir() if p.name not in ("__pycache__", "py.typed")
        ),
        "import circles": [", ".join(circle) for circle in imports.circles()],
        "upward imports": imports.upward(floors),
        "lines": lines,
        "lines of code": code,
        "files": len(sizes),
        "lines of code in the core": sum(sizes[path][1] for path in core),
        "files over 300 lines of code": large,
        SKIP: skips,
        "rooms": dict(rooms),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is broken")
    args = parser.parse_args()
    figures = measure(pathlib.Path(__file__).parent.parent)
    print(f"{'room':14} {'lines':>6} {'code':>6} {'files':>6}")
    for room, sizes in figures.pop("rooms").items():
        print(f"{room:14} {sizes[0]:6} {sizes[1]:6} {sizes[2]:6}")
    broken = False
    for name, figure in figures.items():
        number = figure if isinstance(figure, int) else len(figure)
        most = LIMITS.get(name, number)
        broken |= number > most
        limit = f" (at most {most:,})" * (name in LIMITS) + " BROKEN" * (number > most)
        print(f"{name}: {number:,}{limit}", *([] if number is figure else figure), sep="\n  ")
    sys.exit(int(broken and args.check))


if __name__ == "__main__":
    main()
