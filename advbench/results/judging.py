"""How a random defense is judged: by the majority of its draws, their mean, resubmission, or a fixed seed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from advbench.errors import InputError, SpecError

JUDGED: Final = 21
"""How often the judge draws a random defense; odd, so that there is a majority."""

MAJORITY: Final = "majority"

Kind = Literal["majority", "mean", "any", "fixed-seed"]

_ANY: Final = re.compile(r"any:([1-9]\d{0,3})", re.ASCII)

_EXPECTED: Final = "majority, mean, any:N with N from 1 to 9999, or fixed-seed"

FIXED: Final = (
    "judged with the very draws that the attack saw (one fixed seed): an attack that knows its draws, and no "
    "evidence for a defense that draws afresh"
)
"""What keeps a row of one fixed seed from being called robust."""


@dataclass(frozen=True)
class Judge:
    """How often the judge draws a random defense, and what the draws come to.

    An image falls by `majority`, `mean` and `fixed-seed` if more than half of its draws are fooled, and by
    `any:N` if one of N draws is: the attacker submits the same example N times (Lee, Kim 2023, "Robust
    evaluation of diffusion-based adversarial purification"; the resubmission of DiffHammer, Wang, Fu, Han,
    Xiang 2024). Nobody submits a clean image until it is wrong, so clean images are judged by the majority
    whatever the rule. `mean` and `any:N` add columns: the mean over draws and images, and the images that
    stand in all submissions.

    With `fixed-seed` a defense makes one and the same draw for all images and all times, and attack and judge
    see that one. It is for looking at what the draws hide.

    Args:
        rule: `majority`, `mean`, `any:N` or `fixed-seed`.
        draws: in which an example is judged, beside the N.

    Raises:
        InputError: a rule that there is not, or no draw.
    """

    rule: str = MAJORITY
    draws: int = JUDGED

    def __post_init__(self) -> None:
        check_rule(self.rule, "judge")
        draws: Any = self.draws  # whatever a caller has in its place
        if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
            raise InputError(f"judge_draws must be at least 1, got {draws!r:.20}.")

    @property
    def kind(self) -> Kind:
        """The rule without its number."""
        name = self.rule.partition(":")[0]
        kinds: tuple[Kind, ...] = ("majority", "mean", "any", "fixed-seed")
        return next(kind for kind in kinds if kind == name)

    @property
    def submissions(self) -> int:
        """How often an example is handed in, each time to a fresh draw: N of `any:N`, else every draw."""
        return int(self.rule.partition(":")[2]) if self.kind == "any" else self.draws

    @property
    def is_fixed(self) -> bool:
        """Whether attack and judge see one and the same draw."""
        return self.kind == "fixed-seed"

    @property
    def passes(self) -> int:
        """In how many draws an example is judged; the first `draws` give its share, the first N its fall."""
        return 1 if self.is_fixed else max(self.draws, self.submissions)

    @property
    def of_clean(self) -> "Judge":
        """How clean images are judged: resubmission binds the attacker alone."""
        return Judge(MAJORITY, self.draws) if self.kind == "any" else self


def judge_of(rule: int | Judge) -> Judge:
    """A rule as callers may tell it: a number of draws stands for their majority."""
    return rule if isinstance(rule, Judge) else Judge(draws=rule)


def check_rule(rule: object, name: str) -> str:
    """A rule as it was written, if there is such a one.

    Args:
        rule: the text.
        name: what it is called in the message.

    Raises:
        SpecError: no such rule.
    """
    known = isinstance(rule, str) and (rule in (MAJORITY, "mean", "fixed-seed") or _ANY.fullmatch(rule))
    if not known:
        raise SpecError(f"{name} must be {_EXPECTED}, got {rule!r:.40}.")
    return str(rule)


@dataclass(frozen=True, kw_only=True)
class Judging:
    """By what rule a table's rows were judged, where that is not the majority.

    Args:
        rule: as in `Judge`.
        draws: as in `Judge`.
        random: the defenses that draw random numbers, of which alone the rule says anything.

    Raises:
        InputError: a rule that there is not, or no draw.
    """

    rule: str
    draws: int
    random: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _ = self.judge

    @property
    def judge(self) -> Judge:
        """The rule itself."""
        return Judge(self.rule, self.draws)

    def rule_of(self, defense: str) -> Judge | None:
        """The rule by which a row was judged; None where nothing is random, and the majority where it is."""
        return self.judge if defense in self.random else None

    def notes(self, defense: str) -> Iterator[str]:
        """What a reader of a row has to know, a sentence each."""
        judge, names = self.judge, ", ".join(self.random)
        if not self.random:
            yield f"nothing here is random: judged by {self.rule}, which says what the majority says"
        elif defense not in self.random:
            return
        elif judge.is_fixed:
            yield f"{names}: {FIXED}"
        elif judge.kind == "mean":
            yield (
                f"{names}: mean is over {self.draws} draws of all images, [95 % Wilson interval, images as "
                f"its unit]; any: images that stand in all {self.draws}; the accuracy before them, the gap "
                "and the verdict are by the majority"
            )
        else:
            yield (
                f"{names}: an example counts, in accuracy, gap and verdict, if it fools in any of "
                f"{judge.submissions} submissions; clean images are judged by the majority of {self.draws} "
                f"draws; mean is over {self.draws} draws of all images"
            )
