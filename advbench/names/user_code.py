"""Objects that users name in their own code: `package.module:name` or `path/file.py:name`.

This runs the user's code on purpose; nothing that a checkpoint or a data set says ever ends up here.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from advbench.errors import AdvbenchError, InputError, first_line, nearest, ran_out_of_memory
from advbench.regular_files import check_regular

_HERE: Final = Path(__file__).parents[1].resolve()

_neighbours: dict[Path, dict[str, ModuleType]] = {}
"""The modules that users' files imported from beside themselves, by folder: each has its own `models`."""


def names_user_code(name: str) -> bool:
    """Whether a name is of the form `module:attribute` or `file.py:attribute`."""
    return ":" in name


def check_there(name: str) -> None:
    """See whether the file of `path/file.py:name` is there, without running it.

    Raises:
        InputError: it is not, or it is no file.
    """
    home = name.rpartition(":")[0]
    if not home.endswith(".py"):
        return
    try:
        check_regular(home)
    except FileNotFoundError:
        raise InputError(f"there is no file {home!r}.") from None
    except OSError as error:
        raise InputError(f"{home!r} cannot be read: {error.strerror}.") from error


def load_object(name: str) -> Any:
    """Import what `package.module:name` or `path/file.py:name` stands for.

    Modules are looked for in the current folder too, as with `python -m`, and beside a file, as with
    `python file.py`; so are they when its functions import later.

    Raises:
        InputError: no such file or module, an error while it is imported, or no such name in it.
    """
    check_there(name)
    home, _, attribute = name.rpartition(":")
    try:
        with as_own_program(name):
            module = _load_file(Path(home)) if home.endswith(".py") else importlib.import_module(home)
    except (Exception, SystemExit) as error:  # importing the user's module may raise anything
        raise InputError(f"importing {home!r} failed: {failure_sentence(error, name)}") from error
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise InputError(
            f"{home!r} has no {attribute!r}. {nearest(attribute, public) if public else ''}".rstrip()
        )
    return getattr(module, attribute)


@contextmanager
def as_own_program(name: str) -> Iterator[None]:
    """While the user's code is imported or called: what it would see as a program of its own.

    Its folder comes first where modules are looked for, modules that another file imported from beside itself
    are out of its sight, and the command line is empty: `argparse` reads none of ours. Afterwards its folder
    stays behind all others on the path, since its functions may import late.

    Args:
        name: `package.module:name` or `path/file.py:name`.
    """
    folders, arguments = _folders(name), sys.argv
    own = _neighbours.setdefault(folders[0], {})
    aside = _set_aside(folders[0])
    sys.modules.update(own)
    before = set(sys.modules)
    sys.argv = [name.rpartition(":")[0]]
    sys.path[:0] = map(str, folders)
    try:
        yield
    finally:
        sys.argv = arguments
        for folder in map(str, folders):
            if folder in sys.path:
                sys.path.remove(folder)
        sys.path.extend(folder for folder in map(str, folders) if folder not in sys.path)
        new = sys.modules.keys() - before
        own |= {name: sys.modules[name] for name in new if _lies_in(name, folders[0])}
        _bring_back(aside, own)


def failure_sentence(error: BaseException, name: str) -> str:
    """What went wrong in the user's code, and on which line of it.

    Args:
        error: as it was raised.
        name: `package.module:name` or `path/file.py:name`.
    """
    folder = _folders(name)[0]
    if isinstance(error, SystemExit):
        word = f"it ended the program (exit code {error.code}); it is given no command line of its own"
    else:
        word = f"{type(error).__name__}: {first_line(error)}"
    if isinstance(error, SyntaxError):
        return f"{word} ({Path(error.filename or '').name}, line {error.lineno})" if error.lineno else word
    return word + line_of(error, [folder])


@contextmanager
def told_as(kind: type[AdvbenchError], sentence: str) -> Iterator[None]:
    """Whatever the user's code raises meanwhile, told in one sentence; the end of memory stays what it is.

    Args:
        kind: what is raised in its place.
        sentence: what has failed; the reason and the user's own line follow.

    Raises:
        AdvbenchError: of that kind.
    """
    try:
        yield
    except AdvbenchError:
        raise
    except Exception as error:  # the user's code may raise anything
        if ran_out_of_memory(error):
            raise
        raise kind(f"{sentence}: {first_line(error)}{line_of(error)}") from error


def line_of(error: BaseException, folders: Iterable[Path] | None = None) -> str:
    """The last line of the user's own code that an error came through, as ` (net.py, line 3)`, or nothing.

    Args:
        error: as it was raised.
        folders: where the user's code is; None for every folder that some was loaded from.
    """
    homes = list(_neighbours if folders is None else folders)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if any(_is_users(frame.filename, home) for home in homes)
    ]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _folders(name: str) -> list[Path]:
    """Where the user's code looks for modules first: its folder, and for a file in a package that one's."""
    home = name.rpartition(":")[0]
    if not home.endswith(".py"):
        return [Path.cwd().resolve()]
    folder = Path(home).resolve().parent
    package = _package(folder)
    return [folder, folder.parents[package.count(".")]] if package else [folder]


def _package(folder: Path) -> str:
    """The package that a folder is, with its dots; empty where it is none."""
    parts: list[str] = []
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def _set_aside(folder: Path) -> dict[str, ModuleType]:
    """Take what other folders of users call like something in this one out of sight, and return it."""
    others = {
        name: module
        for home, modules in _neighbours.items()
        if home != folder
        for name, module in modules.items()
        if sys.modules.get(name) is module and _is_there(name, folder)
    }
    for name in others:
        del sys.modules[name]
    return others


def _is_there(module: str, folder: Path) -> bool:
    top = folder / module.partition(".")[0]
    return top.is_dir() or top.with_suffix(".py").is_file()


def _bring_back(aside: dict[str, ModuleType], own: dict[str, ModuleType]) -> None:
    """Put modules that were set aside back, in place of those that are called alike."""
    names = {name.partition(".")[0] for name in aside}
    for module_name in own:
        if module_name.partition(".")[0] in names:
            sys.modules.pop(module_name, None)
    sys.modules.update(aside)


def _lies_in(module: str, folder: Path) -> bool:
    """Whether a module that was imported is the user's own: its file is in the folder or below it."""
    about = getattr(sys.modules[module], "__dict__", {})  # attributes of some modules are made up on demand
    places = [about.get("__file__"), *(about.get("__path__") or ())]
    return any(isinstance(place, str) and _is_users(place, folder) for place in places)


def _is_users(file: str, folder: Path) -> bool:
    if file.startswith("<"):  # `<frozen importlib._bootstrap>`, `<string>`: code that lies in no file
        return False
    path = Path(file).resolve()
    installed = "site-packages" in path.parts or path.is_relative_to(_HERE)
    return path.is_relative_to(folder) and not installed


def _load_file(path: Path) -> ModuleType:
    name = f"advbench_user_{path.stem}"  # not the stem itself: a file called json.py must not replace json
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    package = _package(path.resolve().parent)
    if package:  # so that `from .blocks import Block` works; a spec would name the package after the file
        module.__spec__, module.__package__ = None, package
    sys.modules[name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
