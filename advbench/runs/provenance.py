"""What a result depends on besides its settings: versions, commits and the machine."""

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advbench.runs.manifest import entry, run_hash
from advbench.version import VERSION

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pyarrow", "safetensors", "scikit-learn")


OF_A_START = ("started", "command", "settings_file", "execution", "versions", "commits", "machine")
"""The entries of `run.json` that tell one start of a run from another."""


def now() -> str:
    """The time as records have it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of advbench, Python and the packages that touch the numbers."""
    return {
        "advbench": VERSION,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def commits() -> dict[str, str]:
    """The git commits of advbench and of the current folder, each where there is one.

    The first ends in `+changes` where the checkout differs from it. Of the current folder git is asked
    for the commit alone: a look at its files could run programs that its configuration names.
    """
    home = Path(__file__).parent
    hashes = {}
    if _git(home, "ls-files", "--error-unmatch", Path(__file__).name) is not None:
        changes = _git(home.parent, "status", "--porcelain", "--untracked-files=no")
        hashes["advbench"] = f"{_git(home, 'rev-parse', 'HEAD')}{'+changes' if changes else ''}"
    here = _git(Path.cwd(), "rev-parse", "HEAD")
    return hashes if here is None else {**hashes, "current_folder": here}


def machine(device: "torch.device") -> dict[str, Any]:
    """The device that computed, and how it was set up."""
    import torch  # noqa: PLC0415  # origins are also read where there is no model

    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return {
        "device": str(device),
        "name": name,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "precision": "float32",
    }


def is_here(manifest: Mapping[str, Any], device: "torch.device") -> bool:
    """Whether a run says that it was computed as it would be now: on this CPU, by the same versions.

    Args:
        manifest: what `run.json` says.
        device: what computes now.
    """
    here, recorded = machine(device), manifest.get("machine")
    same = isinstance(recorded, Mapping) and all(
        here[name] == recorded.get(name) for name in ("device", "platform")
    )
    return same and device.type == "cpu" and versions() == manifest.get("versions")


def origin_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Where a run's files come from, in a few words each: what is written into every one of them.

    Args:
        manifest: what `run.json` says; what it does not say is left empty.
    """
    return {
        "seed": _text(entry(manifest, "settings", "seed")),
        "checkpoint_sha256": _text(entry(manifest, "checkpoint", "sha256")),
        "data_fingerprint": _text(entry(manifest, "data", "fingerprint")),
        "device": " ".join(_text(entry(manifest, "machine", key)) for key in ("device", "name")).strip(),
        "precision": _text(entry(manifest, "machine", "precision")),
        "versions": _listed(manifest.get("versions")),
        "commit": _listed(manifest.get("commits")),
        "command": _joined(manifest.get("command")),
        "run": run_hash(manifest),
    }


def origins_of_starts(manifest: Mapping[str, Any]) -> list[dict[str, str]]:
    """Where the files of a run may come from: its last start first, then those that it went on with."""
    shared = {name: value for name, value in manifest.items() if name not in OF_A_START}
    earlier = manifest.get("earlier_starts")
    starts = [start for start in earlier if isinstance(start, Mapping)] if isinstance(earlier, list) else []
    return [origin_of(manifest), *(origin_of({**shared, **start}) for start in reversed(starts))]


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _listed(value: Any) -> str:
    return "; ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, Mapping) else ""


def _joined(value: Any) -> str:
    return shlex.join(map(str, value)) if isinstance(value, list | tuple) else ""


def _git(folder: Path, *words: str) -> str | None:
    """What git says in a folder; None where it has nothing to say, or is not there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603  # fixed words
            ["git", "-C", str(folder), *words],  # noqa: S607  # the user's git
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
