"""The declared batches of a model that adapts, shared by the processes of a run."""

from collections.abc import Iterable, Mapping, Sequence
from math import lcm

from advbench.defended.adaptation import adaptation_in
from advbench.defended.model import Placement
from advbench.errors import InputError
from advbench.jobs.ranks import Ranks
from advbench.names.adaptation import declared_batch
from advbench.names.grammar import parse_chain


def share_of(indices: Sequence[int], defenses: Iterable[str], ranks: Ranks) -> list[int]:
    """The images of this process: whole batches, where a row declares some.

    Args:
        indices: all images, in the order of the run.
        defenses: the rows.
        ranks: the processes that share the run.

    Raises:
        InputError: a stream for several processes, or fewer batches than these.
    """
    names = list(defenses)
    sizes = [size for size in map(declared_batch, names) if size]
    if not sizes or ranks.count == 1:
        return ranks.share(indices)
    if any(spec.name == "stream" for name in names for spec in parse_chain(name)):
        raise InputError(
            f"--stream goes through its batches one after another, and {ranks.count} processes cannot "
            "share: start one."
        )
    size = lcm(*sizes)
    batches = [indices[first : first + size] for first in range(0, len(indices), size)]
    if len(batches) < ranks.count:
        raise InputError(
            f"{ranks.count} processes cannot share {len(batches)} declared batches of {size} images; start "
            "fewer."
        )
    return [index for batch in ranks.share(batches) for index in batch]


def sentences_of(chains: Mapping[str, Sequence[Placement]]) -> list[str]:
    """How the rows of a model that adapts were judged, for the notes under the table."""
    adaptations = map(adaptation_in, chains.values())
    return [adaptation.sentence for adaptation in adaptations if adaptation is not None]
