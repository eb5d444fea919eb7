"""What a run's `run.json` claims, read with suspicion: it may have been forged.

Nothing that it names is run: built-in and installed models and defenses are looked up by name, weights are
read as weights, and code of the user's own must be named again by whoever verifies.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from advbench.errors import RunFolderError
from advbench.jobs.black_box import names_pickle
from advbench.jobs.budget import check_budget
from advbench.jobs.settings.subject import NormName, SpaceName, SubjectOptions
from advbench.jobs.settings.verify import VerifySettings
from advbench.models.checkpoint.formats import Format
from advbench.models.libraries import names_library
from advbench.names.grammar import parse_chain, parse_spec
from advbench.names.user_code import names_user_code
from advbench.results.indicators import TESTS, Test
from advbench.results.judging import MAJORITY, Judge, check_rule
from advbench.results.records import ASKABLE, Rung
from advbench.results.table import Heading
from advbench.runs.manifest import Manifest
from advbench.runs.read import StandIn
from advbench.runs.typed_json import Count, Index

Kept = Literal["all", "successful"]

_PROGRAMS: Final = (Format.TORCHSCRIPT.value, Format.EXPORTED.value)
_LARGEST_BATCH: Final = 4096


@dataclass(frozen=True, kw_only=True)
class _ClassNames:
    outputs: Mapping[str, Index]
    count: Count


NOTHING: Final = StandIn(name="")


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The settings that say what was attacked, and how it was judged."""

    model: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: str | None = None
    dataset: str
    split: str
    image_size: Count | None = None
    channels: Count | None = None
    image_column: str | None = None
    label_column: str | None = None
    class_names: _ClassNames | None = None
    limit: Count | None = None
    first: Count | None = None
    seed: Index
    norm: NormName
    eps: str
    attacks: Mapping[str, Any]
    defenses: Mapping[str, Any]
    gradient_free: Mapping[str, Any]
    rungs: tuple[str, ...]
    tests: tuple[str, ...] = ()
    judge_draws: Count
    judge: str = MAJORITY
    random_model: bool = False
    members: tuple[str, ...] = ()
    smooth: str | None = None
    substitute: tuple[str, ...] | None = None
    save_adversarial: Kept
    fpr: float | None = None
    reject_class: str | None = None
    space: SpaceName | None = None
    preparation: Mapping[str, Any] | None = None
    surrogate: StandIn | None = None
    source: StandIn | None = None
    label_only: Mapping[str, Any] = field(default_factory=dict)
    black_box: str | None = None
    read_as: str = ""


@dataclass(frozen=True, kw_only=True)
class _Execution:
    data_root: str
    batch_size: Count


@dataclass(frozen=True, kw_only=True)
class _Checkpoint:
    source: str
    path: str | None = None
    sha256: str | None = None
    members: tuple[str, ...] = ()


class Recorded(NamedTuple):
    """What a run says of the examples that it has kept, and of the images that they belong to."""

    kept: Kept
    subject: SubjectOptions
    """Its model and defenses are not named: nothing that the run says of code is taken on trust."""
    settings: _Settings


@dataclass(frozen=True, kw_only=True)
class Claims:
    """A run's own account of itself.

    Args:
        subject: what was attacked, as the words of a command.
        model: the model's name in the table.
        attacks: the attacks' names in the table.
        rungs: what was run beside the clean rung.
        tests: what was measured beside the ladder.
        gradient_free: the attack of the gradient-free rung; empty without.
        label_only: the attack of the label-only rung; empty without.
        substitutes: what was to stand in for the defenses; empty for what each lists.
        heading: what the run says its table is about: its doubts, notes and indicators are nowhere else.
        kept: which examples were kept.
        batch_size: how many clean images were judged at a time.
        judge: how random defenses were judged.
        checkpoint_sha256: of the checkpoint; None for a factory's own weights.
        members_sha256: of the other checkpoints of an ensemble, in their order.
        preparation: how a library's model prepared pictures; None for any other.
        surrogate: what was differentiated in place of the model; without a name where nothing was.
        source: what the static examples were made on, by name; empty for the undefended model.
        read_as: what the model's numbers were taken for; empty for logits.
        manifest: all of it.
    """

    subject: SubjectOptions
    model: str
    attacks: tuple[str, ...]
    rungs: tuple[Rung, ...]
    tests: tuple[Test, ...]
    gradient_free: str
    label_only: str
    substitutes: tuple[str, ...]
    heading: Heading
    kept: Kept
    batch_size: int
    judge: Judge
    checkpoint_sha256: str | None
    members_sha256: tuple[str, ...]
    preparation: Mapping[str, Any] | None
    surrogate: StandIn
    source: str
    read_as: str
    manifest: Manifest


def claims_of(manifest: Manifest, settings: VerifySettings) -> Claims:
    """Read the claims of a finished run.

    Raises:
        RunFolderError: an unfinished run, one without examples, one that needs code of the user's, or
            entries that no run has written, or more steps than a verification takes without being told.
    """
    kept, subject, run_settings = recorded_of(manifest, settings.data_root)
    if not settings.no_limit:
        check_budget(run_settings.defenses, run_settings.judge_draws)
    checkpoint = manifest.group("checkpoint", _Checkpoint)
    return Claims(
        subject=dataclasses.replace(
            subject,
            checkpoint=settings.checkpoint or (None if checkpoint.path is None else Path(checkpoint.path)),
            model=_model(run_settings.model, checkpoint.source in _PROGRAMS, settings),
            mean=None if subject.black_box else _constants("mean", run_settings.mean),
            std=None if subject.black_box else _constants("std", run_settings.std),
            weights=run_settings.weights,
            trust_program=settings.trust_program,
            members=settings.members or tuple(map(Path, checkpoint.members)),
            defenses=_defenses(run_settings.defenses, settings),
            device=settings.device,
        ),
        model=run_settings.model,
        attacks=tuple(run_settings.attacks),
        rungs=tuple(rung for rung in ASKABLE if rung in run_settings.rungs),
        tests=tuple(test for test in TESTS if test in run_settings.tests),
        gradient_free="".join(run_settings.gradient_free),
        label_only="".join(run_settings.label_only),
        substitutes=run_settings.substitute or (),
        heading=manifest.heading,
        kept=kept,
        batch_size=min(manifest.group("execution", _Execution).batch_size, _LARGEST_BATCH),
        judge=Judge(check_rule(run_settings.judge, "run.json: settings.judge"), run_settings.judge_draws),
        checkpoint_sha256=checkpoint.sha256,
        members_sha256=run_settings.members,
        preparation=run_settings.preparation,
        surrogate=run_settings.surrogate or NOTHING,
        source=(run_settings.source or run_settings.surrogate or NOTHING).name,
        read_as=run_settings.read_as,
        manifest=manifest,
    )


def recorded_of(manifest: Manifest, data_root: Path | None) -> Recorded:
    """What a finished run says of its images and its kept examples; no code that it names is looked at.

    Args:
        manifest: its `run.json`.
        data_root: where the data set is now; None for where it was.

    Raises:
        RunFolderError: an unfinished run, one without examples, or entries that no run has written.
    """
    if not manifest.is_done:
        raise RunFolderError(
            f"{manifest.path} is not finished (status {manifest.status!r:.60}): the same command with --out "
            f"{manifest.path} goes on with it."
        )
    if not manifest.keeps_examples:
        raise RunFolderError(
            f"{manifest.path} has kept no adversarial examples, so there is nothing to judge again. Run the "
            "attack with --save-adversarial."
        )
    run_settings = manifest.group("settings", _Settings)
    subject = SubjectOptions(
        checkpoint=None,
        model=None,
        dataset=run_settings.dataset,
        data_root=data_root or Path(manifest.group("execution", _Execution).data_root),
        split=run_settings.split,
        image_size=run_settings.image_size,
        channels=run_settings.channels,
        image_column=run_settings.image_column,
        label_column=run_settings.label_column,
        class_names=_class_names(run_settings.class_names),
        limit=run_settings.limit,
        first=run_settings.first,
        seed=run_settings.seed,
        norm=run_settings.norm,
        eps=run_settings.eps,
        fpr=run_settings.fpr,
        reject_class=run_settings.reject_class,
        device="cpu",
        random_model=run_settings.random_model,
        smooth=run_settings.smooth,
        space=run_settings.space,
        black_box=run_settings.black_box is not None,
        black_box_form=run_settings.black_box,
    )
    return Recorded(run_settings.save_adversarial, subject, run_settings)


def _class_names(class_names: _ClassNames | None) -> tuple[tuple[tuple[str, int], ...], int] | None:
    return None if class_names is None else (tuple(class_names.outputs.items()), class_names.count)


def _constants(name: str, numbers: tuple[float, ...]) -> str:
    """A normalisation's constants as words; none would mean that they are to be looked for."""
    if not numbers:
        raise RunFolderError(f"run.json: settings.{name} must be a list of numbers, got [].")
    return ",".join(repr(float(number)) for number in numbers)


def _model(recorded: str, program: bool, settings: VerifySettings) -> str | None:
    """The model's name as the loader wants it; None for a program, which names itself."""
    if settings.model is not None or program:
        return settings.model
    name = parse_spec(recorded).name
    if (names_user_code(name) and not names_library(name)) or names_pickle(name):
        raise RunFolderError(
            f"the run's model is {recorded!r}, code that no run folder can ask to be run. Where it is yours, "
            "name it again with --model."
        )
    return recorded


def _defenses(recorded: Mapping[str, Any], settings: VerifySettings) -> tuple[str, ...]:
    for text in recorded:
        own = any(names_user_code(spec.name) for spec in parse_chain(text))
        if own and text not in map(str.strip, settings.defenses):
            raise RunFolderError(
                f"the run's defense is {text!r}, code that no run folder can ask to be run. Where it is "
                f"yours, name it again with --defense {text}."
            )
    return tuple(recorded)
