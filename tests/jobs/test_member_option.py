"""`--member`: an ensemble of checkpoints by real runs, verified and refused."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import advbench
from advbench.errors import CheckpointError, RunFolderError
from advbench.models.network import WEIGHTS

SMALL: dict[str, Any] = {
    "model": "digits-cnn",
    "data": "digits",
    "mean": "0",
    "std": "1",
    "first": 16,
    "steps": 2,
    "eot": 2,
    "judge_draws": 3,
    "save_adversarial": True,
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The network of the digits, and others near it."""
    home = tmp_path_factory.mktemp("checkpoints")
    weights = safetensors.torch.load_file(WEIGHTS / "digits-cnn.safetensors")
    files = []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        near = {
            name: tensor + 0.1 * seed * tensor.std() * torch.randn(tensor.shape, generator=generator)
            if tensor.is_floating_point() and tensor.numel() > 1
            else tensor
            for name, tensor in weights.items()
        }
        files.append(home / f"{seed}.safetensors")
        safetensors.torch.save_file(near, files[-1])
    return files


def test_an_ensemble_of_checkpoints_is_attacked_and_verified(checkpoints: list[Path], tmp_path: Path) -> None:
    first, *others = checkpoints
    run = advbench.run(
        checkpoint=first,
        members=others,
        defenses=["ensemble-vote", "ensemble-pick"],
        bpda=True,
        judge="mean",
        out=tmp_path / "run",
        **SMALL,
    )
    checks = advbench.verify(run.path)
    assert all(check.holds for check in checks), [check.said for check in checks if not check.holds]
    assert any(check.what == "members" for check in checks)
    assert len(run.manifest["settings"]["members"]) == 2
    assert run.manifest["settings"]["defenses"]["ensemble-vote"][0]["at"] == "members"
    by_name = {row.defense: row for row in run.rows}
    assert by_name["ensemble-vote"].rates["clean"].count >= 12
    assert by_name["ensemble-pick"].judge == "mean"
    alone = advbench.run(checkpoint=first, out=tmp_path / "alone", **SMALL)
    assert "members" not in alone.manifest["settings"]
    moved = [other.rename(tmp_path / other.name) for other in others]
    with pytest.raises(RunFolderError, match=r"is not there; give members= FILE for each of them"):
        advbench.verify(run.path)
    assert all(check.holds for check in advbench.verify(run.path, members=moved))
    swapped = advbench.verify(run.path, members=moved[::-1])
    assert (swapped[-1].what, swapped[-1].holds) == ("members", False)
    for file, place in zip(moved, others, strict=True):
        file.rename(place)


def test_members_without_a_first_or_twice_are_refused(checkpoints: list[Path], tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match="adds to a checkpoint: give checkpoint= FILE, the first member"
    ):
        advbench.run(members=checkpoints[:1], out=tmp_path / "run", **SMALL)
    with pytest.raises(CheckpointError, match="is a member twice"):
        advbench.run(checkpoint=checkpoints[0], members=[checkpoints[0]], out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()
