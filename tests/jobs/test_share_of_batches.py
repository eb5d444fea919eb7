"""Processes share declared batches whole."""

import pytest

from advbench.defended.adaptation import Adaptation
from advbench.defended.model import Placement
from advbench.errors import InputError
from advbench.jobs.ranks import Ranks
from advbench.jobs.share_of_batches import sentences_of, share_of


def test_a_process_has_whole_batches_in_their_order() -> None:
    indices, rows = list(range(10)), ["none", "episodic:batch=4"]
    shares = [share_of(indices, rows, Ranks(rank, 2)) for rank in range(2)]
    assert shares == [[0, 1, 2, 3, 8, 9], [4, 5, 6, 7]]
    assert share_of(indices, rows, Ranks()) == indices
    assert share_of(indices, ["jpeg"], Ranks(1, 2)) == [1, 3, 5, 7, 9]
    both = ["episodic:batch=2", "episodic:batch=3"]
    assert share_of(indices, both, Ranks(0, 2)) == [0, 1, 2, 3, 4, 5]


def test_a_stream_and_too_few_batches_are_refused() -> None:
    with pytest.raises(InputError, match="--stream goes through its batches one after another"):
        share_of(range(10), ["stream:batch=4"], Ranks(0, 2))
    with pytest.raises(InputError, match="3 processes cannot share 2 declared batches of 5 images"):
        share_of(range(10), ["episodic:batch=5"], Ranks(0, 3))


def test_a_row_says_how_it_was_judged() -> None:
    chain = [Placement(Adaptation(protocol="stream", batch=4))]
    assert sentences_of({"jpeg": [Placement(abs)], "stream:batch=4": chain}) == [
        Adaptation(protocol="stream", batch=4).sentence
    ]
