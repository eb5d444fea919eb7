"""How much a run from elsewhere may ask a verification to compute.

A run's folder names defenses, draws and attacks, and whoever forged it may have named some that never end.
What is counted is what one record costs: passes through the model, and steps of the defenses in front of it.
"""

import math
from collections.abc import Iterable
from typing import Final

from advbench.errors import RunFolderError
from advbench.names.grammar import Spec, parse_chain, parse_spec

MOST_STEPS: Final = 200_000
"""Of all defenses and draws together, for one record; the costliest that ships has 1,000 and 21."""

MOST_DRAWS: Final = 2_000
"""Of a random model or defense, for one verdict; 21 by default."""

MOST_ATTACK_STEPS: Final = 20_000_000
"""With `--deep`: of attacks, their restarts, the draws of a gradient, and defenses, for one image."""

_MOST_NUMBER: Final = 10_000
"""Any other number of a defense: windows, levels, deviations."""

_STEPS: Final = ("steps", "restarts", "queries", "targets", "boundary_steps")
_FREE: Final = ("seed",)


def check_budget(defenses: Iterable[str], draws: int) -> None:
    """Refuse defenses that would keep a verification busy without end.

    Args:
        defenses: chains as they are written.
        draws: how often random ones are drawn for one verdict.

    Raises:
        RunFolderError: more than the budget; the message says what lifts it.
    """
    _check("its judge", draws, MOST_DRAWS, "a record")
    for text in defenses:
        elements = parse_chain(text)
        for spec in elements:
            _check_numbers(spec)
        _check(f"the defense {text!r:.80}", draws * _steps_of(elements), MOST_STEPS, "a record")


def check_attack_budget(attacks: Iterable[str], defenses: Iterable[str], eot: int) -> None:
    """Refuse attacks that `--deep` would run again without end.

    Args:
        attacks: as they are written.
        defenses: chains as they are written.
        eot: draws that a gradient is the mean of.

    Raises:
        RunFolderError: more than the budget; the message says what lifts it.
    """
    dearest = max((_steps_of(parse_chain(text)) for text in defenses), default=1)
    for text in attacks:
        count = eot * dearest * _steps_of([parse_spec(text)])
        _check(f"the attack {text!r:.80}", count, MOST_ATTACK_STEPS, "an image")


def _check(what: str, count: int, most: int, of: str) -> None:
    if count > most:
        raise RunFolderError(
            f"{what} asks for {count:,} steps for {of}, where at most {most:,} are taken for a run from "
            "elsewhere. Where the run is yours, add --no-limit."
        )


def _check_numbers(spec: Spec) -> None:
    for name, text in spec.parameters.items():
        number = _number(text)
        if name not in (*_STEPS, *_FREE) and not abs(number) <= _MOST_NUMBER:
            raise RunFolderError(
                f"the defense '{str(spec)[:80]}' has {name}={text[:30]}, where a run from elsewhere may have "
                f"{_MOST_NUMBER:,} at most. Where the run is yours, add --no-limit."
            )


def _steps_of(elements: Iterable[Spec]) -> int:
    return math.prod(_whole(_number(spec.parameters.get(name, ""))) for spec in elements for name in _STEPS)


def _number(text: str) -> float:
    """What a parameter's text is as a number; 0 for what is none."""
    try:
        return float(text)
    except (ValueError, OverflowError):
        return 0.0


def _whole(value: float) -> int:
    """A count of steps; 1 where there is none."""
    return int(min(max(value, 1.0), 1e18)) if not math.isnan(value) else 1
