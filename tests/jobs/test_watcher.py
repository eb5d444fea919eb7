"""Those who look on while a job goes on."""

import io
import os
import signal

import pytest
from rich.console import Console

from advbench.cli.bar import Bar, watched
from advbench.jobs.watcher import PartWatcher, Unwatched, check_stop


def bar(**how: int) -> tuple[Bar, io.StringIO]:
    text = io.StringIO()
    return Bar(Console(file=text, width=200), quiet=bool(how.get("quiet")), rank=how.get("rank", 0)), text


def test_lines_stand_where_no_terminal_shows_a_bar() -> None:
    watcher, text = bar()
    watcher.begin("attacking", 10)
    watcher.advance("none · shattered", 3)
    watcher.note("10 images")
    watcher.say("memory ran out")
    watcher.pass_by("epoch 1/3")
    assert text.getvalue() == "10 images\nmemory ran out\nepoch 1/3\n"


def test_a_quiet_bar_says_doubts_alone(capsys: pytest.CaptureFixture[str]) -> None:
    watcher, text = bar(quiet=1)
    watcher.note("10 images")
    watcher.say("memory ran out")
    watcher.warn("the order of the classes is doubtful")
    assert text.getvalue() == ""
    assert capsys.readouterr().err == "the order of the classes is doubtful\n"


def test_a_process_that_does_not_lead_says_only_what_it_alone_met(capsys: pytest.CaptureFixture[str]) -> None:
    watcher, text = bar(rank=2)
    watcher.note("10 images")
    watcher.warn("a doubt that all processes have")
    watcher.say("memory ran out")
    assert text.getvalue() == "process 2: memory ran out\n"
    assert capsys.readouterr().err == ""


def test_a_part_is_named_first() -> None:
    watcher, text = bar()
    part = PartWatcher(watcher, "[2/5] ")
    part.begin("attacking", 10)
    part.note("10 images")
    part.say("memory ran out")
    assert text.getvalue() == "[2/5] 10 images\n[2/5] memory ran out\n"


def test_a_signal_is_a_wish_that_the_job_sees() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with watched(quiet=True) as watcher:
        watcher.begin("attacking", 10)
        part = PartWatcher(watcher, "")
        check_stop(part)
        os.kill(os.getpid(), signal.SIGTERM)
        assert part.asked_to_stop
        with pytest.raises(KeyboardInterrupt):
            check_stop(part)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_signal_stops_at_once_what_has_not_begun() -> None:
    with watched(quiet=True), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_who_watches_nothing_lets_a_job_go_on() -> None:
    check_stop(Unwatched())
    with pytest.raises(KeyboardInterrupt):
        check_stop(Unwatched(asked_to_stop=True))
