"""Code as a notebook defines it: its functions and classes are the caller's own."""

from typing import Any

import torch
from torch import nn


def defined(code: str, module: str = "__main__") -> dict[str, Any]:
    """What a cell of a notebook has defined."""
    names: dict[str, Any] = {"__name__": module, "nn": nn, "torch": torch, "records": {}, "calls": []}
    exec(code, names)
    return names
