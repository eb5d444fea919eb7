"""A run's files: `run.json`, its parts, `samples.parquet` and the tables, each written whole."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pandas as pd

from advbench.errors import RunError, RunFolderError
from advbench.files import (
    FolderLock,
    half_written,
    is_as_named,
    is_named_after,
    short_digest,
    write_whole,
)
from advbench.regular_files import is_regular, read_if_there
from advbench.results.records import join_samples
from advbench.results.shown import added_up, read_shown
from advbench.runs.claimed_folder import ClaimedFolder, claiming, looking_into, new_dated_folder
from advbench.runs.examples import Examples, pack_examples
from advbench.runs.manifest import MANIFEST, differences, keeps_examples, read_manifest, run_hash
from advbench.runs.provenance import OF_A_START, origin_of
from advbench.runs.samples import LARGEST, PARTS, SAMPLES, frame_of, pack_samples, read_table
from advbench.runs.seal import SEAL, seal_of
from advbench.runs.signature import SIGNATURE, sign

ADVERSARIAL = "adversarial"
SUBSTITUTES = "substitutes"
CANDIDATES = "substitutes.csv"
INDICATORS = "indicators.csv"

_FILES = (
    MANIFEST,
    SIGNATURE,
    SAMPLES,
    "table.csv",
    "table.md",
    "table.tex",
    "report.html",
    "table.json",
    f"{PARTS}/*.parquet",
    f"{ADVERSARIAL}/*.safetensors",
    CANDIDATES,
    INDICATORS,
    f"{SUBSTITUTES}/*.json",
    f"{SUBSTITUTES}/*.safetensors",
)
"""What a run writes, and so what another run may replace only when it is told to."""

SHOWN = "shown"
"""The entry of `run.json` that says how many images the model was shown; while a run is under way, before."""

_COMPANION = "examples"

LARGEST_LIST: Final = 16 << 20
"""Bytes of what a search for substitutes keeps of its candidates."""

LARGEST_NETWORK: Final = 256 << 20
"""Bytes of a network that it has fitted."""

_MOST = 2_000_000  # records of one batch


@dataclass
class RunFolder(ClaimedFolder):
    """The folder that one run writes to, as one of its processes sees it.

    Args:
        path: the folder.
        manifest: what `run.json` says.
        lock: keeps another run from writing here at the same time; gone with the process.
        rank: the process.
        parts: the number of the process's next part.
        known: the records that an earlier start of the same run has left.
        damaged: how many of its parts could not be read, and so are done again.
        shown: how many images earlier starts have shown to the model, as their parts say it.
        written: SHA-256 of each file that is not a part.
        promised: parts, examples and what the search has kept, by their paths in the folder: they are there
            when the run ends.
    """

    rank: int = 0
    parts: int = 0
    known: pd.DataFrame = field(default_factory=lambda: join_samples([]))
    damaged: int = 0
    shown: dict[str, int] = field(default_factory=lambda: added_up([]))
    written: dict[str, str] = field(default_factory=dict)
    promised: set[str] = field(default_factory=set)

    @property
    def origin(self) -> dict[str, str]:
        """Where the run's files come from, written into each of them."""
        return origin_of(self.manifest)

    def add_part(
        self,
        samples: pd.DataFrame,
        examples: Examples | None = None,
        shown: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Keep the records of one batch and rung; a crash after this line does not lose them.

        Args:
            samples: the records.
            examples: what belongs to them; the records do not count without.
            shown: how many images the model was shown since the part before.
        """
        companion = ""
        if examples is not None:
            contents = pack_examples(examples, self.origin)
            companion = self._part_name(contents, "safetensors")
            write_whole(self.path / ADVERSARIAL / companion, contents)
            self.promised.add(f"{ADVERSARIAL}/{companion}")
        contents = pack_samples(
            samples, {**self.origin, _COMPANION: companion, SHOWN: json.dumps(dict(shown))}
        )
        name = self._part_name(contents, "parquet")
        write_whole(self.path / PARTS / name, contents)
        self.promised.add(f"{PARTS}/{name}")
        self.parts += 1

    def write_samples(self, samples: pd.DataFrame) -> None:
        """Write the records of the whole run."""
        self._write(SAMPLES, pack_samples(samples, self.origin))

    def write_text(self, name: str, text: str) -> None:
        """Write a table."""
        self._write(name, text.encode())

    def seal(self, key: Path | None = None) -> None:
        """Write the last `run.json`, which ends the run: with a digest of everything that it leaves.

        Args:
            key: whom to sign it with; without one, a signature of what was there before is taken away.

        Raises:
            RunError: it could not be signed, or somebody has removed what it had finished.
        """
        (self.path / SIGNATURE).unlink(missing_ok=True)
        self.manifest.update(files=self.written)
        present = files_of_run(self.path)
        missing = sorted(self.promised.difference(present))
        if missing:
            more = f" and {len(missing) - 1} more files" if len(missing) > 1 else ""
            raise RunError(
                f"of the run's files, {self.path / missing[0]}{more} were removed while it went on. The same "
                "command makes what is missing."
            )
        seal = seal_of(self.path, present, self.manifest)
        self.update(**{SEAL: asdict(seal)})
        if key is not None:
            sign(self.account, key)

    def load(self, name: str) -> bytes | None:
        """What the search for substitutes has kept under a name, in this start or an earlier one."""
        return read_if_there(self.path / SUBSTITUTES / name, LARGEST_NETWORK)

    def save(self, name: str, contents: bytes) -> None:
        """Keep something of the search for substitutes."""
        (self.path / SUBSTITUTES).mkdir(exist_ok=True)
        write_whole(self.path / SUBSTITUTES / name, contents)
        self.promised.add(f"{SUBSTITUTES}/{name}")

    def discard(self) -> None:
        """Take back a run that found nothing: its files, and its folders where nothing else is in them."""
        for file in _present(self.path):
            file.unlink()
        for folder in (*(self.path / name for name in (PARTS, ADVERSARIAL, SUBSTITUTES)), self.path):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _write(self, name: str, contents: bytes) -> None:
        write_whole(self.path / name, contents)
        self.written[name] = hashlib.sha256(contents).hexdigest()

    def _part_name(self, contents: bytes, ending: str) -> str:
        return f"{self.rank:04d}-{self.parts:06d}-{short_digest(contents)}.{ending}"


def check_free(path: Path, manifest: Mapping[str, Any], *, overwrite: bool) -> None:
    """Refuse a folder that cannot take a run, before anything is computed or written.

    A folder that holds an earlier start of the same run can take it; what the run depends on and does not
    know yet (the fingerprint of its images) is compared when it is opened.

    Args:
        path: the folder, which need not exist.
        manifest: what is to be run, as far as it is known.
        overwrite: whether a run's files there may be replaced.

    Raises:
        RunFolderError: not a folder, or one that holds another run or files of the same names.
    """
    with looking_into(path):
        first_file = next(_present(path), None)
    if first_file is None or overwrite:
        return
    if not (path / MANIFEST).exists():
        stray = first_file.relative_to(path)
        raise RunFolderError(f"{path} holds {stray}, but no run. Give another --out, or --overwrite.")
    different = differences(_earlier(path), manifest)
    if different:
        more = f"; and {len(different) - 3} more" if len(different) > 3 else ""
        raise RunFolderError(
            f"{path} already holds another run ({'; '.join(different[:3])}{more}). Give another --out, or "
            "--overwrite to replace it."
        )


def open_folder(
    path: Path | None, label: str, manifest: Mapping[str, Any], *, overwrite: bool = False
) -> RunFolder:
    """Create the folder and write its first `run.json`, or go on with an earlier start of the same run.

    Args:
        path: the folder; None for a new dated one under `runs/`.
        label: what is run, for the name of a dated folder.
        manifest: what `run.json` says at first.
        overwrite: whether to begin anew where there is a run.

    Raises:
        RunFolderError: the folder cannot be written, or holds another run.
    """
    starts, before = [], read_shown(None)
    with claiming(path):
        folder = RunFolder(new_dated_folder(label) if path is None else path)
        for name in (PARTS, ADVERSARIAL) if keeps_examples(manifest) else (PARTS,):
            (folder.path / name).mkdir(parents=True, exist_ok=True)
        folder.lock = FolderLock(folder.path)
        check_free(folder.path, manifest, overwrite=overwrite)
        if not overwrite and folder.account.exists():
            earlier = _earlier(folder.path)
            starts, before = earlier_starts(earlier), read_shown(earlier.get(SHOWN))
            _clean_up(folder)
            _read_parts(folder)
        else:
            for old in _present(folder.path):
                old.unlink()
    if sum(before.values()) < sum(folder.shown.values()):
        before = folder.shown
    folder.update(**manifest, earlier_starts=starts, hash=run_hash(manifest), **{SHOWN: before})
    return folder


def join_folder(path: Path, rank: int) -> RunFolder:
    """The folder that another process of the same run has opened."""
    manifest = read_manifest(path)
    (path / PARTS).mkdir(parents=True, exist_ok=True)
    folder = RunFolder(path, manifest, rank=rank)
    _read_parts(folder)
    return folder


def _earlier(path: Path) -> dict[str, Any]:
    try:
        return read_manifest(path)
    except RunFolderError as error:
        raise RunFolderError(f"{error} Give another --out, or --overwrite.") from error


def earlier_starts(manifest: Mapping[str, Any]) -> list[Any]:
    """How the run was started before: what its records may come from beside this start."""
    before = manifest.get("earlier_starts")
    return [
        *(before if isinstance(before, list) else []),
        {name: manifest[name] for name in OF_A_START if name in manifest},
    ]


def _clean_up(folder: RunFolder) -> None:
    """Remove what a crash has left half-done, and parts that are not what they were."""
    for name in (".", PARTS, ADVERSARIAL, SUBSTITUTES):
        for half in half_written(folder.path / name):
            half.unlink()
    companions = set()
    for part in _part_files(folder):
        contents = _read_part(folder, part)
        if contents is None:
            part.unlink()
            folder.damaged += 1
        else:
            companions.add(contents.companion)
    for examples in (folder.path / ADVERSARIAL).glob("*.safetensors"):
        if examples.name not in companions:
            examples.unlink()


def _read_parts(folder: RunFolder) -> None:
    """Take over what an earlier start has finished."""
    readable = []
    for part in _part_files(folder):
        contents = _read_part(folder, part)
        if contents is not None:
            readable.append(contents)
            folder.promised.add(f"{PARTS}/{part.name}")
            folder.promised |= {f"{ADVERSARIAL}/{name}" for name in [contents.companion] if name}
        rank, number = (*part.name.split("-"), "")[:2]
        if number.isdigit() and rank == f"{folder.rank:04d}":
            folder.parts = max(folder.parts, int(number) + 1)
    if readable:
        known = frame_of([part.table for part in readable])
        folder.known = known.drop_duplicates(["index", "rung", "defense", "attack"])
        folder.shown = added_up([part.shown for part in readable])


def _part_files(folder: RunFolder) -> list[Path]:
    return sorted(path for path in (folder.path / PARTS).glob("*.parquet") if is_regular(path))


class Part(NamedTuple):
    """What a part holds."""

    table: Any
    """Its records, as a table of pyarrow."""
    companion: str
    """The name of the examples that belong to the records; empty where none do."""
    shown: dict[str, int]
    origin: Mapping[str, Any]
    """Where it comes from."""


def part_of(contents: bytes, most: int) -> Part:
    """The part that a file holds.

    Args:
        contents: of the file.
        most: how many records it may hold.

    Raises:
        RunFolderError: a sentence on what is wrong with the file.
    """
    table, origin = read_table(contents, most)
    companion = Path(str(origin.get(_COMPANION, ""))).name
    return Part(table, companion, _read_counts(origin.get(SHOWN)), origin)


def _read_part(folder: RunFolder, path: Path) -> Part | None:
    """A part; None if it or its examples are damaged."""
    contents = read_if_there(path, LARGEST)
    if contents is None or not is_named_after(path, contents):
        return None
    try:
        part = part_of(contents, _MOST)
        frame_of([part.table])
    except RunFolderError:
        return None
    if part.companion:
        examples = folder.path / ADVERSARIAL / part.companion
        if not is_as_written(examples):
            return None
    return part


def _read_counts(text: Any) -> dict[str, int]:
    try:
        return read_shown(json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return read_shown(None)


def _present(path: Path) -> Iterator[Path]:
    """The files of a run that are there, with those that a crash left half-written."""
    for pattern in _FILES:
        home, name = path / Path(pattern).parent, Path(pattern).name
        yield from home.glob(name)
        yield from half_written(home, name)


def files_of_run(path: Path) -> list[str]:
    """The paths, in a run's folder, of what a seal holds: all but `run.json` and its signature."""
    whole = [name for pattern in _FILES for name in path.glob(pattern) if is_regular(name)]
    return sorted(
        name.relative_to(path).as_posix() for name in whole if name.name not in (MANIFEST, SIGNATURE)
    )


def is_file_of_run(name: str) -> bool:
    """Whether a path in a run's folder is one that runs write to."""
    path = PurePosixPath(name)
    return any(
        path.match(pattern) and len(path.parts) == len(PurePosixPath(pattern).parts) for pattern in _FILES
    )


def is_as_written(path: Path) -> bool:
    """Whether a part or a file of examples is there and still holds what its name says."""
    return is_as_named(path)
