"""Repositories in the cache of this machine, in which nothing is looked for but files."""

import importlib
from pathlib import Path

import pytest

from advbench.errors import CheckpointError, DatasetError
from advbench.models.hub import dataset_snapshot, snapshot

pytest.importorskip("huggingface_hub", reason="huggingface_hub comes with timm and transformers")
constants = importlib.import_module("huggingface_hub.constants")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_what_is_not_in_the_cache_is_said_with_the_cache(cache: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        snapshot("owner/name", "hf", revision=None, download=False)
    assert str(error.value) == (
        f"owner/name is no folder, and not in the cache {cache}: add --download to fetch it."
    )


def test_a_download_that_fails_is_told_in_a_line(cache: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^owner/name cannot be fetched: ") as error:
        snapshot("owner/name", "hf", revision=None, download=True)
    assert "\n" not in str(error.value)
    assert not list(cache.glob("models--*/snapshots/*/*"))


def test_what_is_no_name_is_refused(cache: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'a b/c' is neither a folder nor a name like 'owner/name'"):
        snapshot("a b/c", "hf", revision=None, download=False)


def test_a_data_set_is_looked_up_among_data_sets(cache: Path) -> None:
    commit = "a" * 40
    folder = cache / "datasets--owner--name"
    (folder / f"snapshots/{commit}/data").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(commit)
    assert dataset_snapshot("owner/name", "test", download=False) == folder / f"snapshots/{commit}"
    with pytest.raises(DatasetError, match="owner/other is no folder, and not in the cache"):
        dataset_snapshot("owner/other", "test", download=False)
    with pytest.raises(DatasetError, match="'a/b/c' is neither a folder nor a name like 'owner/name'"):
        dataset_snapshot("a/b/c", "test", download=False)
