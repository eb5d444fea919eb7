"""A run is written down while it happens: the images shown over several starts, and how it ended."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import advbench
from advbench import cli
from advbench.errors import InputError, RunError
from advbench.evaluation.attack_batch import RungDone
from advbench.jobs.build_attacks import assemble
from advbench.jobs.describe import manifest_of
from advbench.jobs.ranks import Ranks
from advbench.jobs.recorder import Recorder
from advbench.jobs.run import perform
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.watcher import Unwatched
from advbench.models.network import WEIGHTS
from advbench.runs.folder import RunFolder

ENDPOINT = f"""
from pathlib import Path
from safetensors.torch import load_model
from torch import nn
from advbench.models.digits_cnn import DigitsCNN


class Endpoint(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = DigitsCNN()
        load_model(self.network, {str(WEIGHTS / "digits-cnn.safetensors")!r})

    def forward(self, x):
        with Path("seen.txt").open("a") as seen:
            seen.write(f"{{len(x)}}\\n")
        return self.network(x)
"""
WORDS = "attack --model endpoint.py:Endpoint --dataset digits --mean 0 --std 1 --first 12 --steps 3 "
WORDS += "--batch-size 4 --defense round --substitute identity --bpda --out run --json"


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many images the endpoint has counted in an empty folder."""
    monkeypatch.chdir(tmp_path)
    Path("endpoint.py").write_text(ENDPOINT)
    return lambda: sum(map(int, Path("seen.txt").read_text().split()))


def shown() -> dict[str, int]:
    counts: dict[str, int] = json.loads(Path("run/run.json").read_text())["shown"]
    return counts


def stop_after(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Recorder.keep

    def keep_and_stop(recorder: Recorder, done: RungDone) -> None:
        keep(recorder, done)
        folder: RunFolder | None = recorder.folder
        assert folder is not None
        if folder.parts == parts:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "keep", keep_and_stop)


def test_a_run_tells_what_an_endpoint_has_counted(seen: Callable[[], int]) -> None:
    assert cli.main(shlex.split(WORDS)) == 0
    assert sum(shown().values()) == seen()
    assert cli.main(shlex.split(WORDS)) == 0
    assert sum(shown().values()) == seen(), "the same command again shows the clean images again"
    assert cli.main(["report", "run", "--format", "html", "--out", "page"]) == 0
    assert f"{seen():,} (" in Path("page/report.html").read_text()


def test_runs_that_were_stopped_add_up(seen: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    for parts in (2, 5):
        with monkeypatch.context() as patched:
            stop_after(parts, patched)
            assert cli.main(shlex.split(WORDS)) == 130
        assert sum(shown().values()) == seen()
    assert cli.main(shlex.split(WORDS)) == 0
    assert sum(shown().values()) == seen()


def test_runs_that_were_killed_add_up(seen: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process says nothing more: what it has shown is in its parts."""
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        assert cli.main(shlex.split(WORDS)) == 130
        patched.setattr(Recorder, "give_up", lambda *_: None)
        stop_after(5, patched)
        assert cli.main(shlex.split(WORDS)) == 130
    assert cli.main(shlex.split(WORDS)) == 0
    assert sum(shown().values()) == seen()


SMALL = RunSettings(first=6, steps=1, batch_size=3, fast=False, out=Path("run"))


def recorder(settings: RunSettings = SMALL) -> Recorder:
    """A recorder before its run has begun."""
    job = assemble(settings, Ranks())
    manifest = manifest_of(settings, job, Ranks())
    return Recorder(settings, job, manifest, Ranks(), Unwatched(), accept=lambda *_: [])


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ended_by(error: BaseException, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that an error has ended after so many parts."""
    keep = Recorder.keep

    def failing(self: Recorder, done: RungDone) -> None:
        assert self.folder is not None
        if self.folder.parts == parts:
            raise error
        keep(self, done)

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "keep", failing)
        with pytest.raises(type(error)):
            perform(SMALL)


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(
    ("error", "parts", "status"),
    [
        (KeyboardInterrupt(), 0, "interrupted"),
        (ZeroDivisionError(), 1, "failed"),
        (InputError("such a model"), 1, "failed"),
        (RunError("the disk is full"), 1, "running"),
        (InputError("such a model"), 0, None),
    ],
)
def test_a_run_says_how_it_ended_and_input_that_is_of_no_use_leaves_nothing(
    error: BaseException, parts: int, status: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended_by(error, parts, monkeypatch)
    if status is None:
        assert not Path("run").exists()
        return
    said = json.loads(Path("run/run.json").read_text())
    assert said["status"] == status
    assert ("finished" in said) == (status != "running")


@pytest.mark.usefixtures("empty")
def test_what_was_kept_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ended_by(KeyboardInterrupt(), 1, monkeypatch)
    (part,) = Path("run/parts").iterdir()
    before = part.stat().st_mtime_ns
    done = perform(SMALL)
    assert done is not None
    assert (done.manifest["status"], len(done.samples)) == ("done", 6 * 2)
    assert part.stat().st_mtime_ns == before


@pytest.mark.usefixtures("empty")
def test_before_a_run_has_begun_there_is_nothing_to_end() -> None:
    before = recorder()
    before.give_up(KeyboardInterrupt())
    before.close()
    assert not Path("run").exists()
    assert (before.names, list(before.population)) == (("digits-cnn", "digits"), list(range(6)))


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(("successful_only", "kept"), [(True, [False]), (False, [False, True])])
def test_the_examples_that_were_asked_for_are_kept(successful_only: bool, kept: list[bool]) -> None:
    settings = RunSettings(
        first=6, steps=2, save_adversarial=True, successful_only=successful_only, out=Path("run")
    )
    done = perform(settings)
    assert done is not None
    attacked = done.samples[done.samples["rung"] == "shattered"].set_index("index")["robust"]
    indices = [index for examples in done.examples for index in examples.indices.tolist()]
    assert sorted(set(attacked[indices])) == kept
    assert len(indices) == sum(attacked.isin(kept))


@pytest.mark.usefixtures("empty")
def test_what_the_search_has_kept_is_there_in_the_end_though_somebody_removed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep = Recorder.keep

    def keep_and_remove(recorder: Recorder, done: RungDone) -> None:
        keep(recorder, done)
        shutil.rmtree("run/substitutes")
        monkeypatch.setattr(Recorder, "keep", keep)

    monkeypatch.setattr(Recorder, "keep", keep_and_remove)
    run = advbench.run(
        defenses=["bit-depth:bits=2"],
        substitutes=["learned", "identity"],
        bpda=True,
        first=12,
        steps=1,
        save_adversarial=True,
        out="run",
    )
    names = {path.name.partition("-")[0] for path in (run.path / "substitutes").iterdir()}
    assert names == {"search", "learned"}
    assert all(check.holds for check in advbench.verify(run.path))
