"""What `run.json` says of the images that a model was shown, over several starts of a run."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from advbench import cli
from advbench.evaluation.attack_batch import RungDone
from advbench.jobs.recorder import Recorder
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
