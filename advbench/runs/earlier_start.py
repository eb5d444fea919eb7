"""Earlier starts of a run, by what its `run.json` says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advbench.errors import RunFolderError
from advbench.files import is_free
from advbench.runs.manifest import differences, read_manifest


def unfinished_run(manifest: Mapping[str, Any]) -> Path | None:
    """The latest dated folder that holds an unfinished start of this very run and that nobody writes to."""
    for path in sorted(Path("runs").glob("*/"), reverse=True):
        try:
            earlier = read_manifest(path)
        except RunFolderError:
            continue
        if earlier.get("status") != "done" and not differences(earlier, manifest) and is_free(path):
            return path
    return None


def holds_start_of(path: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether a folder holds an earlier start of this very run, done or not."""
    try:
        return not differences(read_manifest(path), manifest)
    except RunFolderError:
        return False
