"""What a run's `run.json` claims, read with suspicion: it may have been forged.

Nothing that it names is run: built-in and installed models and defenses are looked up by name, weights are
read as weights, and code of the user's own must be named again on the command line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, cast, get_args

from advbench.errors import RunFolderError
from advbench.jobs.settings.subject import NormName, SubjectOptions
from advbench.jobs.settings.verify import VerifySettings
from advbench.models.checkpoint.formats import Format
from advbench.names.grammar import parse_chain, parse_spec
from advbench.names.user_code import names_user_code
from advbench.results.indicators import Indicator, read_indicator
from advbench.results.records import LADDER, Rung
from advbench.runs.manifest import run_hash

_PROGRAMS = (Format.TORCHSCRIPT.value, Format.EXPORTED.value)
_MISSING = object()
_LARGEST_BATCH = 4096
_MOST_DRAWS = 10_000


@dataclass(frozen=True, kw_only=True)
class Claims:
    """A run's own account of itself.

    Args:
        subject: what was attacked, as the words of a command.
        model: the model's name in the table.
        attacks: the attacks' names in the table.
        rungs: what was run beside the clean rung.
        gradient_free: the attack of the gradient-free rung; empty without.
        indicators: what the run measured of its attacks.
        doubts: for each defense, what the run said against its numbers.
        notes: what the run said of how it understood the model.
        rules: by which table of decisions its verdicts were written.
        substitutes: for each defense, what stood in for it, as the table names it.
        kept: which examples were kept.
        batch_size: how many clean images were judged at a time.
        judge_draws: in how many draws of a random defense an example was judged.
        checkpoint_sha256: of the checkpoint; None for a factory's own weights.
        fingerprint: of the images.
        n: how many images there were.
        files: SHA-256 of each file, by name.
        hash_holds: whether the settings are those that `hash` was made of.
        manifest: all of it.
    """

    subject: SubjectOptions
    model: str
    attacks: tuple[str, ...]
    rungs: tuple[Rung, ...]
    gradient_free: str
    indicators: tuple[Indicator, ...]
    doubts: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    rules: int
    substitutes: Mapping[str, str]
    kept: Literal["all", "successful"]
    batch_size: int
    judge_draws: int
    checkpoint_sha256: str | None
    fingerprint: str
    n: int
    files: Mapping[str, str]
    hash_holds: bool
    manifest: Mapping[str, Any]


def claims_of(manifest: Mapping[str, Any], options: VerifySettings) -> Claims:
    """Read the claims of a finished run.

    Raises:
        RunFolderError: an unfinished run, one without examples, one that needs code of the user's, or
            entries that no run has written.
    """
    said = _Entries(manifest, "")
    status = said.text("status")
    if status != "done":
        raise RunFolderError(
            f"{options.run} is not finished (status {status!r}): the same command with --out {options.run} "
            "goes on with it."
        )
    settings = said.inside("settings")
    kept = settings.optional_text("save_adversarial")
    if kept not in ("all", "successful"):
        raise RunFolderError(
            f"{options.run} has kept no adversarial examples, so there is nothing to judge again. Run the "
            "attack with --save-adversarial."
        )
    doubts, substitutes = (said.inside("heading").inside(name) for name in ("doubts", "substitutes"))
    return Claims(
        subject=_subject(said, settings, options),
        model=settings.text("model"),
        attacks=tuple(settings.inside("attacks").values),
        rungs=tuple(each for each in LADDER if each in settings.texts("rungs")),
        gradient_free="".join(settings.inside("gradient_free").values),
        indicators=_indicators(said.inside("heading")),
        notes=said.inside("heading").texts("notes") if "notes" in said.inside("heading").values else (),
        doubts={defense: doubts.texts(defense) for defense in doubts.values},
        rules=said.inside("heading").optional_number("rules") or 1,
        substitutes={defense: substitutes.text(defense) for defense in substitutes.values},
        kept=cast("Literal['all', 'successful']", kept),
        batch_size=min(said.inside("execution").number("batch_size"), _LARGEST_BATCH),
        judge_draws=min(settings.number("judge_draws"), _MOST_DRAWS),
        checkpoint_sha256=said.inside("checkpoint").optional_text("sha256"),
        fingerprint=said.inside("data").text("fingerprint"),
        n=said.inside("data").number("n"),
        files={name: said.inside("files").text(name) for name in said.inside("files").values},
        hash_holds=run_hash(manifest) == said.text("hash"),
        manifest=manifest,
    )


def _subject(said: "_Entries", settings: "_Entries", options: VerifySettings) -> SubjectOptions:
    checkpoint = said.inside("checkpoint")
    path, root = checkpoint.optional_text("path"), said.inside("execution").text("data_root")
    norm = settings.text("norm")
    if norm not in get_args(NormName):
        raise RunFolderError(f"run.json: there is no norm {norm!r}.")
    return SubjectOptions(
        checkpoint=options.checkpoint or (None if path is None else Path(path)),
        model=_model(settings.text("model"), checkpoint.text("source") in _PROGRAMS, options),
        mean=",".join(settings.numbers("mean")),
        std=",".join(settings.numbers("std")),
        trust_program=options.trust_program,
        weights=settings.optional_text("weights"),
        dataset=settings.text("dataset"),
        data_root=options.data_root or Path(root),
        split=settings.text("split"),
        download=False,
        image_size=settings.optional_number("image_size"),
        channels=settings.optional_number("channels"),
        class_names=_class_names(settings),
        limit=settings.optional_number("limit"),
        first=settings.optional_number("first"),
        seed=settings.number("seed", least=0),
        defenses=_defenses(settings, options),
        norm=cast("NormName", norm),
        eps=settings.text("eps"),
        device=options.device,
    )


def _class_names(settings: "_Entries") -> tuple[tuple[tuple[str, int], ...], int] | None:
    if settings.values.get("class_names") is None:
        return None
    said = settings.inside("class_names")
    outputs = said.inside("outputs")
    return tuple((name, outputs.number(name, least=0)) for name in outputs.values), said.number("count")


def _indicators(heading: "_Entries") -> tuple[Indicator, ...]:
    said = heading.values.get("indicators")
    if not isinstance(said, list):
        raise RunFolderError("run.json: heading.indicators is missing or no list.")
    try:
        return tuple(map(read_indicator, said))
    except ValueError as error:
        raise RunFolderError(f"run.json: heading.indicators holds what is none: {error}.") from error


def _model(recorded: str, program: bool, options: VerifySettings) -> str | None:
    """The model's name as the loader wants it; None for a program, which names itself."""
    if options.model is not None or program:
        return options.model
    if names_user_code(parse_spec(recorded).name):
        raise RunFolderError(
            f"the run's model is {recorded!r}, code that no run folder can ask to be run. Where it is yours, "
            "name it again with --model."
        )
    return recorded


def _defenses(settings: "_Entries", options: VerifySettings) -> tuple[str, ...]:
    recorded = tuple(settings.inside("defenses").values)
    for text in recorded:
        own = any(names_user_code(spec.name) for spec in parse_chain(text))
        if own and text not in map(str.strip, options.defenses):
            raise RunFolderError(
                f"the run's defense is {text!r}, code that no run folder can ask to be run. Where it is "
                f"yours, name it again with --defense {text}."
            )
    return recorded


class _Entries:
    """A group of `run.json`; every entry is asked for with its type."""

    def __init__(self, values: Any, name: str) -> None:
        if not isinstance(values, Mapping):
            what = name.rstrip(".") or "the file"
            raise RunFolderError(f"run.json: {what} must be a group of entries, got {values!r:.60}.")
        self.values: Mapping[str, Any] = values
        self.name = name

    def inside(self, name: str) -> "_Entries":
        return _Entries(self._get(name), f"{self.name}{name}.")

    def text(self, name: str) -> str:
        value = self._get(name)
        if not isinstance(value, str):
            self._refuse(name, "a text")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.values.get(name) is None else self.text(name)

    def number(self, name: str, least: int = 1) -> int:
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 62:
            self._refuse(name, f"a whole number of at least {least}")
        return int(value)

    def optional_number(self, name: str) -> int | None:
        return None if self.values.get(name) is None else self.number(name)

    def flag(self, name: str) -> bool:
        value = self._get(name)
        if not isinstance(value, bool):
            self._refuse(name, "true or false")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._get(name)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self._refuse(name, "a list of texts")
        return tuple(value)

    def numbers(self, name: str) -> list[str]:
        value = self._get(name)
        are_numbers = isinstance(value, list) and all(isinstance(each, float | int) for each in value)
        if not are_numbers or not value:
            self._refuse(name, "a list of numbers")
        return [repr(float(each)) for each in value]

    def _get(self, name: str) -> Any:
        value = self.values.get(name, _MISSING)
        if value is _MISSING:
            self._refuse(name, "there")
        return value

    def _refuse(self, name: str, wanted: str) -> NoReturn:
        got = self.values.get(name, "nothing")
        raise RunFolderError(f"run.json: {self.name}{name} must be {wanted}, got {got!r:.60}.")
