"""`--random-model` by real runs: what is written down, verified and refused."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import advbench
from advbench.errors import ModelError, SpecError
from advbench.jobs.settings.in_files import values_of
from advbench.jobs.settings.run import RunSettings


class Dropping(nn.Module):
    """A network of digits with dropout that stays on."""

    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.size = size
        self.body, self.head = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x.view(self.size or len(x), 64)).relu()
        logits: Tensor = self.head(F.dropout(hidden, 0.3, training=True))
        return logits


SMALL: dict[str, Any] = {"first": 12, "steps": 1, "eot": 2, "judge_draws": 3, "data": "digits"}


def test_a_random_model_is_written_down_and_verified(tmp_path: Path) -> None:
    network = Dropping()
    before = torch.get_rng_state()
    run = advbench.run(
        model={"mc": network},
        random_model=True,
        out=tmp_path / "run",
        save_adversarial=True,
        judge="mean",
        **SMALL,
    )
    checks = advbench.verify(run.path, model={"mc": network})
    assert torch.equal(before, torch.get_rng_state()), "the caller's generator is left as it was"
    assert run.manifest["settings"]["random_model"] is True
    assert all(check.holds for check in checks), [check.said for check in checks if not check.holds]
    assert run.rows[0].judge == "mean"
    assert not any("two passes" in warning for warning in run.rows[0].warnings)
    smaller = advbench.run(
        model={"mc": network}, random_model=True, out=tmp_path / "other", judge="mean", batch_size=5, **SMALL
    )
    pd.testing.assert_frame_equal(run.samples, smaller.samples)


def test_a_run_of_another_model_says_nothing_of_it() -> None:
    assert "random_model" not in values_of(RunSettings())
    assert values_of(RunSettings(random_model=True))["random_model"] is True


def test_a_network_of_one_batch_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the model takes 8 images at a time and no other number"):
        advbench.run(model=Dropping(8), random_model=True, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()


def test_a_smoothed_model_is_written_down_and_verified(tmp_path: Path) -> None:
    run = advbench.run(
        smooth="sigma=0.2,draws=5",
        defenses=["ensemble-vote:alpha=0.2"],
        out=tmp_path / "run",
        save_adversarial=True,
        **SMALL,
    )
    assert run.manifest["settings"]["smooth"] == "sigma=0.2,draws=5"
    checks = advbench.verify(run.path)
    assert all(check.holds for check in checks), [check.said for check in checks if not check.holds]
    assert (run.samples["prediction"] == -1).any()


def test_smoothing_and_a_random_model_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="do not go together"):
        advbench.run(smooth="0.2", random_model=True, out=tmp_path / "run", **SMALL)
