"""Values of options that are more than a text or a number: from the words to what they mean."""

import re
from collections.abc import Sequence
from typing import Literal

from advbench.errors import SpecError
from advbench.names.grammar import split_chain
from advbench.results.judging import check_rule

BatchSizeWord = int | Literal["auto"]


def parse_batch_size(text: str) -> BatchSizeWord:
    """Read `auto` or a number of images.

    Raises:
        SpecError: neither.
    """
    if text == "auto":
        return "auto"
    if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
        raise SpecError(f"--batch-size must be auto or a whole number of at least 1, got {text!r}.")
    return int(text)


def parse_share(text: str) -> float:
    """Read the share of clean images that may be refused.

    Raises:
        SpecError: no number in [0, 0.5].
    """
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 0.5:
        raise SpecError(f"--fpr must be a share of clean images in [0, 0.5], like 0.05; got {text!r}.")
    return share


def parse_judge(text: str) -> str:
    """Read how a random defense is judged.

    Raises:
        SpecError: no such rule.
    """
    return check_rule(text.strip(), "--judge")


def joined_to(defenses: tuple[str, ...], words: Sequence[str]) -> tuple[str, ...]:
    """Defenses with more elements in every chain that lacks them; a row of their own without any."""
    for word in words:
        own = [text.strip() for text in defenses if text.strip() != "none"]
        defenses = tuple(text if word in split_chain(text) else f"{text}+{word}" for text in own) or (word,)
    return defenses
