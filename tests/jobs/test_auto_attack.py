"""`--attack auto` in a run: what the model gives is found out, and the row says what could not be done."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import advbench as ab
from advbench.errors import ModelError
from advbench.jobs.auto_attack import given_by, resolved
from advbench.jobs.settings.run import RunSettings

X = torch.full((1, 1, 2, 2), 0.5)


class Cut(nn.Module):
    """Two classes by the mean pixel, without a gradient."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.detach().flatten(1).mean(1)
        return torch.stack([0.52 - mean, mean - 0.52], dim=1)


class Classes(Cut):
    """One that says of itself that it gives classes alone."""

    gives = "labels"

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(super().forward(x).argmax(1), 2).float()


def test_a_model_is_asked_and_else_looked_at() -> None:
    assert given_by(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), X) == "gradients"
    assert given_by(Cut(), X) == "scores"
    assert given_by(Classes(), X) == "labels"
    model = Cut()
    model.gives = "nothing"  # type: ignore[assignment]  # what a user may write
    with pytest.raises(ModelError, match="gives gradients, scores, labels; this one says 'nothing'"):
        given_by(model, X)


def test_only_an_open_auto_is_settled() -> None:
    settings = RunSettings(attacks=("pgd", "auto:queries=20", "auto:gives=scores"))
    settled, remarks = resolved(settings, Classes(), X)
    assert settled.attacks == ("pgd", "auto:gives=labels,queries=20", "auto:gives=scores")
    assert "classes alone" in remarks[0]
    assert resolved(RunSettings(attacks=("auto",)), nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), X)[1] == ()
    assert resolved(RunSettings(attacks=("pgd",)), Classes(), X)[1] == ()


@pytest.mark.parametrize(
    ("model", "gives", "word"), [(Cut(), "scores", "tabu"), (Classes(), "labels", "hard")]
)
def test_the_row_says_what_could_not_be_done(tmp_path: Path, model: Any, gives: str, word: str) -> None:
    x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.45
    y = model(x).argmax(1)
    run = ab.run(
        model=model, data=(x, y), attacks=["auto:queries=40"], eps=0.1, out=tmp_path / "run", batch_size=6
    )
    row = run.rows[0]
    assert row.attack == f"auto:gives={gives},queries=40"
    assert any(word in note and "the model gives" in note for note in row.notes)
    assert row.rates["shattered"].count == 0
