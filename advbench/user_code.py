"""Objects that users name in their own code: `package.module:name` or `path/file.py:name`.

This runs the user's code on purpose; nothing that a checkpoint or a data set says ever ends up here.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from advbench.errors import InputError, first_line, nearest


def names_user_code(name: str) -> bool:
    """Whether a name is of the form `module:attribute` or `file.py:attribute`."""
    return ":" in name


def check_there(name: str) -> None:
    """See whether the file of `path/file.py:name` is there, without running it.

    Raises:
        InputError: it is not.
    """
    home = name.rpartition(":")[0]
    if home.endswith(".py") and not Path(home).is_file():
        raise InputError(f"there is no file {home!r}.")


def load_object(name: str) -> Any:
    """Import what `package.module:name` or `path/file.py:name` stands for.

    Modules are looked for in the current folder too, as with `python -m`.

    Raises:
        InputError: no such file or module, an error while it is imported, or no such name in it.
    """
    check_there(name)
    home, _, attribute = name.rpartition(":")
    try:
        module = _load_file(Path(home)) if home.endswith(".py") else _load_module(home)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # importing the user's module may raise anything
        raise InputError(f"importing {home!r} failed: {type(error).__name__}: {first_line(error)}") from error
    if not hasattr(module, attribute):
        public = [each for each in vars(module) if not each.startswith("_")]
        raise InputError(
            f"{home!r} has no {attribute!r}. {nearest(attribute, public) if public else ''}".rstrip()
        )
    return getattr(module, attribute)


def _load_file(path: Path) -> ModuleType:
    name = f"advbench_user_{path.stem}"  # not the stem itself: a file called json.py must not replace json
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    _make_importable(path.parent)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load_module(name: str) -> ModuleType:
    _make_importable(Path.cwd())
    return importlib.import_module(name)


def _make_importable(folder: Path) -> None:
    """Let a folder's modules be imported from now on, behind everything else: a factory may import late."""
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))
