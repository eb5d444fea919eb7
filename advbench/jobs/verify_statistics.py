"""Whether defenses that stand on training images have the statistics that the run had."""

from collections.abc import Mapping, Sequence
from typing import Any

from advbench.jobs.check import Check


def check_statistics(recorded: object, made: Mapping[str, Sequence[Mapping[str, Any]]]) -> Check | None:
    """Compare which images each defense's statistics are of; None where no defense has any.

    The statistics themselves are measured again with the model, whose weights are checked before.

    Args:
        recorded: the entry `settings.defenses` of a run, which may have been forged.
        made: the same entry for the defenses as they were made anew.
    """
    defenses = recorded if isinstance(recorded, Mapping) else {}
    own = {defense: _accounts(links) for defense, links in made.items()}
    claimed = {defense: _accounts(links) for defense, links in defenses.items()}
    if not any(any(accounts) for accounts in (*own.values(), *claimed.values())):
        return None
    wrong = [str(defense) for defense in own if own[defense] != claimed.get(defense)]
    sentence = (
        f"of other images than the run says: {', '.join(wrong)}"
        if wrong
        else "measured again on the same images"
    )
    return Check("statistics", not wrong, sentence)


def _accounts(links: object) -> list[Any]:
    """What each link of a defense says of its statistics."""
    listed = links if isinstance(links, Sequence) and not isinstance(links, str) else []
    return [link.get("statistics") if isinstance(link, Mapping) else None for link in listed]
