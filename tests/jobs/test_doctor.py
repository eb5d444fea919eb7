"""`advbench doctor`: what is installed, and a self test that a broken installation fails."""

import json
import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn

from advbench import cli
from advbench.jobs import doctor
from advbench.jobs.doctor import EXTRAS, LOGITS, TOLERANCE, look
from advbench.jobs.settings.doctor import DoctorSettings
from advbench.models.digits_cnn import DigitsCNN
from advbench.version import VERSION

ROOT = Path(__file__).parents[2]


def test_every_extra_that_users_may_want_is_told() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - {"docs", "test"}
    for name, (distribution, purpose) in EXTRAS.items():
        assert extras[name][0].startswith(distribution), name
        assert purpose


def test_the_bundled_model_gives_its_known_logits() -> None:
    checkup = look(DoctorSettings())
    cpu = checkup.devices[0]
    assert (cpu.name, cpu.failure, checkup.holds) == ("cpu", "", True)
    assert cpu.error is not None
    assert cpu.error < 1e-4
    assert max(LOGITS) - min(LOGITS) > 100 * TOLERANCE
    assert checkup.versions["advbench"] == VERSION
    assert checkup.versions["torch"] == torch.__version__


def test_a_device_that_computes_wrongly_ends_with_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(DigitsCNN):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.relu(super().forward(x))

    monkeypatch.setattr(doctor, "DigitsCNN", Broken)
    assert cli.main(["doctor"]) == 1
    printed = capsys.readouterr()
    assert "WRONG: the bundled model's logits are off by 4.93" in printed.out
    assert "the self test fails on cpu" in printed.err


def test_a_device_that_raises_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: torch.device) -> float:
        raise RuntimeError("CUDA driver version is insufficient\nmore")

    monkeypatch.setattr(doctor, "_largest_error", fail)
    (device, *_) = look(DoctorSettings()).devices
    assert (device.holds, device.error, device.failure) == (
        False,
        None,
        "CUDA driver version is insufficient",
    )


def test_nan_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOGITS", (float("nan"),) * 10)
    assert not look(DoctorSettings()).holds


def test_json_holds_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert cli.main(["doctor", "--json", "--data-root", str(tmp_path)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["holds"] is True
    assert record["folders"] == ["cifar-10-batches-py"]
    assert {extra["name"] for extra in record["extras"]} == set(EXTRAS)


def test_lines_are_for_a_bug_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--data-root", "nowhere"]) == 0
    lines = capsys.readouterr().out.splitlines()
    subjects = list(dict.fromkeys(line.partition(":")[0] for line in lines if not line.startswith("commit")))
    assert subjects == ["versions", "platform", "threads", "device", "extra", "data root", "settings file"]
    assert lines[-2] == "data root: nowhere is no folder"
