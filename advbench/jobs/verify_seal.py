"""A run's files and its `run.json` against its seal."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from advbench.files import sha256
from advbench.jobs.check import Check
from advbench.regular_files import is_regular, read_regular
from advbench.reports.formats import FILE_NAMES
from advbench.runs.folder import CANDIDATES, files_of_run, is_file_of_run
from advbench.runs.manifest import LARGEST_MANIFEST, MANIFEST, Manifest
from advbench.runs.samples import SAMPLES
from advbench.runs.seal import Seal, breaches, digest_of
from advbench.runs.signature import SIGNATURE, signer_of

_SHORTEST: Final = 16
"""Digits of a published seal that tell it from all others."""

UNSEALED: Final = (
    "none: an earlier version wrote the run, or somebody took it off; its files are held to what run.json "
    "has of some of them, and to what can be derived again"
)


def check_seal(manifest: Manifest, published: str | None = None) -> Iterator[Check]:
    """Whether everything in a run's folder is what its seal says; a line for each file that is not.

    Args:
        manifest: the run's `run.json`.
        published: the seal's digest as it was told elsewhere, at least its first 16 digits; None where it
            was not.

    Raises:
        RunFolderError: a seal that no run has written.
    """
    seal = manifest.seal
    if seal is None:
        yield Check("seal", published is None, UNSEALED)
        yield from _check_few(manifest)
        return
    fault = _fault(manifest, seal, published)
    beside = _beside(manifest.path)
    yield Check(
        "seal",
        not fault,
        fault or f"{seal.digest}, of {len(seal.files)} files and all that {MANIFEST} says{beside}",
    )
    present = files_of_run(manifest.path)
    broken = {breach.name: breach.how for breach in breaches(manifest.path, seal, present)}
    for name in sorted({*seal.files, *present}):
        if name in broken:
            yield Check(name, False, broken[name])
        elif "/" not in name:
            yield Check(name, True, "as sealed")


def check_signature(manifest: Manifest, signers: Path | None) -> Iterator[Check]:
    """Whether somebody of a list has signed the run; whatever there is without a list is only told.

    A signature starts another program, so that nothing is done about one that nobody has asked for.

    Args:
        manifest: the run's `run.json`.
        signers: who may have signed it; None where nobody asks.

    Raises:
        InputError: no such list, or no `ssh-keygen`.
    """
    signature = manifest.path / SIGNATURE
    if signers is None:
        if is_regular(signature):
            yield Check("signature", True, f"{SIGNATURE} is not looked at; --signers FILE says who may sign")
        return
    account = read_regular(manifest.path / MANIFEST, LARGEST_MANIFEST)
    who, fault = signer_of(account, signature, signers)
    if not fault and json.dumps(json.loads(account)) != json.dumps(manifest.values):
        fault = f"{MANIFEST} was changed meanwhile"
    yield Check("signature", not fault, fault or f"by {who}")


def _fault(manifest: Manifest, seal: Seal, published: str | None) -> str:
    """What is wrong with the seal itself; empty where nothing is."""
    if published is not None and not _is(seal.digest, published):
        return f"its digest is {seal.digest}, not the one that was published, {published:.64}"
    if digest_of(manifest.values) != seal.entries:
        return f"{MANIFEST} says something else than when it was sealed"
    if any(seal.files.get(name) != digest for name, digest in manifest.files.items()):
        return f"{MANIFEST} has two digests of one file"
    stray = next((name for name in seal.files if not is_file_of_run(name)), None)
    return "" if stray is None else f"it names {stray!r:.60}, which is no file of a run"


def _is(digest: str, published: str) -> bool:
    words = published.strip().lower()
    return len(words) >= _SHORTEST and digest.startswith(words)


def _beside(folder: Path) -> str:
    """What else lies in the folder, which no number rests on."""
    own = {name.split("/")[0] for name in files_of_run(folder)} | {MANIFEST, SIGNATURE}
    own |= {"parts", "adversarial", "substitutes"}
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in own)
    more = ", ..." if len(strangers) > 3 else ""
    return (
        f"; beside it lies {', '.join(strangers[:3])}{more}, which is no part of the run" if strangers else ""
    )


def _check_few(manifest: Manifest) -> Iterator[Check]:
    """The files that a run without a seal has digests of."""
    known = {SAMPLES, CANDIDATES, *FILE_NAMES.values()}
    digests: Mapping[str, str] = manifest.files
    present = {name for name in known if is_regular(manifest.path / name)}
    for name in sorted(present | (digests.keys() & known)):
        if name not in present:
            yield Check(name, False, "missing")
        elif name not in digests:
            yield Check(name, False, "not written by the run")
        elif sha256(manifest.path / name) != digests[name]:
            yield Check(name, False, "not as the run wrote it")
        else:
            yield Check(name, True, "as the run wrote it")
