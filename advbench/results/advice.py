"""What to try next about a row, so that no advice repeats what was done."""

import re
from dataclasses import dataclass
from typing import Final

from advbench.results.indicators import MEANINGS
from advbench.results.records import UNDEFENDED
from advbench.results.surrogates import SOFT_STEPS

MORE_QUERIES: Final = "square:queries=5000"

_GRADIENT: Final = (
    "zero_gradient:ce",
    "zero_gradient:margin",
    "zero_gradient:dlr",
    "zero_coordinates",
    "agreement",
)
SURROGATE: Final = (
    "differentiate a soft version of the model, or a network distilled from it: "
    "--surrogate FILE.py:SOFT_MODEL, or --surrogate distill"
)
CLOSER: Final = "a closer surrogate, a soft version of the model itself: --surrogate FILE.py:SOFT_MODEL"
"""What to do about a model that has no gradient, or a stand-in that is too far from it."""
_QUERIES: Final = 5000
"""What `square` spends where nobody says how many."""

_MOST_QUERIES: Final = 50_000
"""From so many on, more of them are no advice."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a row was made.

    Args:
        defense: as it was written.
        attack: of the gradient rungs, as it was written.
        substitute: what stood in for the defense, by name; empty without a bpda rung.
        gradient_free: the attack of the gradient-free rung; empty without.
        surrogate: what is differentiated in place of the model; empty where nothing is.
    """

    defense: str
    attack: str = ""
    substitute: str = ""
    gradient_free: str = ""
    surrogate: str = ""

    @property
    def climbs_cross_entropy(self) -> bool:
        """Whether the attack follows the cross-entropy alone, which saturates."""
        name, _, words = self.attack.partition(":")
        return name in ("pgd", "apgd", "fgsm") and not re.search(r"loss=(margin|dlr|logit-difference)", words)


def stronger(setup: Setup) -> str:
    """Options of a harder look at the same row: attacks that need less of the gradient."""
    strongest = "" if setup.attack.startswith("strongest") else "--attack strongest"
    more = _more_queries(setup.gradient_free)
    return " ".join(filter(None, (strongest, more))) or "--restarts 5"


def _more_queries(done: str) -> str:
    """A gradient-free attack of more queries than the one that was made; empty where these are many."""
    name, _, words = done.partition(":")
    if name != "square":
        return f"--gradient-free {MORE_QUERIES}"
    asked = re.search(r"(?:^|,)queries=(\d+)(?:,|$)", words)
    queries = int(asked.group(1)) if asked else _QUERIES
    others = [word for word in words.split(",") if word and not word.startswith("queries=")]
    parameters = ",".join([f"queries={max(5 * queries, 5000)}", *others])
    return f"--gradient-free square:{parameters}" if queries < _MOST_QUERIES else ""


def about_gradient(setup: Setup) -> tuple[str, ...]:
    """What gets past a gradient that leads nowhere."""
    if setup.surrogate == SOFT_STEPS:
        return (stronger(setup),)
    if setup.surrogate:
        return CLOSER, stronger(setup)
    if setup.defense == UNDEFENDED:
        return (
            "take the step that hides the gradient out of the model and name it as a defense: "
            "--defense FILE.py:STEP --bpda",
            SURROGATE,
            stronger(setup),
        )
    if not setup.substitute:
        return "--bpda", stronger(setup)
    if "finite-difference" in setup.substitute:
        return "a smooth version of the defense: --substitute FILE.py:FUNCTION", stronger(setup)
    searched = ";" in setup.substitute
    return ("--substitute finite-difference" if searched else "--substitute search", stronger(setup))


def about(name: str, setup: Setup) -> tuple[str, ...]:
    """What to do about a tripped indicator."""
    if name == "zero_gradient:ce" and setup.climbs_cross_entropy:
        return (by_margin(setup),)
    if name in _GRADIENT:
        return about_gradient(setup)
    return (MEANINGS[name].advice,)


def by_margin(setup: Setup) -> str:
    """The same attack up the margin, which does not saturate."""
    name, _, words = setup.attack.partition(":")
    others = [word for word in words.split(",") if word and not word.startswith("loss=")]
    return f"--attack {name if name in ('pgd', 'apgd') else 'pgd'}:{','.join(['loss=margin', *others])}"
