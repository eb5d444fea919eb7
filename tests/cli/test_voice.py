"""Where processes share a run, the leading one says what all meet, and each what it alone met."""

import time

import pytest
from torch._C._distributed_c10d import HashStore

from advbench.cli import voice
from advbench.cli.voice import one_voice
from advbench.errors import INTERRUPTED, InputError, RunError
from advbench.jobs.ranks import Ranks

WRONG = InputError("there is no such model")


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rests that were taken, in no time; nobody waits for a leading process that is silent."""
    rests: list[float] = []
    monkeypatch.setattr(time, "sleep", rests.append)
    monkeypatch.setattr(voice, "_PATIENCE", 0.05)
    return rests


def spoken(ranks: Ranks, error: BaseException) -> BaseException:
    """What leaves a process in which an error was raised."""
    with pytest.raises(BaseException) as caught, one_voice(ranks):  # noqa: PT011  # SystemExit among them
        raise error
    return caught.value


def pair() -> tuple[Ranks, Ranks]:
    store = HashStore()
    return Ranks(0, 2, 0, store), Ranks(1, 2, 1, store)


def test_an_error_of_all_is_said_by_the_leading_process_alone(slept: list[float]) -> None:
    leader, follower = pair()
    assert spoken(leader, WRONG) is WRONG
    left = spoken(follower, InputError(str(WRONG)))
    assert isinstance(left, SystemExit)
    assert left.code == InputError.exit_code
    assert slept == [voice._LONGEST_FAREWELL], "it lets the leading one end first"


def test_what_one_process_alone_met_it_says_itself(slept: list[float]) -> None:
    leader, follower = pair()
    spoken(leader, WRONG)
    full = RunError("the disk is full")
    assert spoken(follower, full) is full
    assert slept == []


@pytest.mark.usefixtures("slept")
def test_where_the_leading_process_is_silent_or_gone_the_error_is_said() -> None:
    _, follower = pair()
    assert spoken(follower, WRONG) is WRONG


def test_one_process_says_everything_itself() -> None:
    for error in (WRONG, KeyboardInterrupt(), ValueError("a fault")):
        assert spoken(Ranks(), error) is error
    with one_voice(Ranks()):
        done = True
    assert done


@pytest.mark.parametrize(("rank", "said"), [(0, True), (1, False)])
def test_an_interruption_is_said_by_the_leading_process_alone(rank: int, said: bool) -> None:
    left = spoken(pair()[rank], KeyboardInterrupt())
    assert isinstance(left, KeyboardInterrupt) == said
    assert said or (isinstance(left, SystemExit) and left.code == INTERRUPTED)


def test_a_fault_that_is_not_on_purpose_is_never_hushed() -> None:
    assert isinstance(spoken(pair()[1], ZeroDivisionError("x")), ZeroDivisionError)
