"""Public names that are imported when they are first used.

`advbench --help` must answer before torch could be imported, so no package of ours imports torch
just because it was named.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Module-level `__getattr__` and `__dir__` (PEP 562) that import each name from its home on first use.

    Args:
        package: `__name__` of the package that offers the names.
        homes: public name to the module that defines it, absolute or relative (`.pgd`).
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name], package), name)

    def names() -> list[str]:
        return sorted(homes)

    return load, names
