"""Runs under way are looked at until they have ended: once a change, and not before all have begun."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from advbench.errors import RunError, RunFolderError
from advbench.jobs.watch import Watch


class Listener:
    """Hears what is said, and asks to stop after some looks."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.said: list[str] = []
        self.left = stop_after

    def note(self, text: str) -> None:
        self.said.append(text)

    say = warn = pass_by = note

    def begin(self, task: str, total: int | None, done: int = 0) -> None:
        """There is no bar."""

    def advance(self, task: str, done: int) -> None:
        """There is no bar."""

    @property
    def asked_to_stop(self) -> bool:
        if self.left is None:
            return False
        self.left -= 1
        return self.left < 0


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens between one look and the next, in place of a second's rest."""
    steps: list[Callable[[], object]] = []
    monkeypatch.setattr(time, "sleep", lambda _: steps.pop(0)() if steps else None)
    return steps


def status(run: Path, word: str) -> None:
    said = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**said, "status": word, "changed": word * 3}))


def test_a_run_that_is_done_is_shown_once_and_nothing_is_said(copied_run: Path) -> None:
    listener = Listener()
    watch = Watch([copied_run, copied_run], listener)
    assert watch.paths == [copied_run]
    assert list(watch.changes()) == [0]
    assert listener.said == []
    assert len(watch.read(copied_run).samples) == 8 * (2 + 3)


def test_a_run_is_shown_again_where_it_has_come_further(
    copied_run: Path, between: list[Callable[[], object]]
) -> None:
    listener = Listener()
    status(copied_run, "running")
    part = sorted((copied_run / "parts").iterdir())[0]
    between += [lambda: None, part.unlink, lambda: None, lambda: status(copied_run, "done")]
    assert list(Watch([copied_run], listener).changes()) == [0, 1, 2]
    assert not between, "a look that finds nothing new shows nothing"
    assert len(listener.said) == 2
    assert all(
        each.endswith(": the run goes on; Ctrl-C ends the watch, not the run") for each in listener.said
    )


def test_what_is_not_there_yet_is_waited_for_and_that_is_said_once(
    copied_run: Path, between: list[Callable[[], object]]
) -> None:
    listener = Listener()
    later = Path("later")
    between += [
        lambda: None,
        later.mkdir,
        lambda: shutil.copytree("run", "later", dirs_exist_ok=True),
    ]
    assert list(Watch([copied_run, later], listener).changes()) == [0]
    assert listener.said == ["waiting for later to begin; Ctrl-C ends"]


def test_of_several_runs_it_is_said_how_many_have_ended(
    copied_run: Path, between: list[Callable[[], object]]
) -> None:
    listener = Listener()
    other = Path(shutil.copytree("run", "other"))
    status(other, "running")
    between.append(lambda: status(other, "done"))
    assert list(Watch([copied_run, other], listener).changes()) == [0, 1]
    (told,) = listener.said
    assert told.endswith(": 1 of 2 have ended; Ctrl-C ends the watch, not the run")


@pytest.mark.parametrize("word", ["interrupted", "failed"])
def test_a_run_that_ended_early_is_shown_and_then_an_error(copied_run: Path, word: str) -> None:
    status(copied_run, word)
    changes: Iterator[int] = Watch([copied_run], Listener()).changes()
    assert next(changes) == 0
    with pytest.raises(RunError, match=rf"ended before it was done: run \({word}\)\."):
        next(changes)


@pytest.mark.usefixtures("between")
def test_a_watcher_may_end_the_look(copied_run: Path) -> None:
    status(copied_run, "running")
    changes = Watch([copied_run], Listener(stop_after=2)).changes()
    assert next(changes) == 0
    with pytest.raises(KeyboardInterrupt):
        next(changes)


def test_a_folder_whose_account_is_damaged_is_refused_and_not_waited_for(copied_run: Path) -> None:
    (copied_run / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"run\.json"):
        next(Watch([copied_run], Listener()).changes())
