"""What the shell offers after a Tab."""

from collections.abc import Iterable

from advbench.data.registry import DATASETS
from advbench.defenses import DEFENSES
from advbench.models.registry import MODELS


def complete_attack(incomplete: str) -> list[str]:
    """Names of attacks."""
    from advbench.attacks import ATTACKS  # noqa: PLC0415  # 'advbench verify' imports no attack

    return _starting(ATTACKS, incomplete)


def complete_defense(incomplete: str) -> list[str]:
    """Names of defenses, also for the last element of a chain."""
    chain, plus, last = incomplete.rpartition("+")
    return [chain + plus + name for name in _starting(DEFENSES, last)]


def complete_model(incomplete: str) -> list[str]:
    """Names of built-in models; torchvision's would take a second to import."""
    return _starting(MODELS, incomplete)


def complete_dataset(incomplete: str) -> list[str]:
    """Names of data sets."""
    return _starting(DATASETS, incomplete)


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
