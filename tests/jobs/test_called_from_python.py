"""What the command line does, called from Python: the same results, and the process left as it was."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import advbench as ab
from advbench import cli
from advbench.errors import SpecError
from advbench.jobs.trained import Training
from advbench.jobs.watcher import Unwatched
from advbench.reports.training import TRAINING_FILES

QUICK: dict[str, Any] = {"epochs": 1, "train_limit": 200, "limit": 20, "batch_size": 32}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_training_returns_what_it_came_to(untouched: None) -> None:
    training = ab.finetune(apart=True, out="run", **QUICK)
    assert isinstance(training, Training)
    assert training.path == Path("run")
    for form, name in TRAINING_FILES.items():
        assert training.table(form) == Path("run", name).read_text()
    assert list(training.history["way"]) == ["apart"]
    assert 0 < training.history["accuracy"][0] <= 1
    assert set(training.frame["model"]) == {"before", "apart"}
    assert [(pair.one, pair.other) for pair in training.pairs] == [("apart", "before")]
    assert training.checkpoints == {"apart": Path("run/apart/last.safetensors")}
    assert "<table" in training._repr_html_()


def test_the_trained_model_is_the_one_that_was_measured() -> None:
    training = ab.finetune(out="run", **QUICK)
    assert training is not None
    images = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        logits = training.model("plain")(images)
        assert logits.shape == (5, 10)
        assert not torch.equal(logits, training.model("before")(images))
    with pytest.raises(SpecError, match="nothing was trained 'apart'; there are: before, plain"):
        training.model("apart")


def test_a_training_is_said_in_the_words_that_do_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    ab.finetune(apart=True, out="run", **QUICK)
    manifest = json.loads(Path("run/run.json").read_text())
    words = manifest["command"]
    assert words[:3] == ["advbench", "finetune", "--apart"]
    assert cli.main([*words[1:], "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows == json.loads(Path("run/table.json").read_text())["rows"]


def test_a_watcher_may_end_a_training() -> None:
    watcher = Unwatched(asked_to_stop=True)
    with pytest.raises(KeyboardInterrupt):
        ab.finetune(watcher=watcher, out="run", **QUICK)


def test_a_verification_returns_its_checks(copied_run: Path, untouched: None) -> None:
    checks = ab.verify("run")
    assert all(check.holds for check in checks)
    assert [check.what for check in checks][:2] == ["run.json", "seal"]
    assert {"checkpoint", "images", "records", "table.csv"} <= {check.what for check in checks}
    assert checks == ab.verify(copied_run, device="cpu")


def test_what_disagrees_is_a_check_that_does_not_hold(copied_run: Path) -> None:
    with (copied_run / "table.csv").open("a") as file:
        file.write("more\n")
    assert [check.what for check in ab.verify(copied_run) if not check.holds] == [
        "table.csv",
        "numbers of table.csv",
    ]


def test_what_cannot_be_verified_is_an_error() -> None:
    with pytest.raises(ab.AdvbenchError, match="not a run's folder"):
        ab.verify("nowhere")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"epochs": "many"}, "epochs: it must be a whole number of at most 1,000,000,000, got 'many'"),
        ({"epochs": True}, "epochs: it must be a whole number of at most 1,000,000,000, got True"),
        ({"schedule": "stairs"}, "schedule: it must be one of step, cosine, got 'stairs'"),
        ({"limit": 0}, "limit: it must be a whole number from 1 to 1,000,000,000, got 0"),
        ({"lr": "fast"}, "lr: it must be a number, got 'fast'"),
        ({"apart": 1}, "apart: it must be true or false, got 1"),
        ({"out": ""}, "out needs a path, and is given none: ''"),
        ({"epsilon": 0.2}, "is a setting of APART"),
    ],
)
def test_a_wrong_value_is_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        ab.finetune(**keywords)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["epoch", "quiet", "json"])
def test_a_keyword_that_there_is_not_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match=f"no keyword '{name}'"):
        ab.finetune(**{name: 1})  # type: ignore[arg-type]  # what is tested


def test_help_names_every_keyword() -> None:
    names = list(inspect.signature(ab.finetune).parameters)
    assert names[:3] == ["watcher", "checkpoint", "model"]
    assert "quiet" not in names
    assert "epochs: Passes over the images." in (ab.finetune.__doc__ or "")
