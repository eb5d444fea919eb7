"""How the code is laid out, in numbers: `python -m benchmarks.floor_plan [FOLDER]`.

It reads the sources alone, so it also measures an older checkout of the repository.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

PACKAGES = ("advbench", "attacks", "defenses", "reports")
OPTIONS = (
    "calibration",
    "eot",
    "gradient_free",
    "judge_draws",
    "save_adversarial",
    "step_size",
    "successful_only",
)
"""Options of `advbench attack` whose names mean nothing else."""


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package by its name; the links to the other three folders are not followed."""
    paths = {}
    for package in PACKAGES:
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            if any(parent.is_symlink() for parent in path.parents):
                continue
            name = ".".join(parts if package == "advbench" else ("advbench", *parts))
            paths[name.removesuffix(".__init__")] = path
    return paths


def imports(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules that a module imports where it is run, those inside its functions included."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                if inner in known or base in known:
                    yield inner if inner in known else base


def circles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """The sets of modules that reach each other (Tarjan 1972), of more than one module each."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[set[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            circle = set(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            if len(circle) > 1:
                components.append(circle)

    for node in graph:
        if node not in index:
            visit(node)
    return components


def files_that_name(option: str, root: Path) -> int:
    """How many files of the command line and of the jobs name an option, its declaration included."""
    word = re.compile(rf"\b{option.replace('_', '[_-]')}\b")
    files = [path for room in ("cli", "jobs") for path in (root / "advbench" / room).rglob("*.py")]
    return sum(bool(word.search(path.read_text(encoding="utf-8"))) for path in files)


def without_test(known: Mapping[str, Path], root: Path) -> list[str]:
    """The modules that no file of tests is named after; those that only hand names on need none."""
    tested = {path.stem.removeprefix("test_") for path in (root / "tests").rglob("test_*.py")}
    wanted = {name for name, path in known.items() if path.stem not in ("__init__", "__main__")}
    return sorted(name for name in wanted if name.rpartition(".")[2] not in tested)


def lines(paths: list[Path]) -> int:
    """Lines of some files, blank ones and comments included."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def main() -> None:
    """Print the table."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    known = modules(root)
    cli = list((root / "advbench" / "cli").glob("*.py"))
    graph = {name: {*imports(name, path, known)} - {name} for name, path in known.items()}
    named = [files_that_name(option, root) for option in OPTIONS]
    figures = {
        "files flat in advbench/": len(list((root / "advbench").glob("*.py"))),
        "files in advbench/cli/": len(cli),
        "lines of advbench/cli/": lines(cli),
        "circles of files": len(circles(graph)),
        "files of cli/ and jobs/ that name an option, median": median(named),
        "modules without a test of their name": len(without_test(known, root)),
        "modules": len(known),
        "lines of code": lines(list(known.values())),
    }
    for name, figure in figures.items():
        print(f"{name:<54}{figure:>8,g}")


if __name__ == "__main__":
    main()
