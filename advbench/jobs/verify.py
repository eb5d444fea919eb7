"""A run's evidence checked again, from its folder to a line for each thing that was looked at."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
from torch import nn

from advbench.data.batches import batches, read_batch
from advbench.defended.adaptation import adaptation_in
from advbench.defended.left_as_found import prepared
from advbench.defended.surrogate import MADE_BY_RUNS
from advbench.errors import RunFolderError
from advbench.evaluation.clean_pass import fingerprint, image_digests
from advbench.evaluation.measure_indicators import PROBED
from advbench.evaluation.plan import defense_chains, judging_of, substitutes_of
from advbench.evaluation.settle_detectors import Looks, Settlement, settled
from advbench.files import sha256
from advbench.jobs.build_subject import Subject, load_subject
from advbench.jobs.build_surrogate import make_surrogate
from advbench.jobs.check import Check
from advbench.jobs.compare_records import check_records
from advbench.jobs.left_as_found import left_as_found
from advbench.jobs.objects import NO_OBJECTS, Objects, check_given_again
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.keywords import said_in_keywords, settings_from_keywords, with_keywords
from advbench.jobs.settings.verify import VerifySettings
from advbench.jobs.share_of_batches import sentences_of
from advbench.jobs.state_digest import state_digest
from advbench.jobs.untrusted_run import Claims, claims_of
from advbench.jobs.verify_parts import check_parts
from advbench.jobs.verify_rungs import check_rungs
from advbench.jobs.verify_seal import check_seal, check_signature
from advbench.jobs.verify_statistics import check_statistics
from advbench.jobs.verify_substitutes import check_indicators, check_substitutes
from advbench.jobs.verify_tables import check_tables
from advbench.jobs.words_or_objects import data_of, defenses_of, model_of, stand_in_of
from advbench.models.hub import digest_of
from advbench.models.network import bundled_weights
from advbench.names.grammar import parse_spec
from advbench.regular_files import is_regular, read_regular
from advbench.results.detecting import same_thresholds
from advbench.results.table import Heading
from advbench.runs.manifest import entry, open_manifest
from advbench.runs.read import misnamed
from advbench.runs.samples import LARGEST, SAMPLES, read_samples
from advbench.speed.batch_size import BatchSize

_READ = 256  # images at a time

UNPROVED: Final = (
    "when, where, by which command and with which versions the run was made, its notes, and what model and "
    "data set are called beyond the settings: the run's own word"
)
ON_THE_WAY: Final = "what attacks met on their way (steps, queries, losses)"
MEASURED: Final = f"figures of indicators, doubts and substitutes, and {ON_THE_WAY}, which --deep makes again"
BEYOND: Final = f"{ON_THE_WAY} on images beyond the sample that was attacked again"


@with_keywords(VerifySettings)
def verify(
    run: str | os.PathLike[str],
    *,
    model: Any = None,
    data: Any = None,
    defenses: Any = (),
    surrogate: Any = None,
    **settings: Any,
) -> list[Check]:
    """Check a run's examples, predictions, files and tables against model, defenses and data, attack-free.

    What `advbench verify` does, with its options as keywords. Nothing is printed; what disagrees is a check
    that does not hold, and no error.

    Args:
        run: folder of a run that kept its adversarial examples.
        model: as in `advbench.run`, where the run's folder cannot name it: a module, or code of your own.
        data: likewise.
        defenses: likewise; those of the run that are not given are looked up by their names.
        surrogate: likewise; `deep` alone needs it.
        settings: the options.

    Returns:
        Everything that was checked; where nothing can be judged any more (another checkpoint, other images)
        the last check is the one that says so.

    Raises:
        InputError: a folder that holds no finished run with examples, or a model or data set that cannot
            be loaded.
    """
    words, own = {"run": run, **settings}, dict[str, Any]()
    if model is not None:
        words["model"], own["model"] = model_of(model)
    if data is not None:
        _, own["images"] = data_of(data)
    words["defenses"], own["defenses"] = defenses_of(defenses)
    if surrogate is not None:
        words["surrogate"] = surrogate
        if not isinstance(surrogate, str):
            own["surrogate"] = stand_in_of(surrogate, "surrogate")
            words["surrogate"] = own["surrogate"].name
    verify_settings = settings_from_keywords(VerifySettings, "verify", words)
    with said_in_keywords(VerifySettings), left_as_found():
        return list(check_run(verify_settings, Objects(**own)))


def check_run(settings: VerifySettings, objects: Objects = NO_OBJECTS) -> Iterator[Check]:
    """Check a run, and give each thing as soon as it was looked at.

    Args:
        settings: what the verification is told.
        objects: what is given as objects, under the names that the run has.

    Raises:
        InputError: a folder that holds no finished run with examples, or a model or data set that cannot
            be loaded.
    """
    manifest = open_manifest(settings.run)
    check_given_again(manifest.values, objects, settings.run)
    claims = claims_of(manifest, settings)
    yield _check_manifest(claims)
    yield from check_seal(manifest, settings.seal)
    yield from check_signature(manifest, settings.signers)
    checkpoint = _check_checkpoint(claims) if objects.model is None else _check_module(claims, objects.model)
    yield checkpoint
    if not checkpoint.holds:
        return
    members = _check_members(claims) if claims.members_sha256 or claims.subject.members else None
    if members is not None:
        yield members
        if not members.holds:
            return
    subject = load_subject(claims.subject, Ranks(), claims.batch_size, objects)
    if claims.preparation is not None or subject.classifier.library is not None:
        yield _check_preparation(claims, subject)
    images = _check_images(claims, subject)
    yield images
    if not images.holds:
        return
    recorded = entry(claims.manifest.values, "settings", "defenses")
    statistics = check_statistics(recorded, subject.defenses.settings)
    if statistics is not None:
        yield statistics
    heading = _heading(claims, subject)
    settlement, detectors = _settled(claims, subject)
    if detectors is not None:
        yield detectors
    yield from _check_protocols(heading, settlement)
    samples, records = _check_samples(settings.run, heading, subject)
    yield records
    if samples is None:
        return
    yield from check_parts(manifest, samples)
    yield from check_tables(manifest, samples, heading, settings.data_root)
    yield from _check_measured(claims, subject, samples, heading)
    yield from check_rungs(claims, settings, subject, heading, chains=settlement.chains, samples=samples)
    if settings.deep:
        from advbench.jobs.verify_deep import check_deeply  # noqa: PLC0415  # knows the attacks

        given = make_surrogate(
            claims.surrogate.name if claims.surrogate.name in MADE_BY_RUNS else settings.surrogate,
            objects.surrogate,
            subject.classifier,
            subject.device,
            len(subject.images.classes),
        )
        yield from check_deeply(
            claims, subject, samples, heading, settlement, given, no_limit=settings.no_limit
        )
    more = MEASURED if not settings.deep else BEYOND if len(subject.indices) > PROBED else ""
    yield Check("not proved", True, "; ".join(filter(None, (more, UNPROVED))))


def _check_manifest(claims: Claims) -> Check:
    """Whether the settings are those of the run, and the table is said to be about nothing else."""
    if not claims.manifest.hash_holds:
        return Check("run.json", False, "its settings are not those that the run was hashed with")
    if name := misnamed(claims.manifest):
        return Check("run.json", False, f"its heading and its settings name another {name}")
    return Check("run.json", True, "its settings are those that the run was hashed with")


def _check_checkpoint(claims: Claims) -> Check:
    """Before anything is loaded: another checkpoint would be another model."""
    path = claims.subject.checkpoint
    if path is None and claims.subject.model is not None:
        path = bundled_weights(parse_spec(claims.subject.model))
    if path is None or claims.checkpoint_sha256 is None:
        return Check("checkpoint", True, "none: the weights are the model's own, and were not recorded")
    if not is_regular(path):
        raise RunFolderError(f"the run's checkpoint {path} is not there; give --checkpoint FILE.")
    digest = digest_of(path)
    if digest == claims.checkpoint_sha256:
        return Check("checkpoint", True, f"{path.name} as recorded, SHA-256 {digest[:16]}...")
    return Check(
        "checkpoint",
        False,
        f"{path} has SHA-256 {digest[:16]}..., the run's had {claims.checkpoint_sha256[:16]}...; nothing "
        "can be judged with it",
    )


def _check_members(claims: Claims) -> Check:
    """Whether the other checkpoints of an ensemble are those that were recorded, in their order."""
    for path in claims.subject.members:
        if not is_regular(path):
            raise RunFolderError(
                f"the run's member {path} is not there; give --member FILE for each of them."
            )
    digests = tuple(map(sha256, claims.subject.members))
    holds = digests == claims.members_sha256
    sentence = f"{len(digests)} beside the checkpoint, as recorded"
    return Check(
        "members",
        holds,
        sentence if holds else "other checkpoints than the run's; nothing can be judged with them",
    )


def _check_module(claims: Claims, model: nn.Module) -> Check:
    digest = state_digest(model)
    if digest == claims.checkpoint_sha256:
        return Check("checkpoint", True, f"the module as recorded, digest {digest[:16]}...")
    return Check(
        "checkpoint", False, "the module is not the one that the run attacked; nothing can be judged with it"
    )


def _check_preparation(claims: Claims, subject: Subject) -> Check:
    """Whether a library's model prepares pictures as it did in the run."""
    library = subject.classifier.library
    now = None if library is None else library.settings["preparation"]
    if now == claims.preparation and library is not None:
        return Check("preprocessing", True, f"as recorded, by {library.described.library}")
    before = claims.preparation or {}
    wrong = sorted(key for key in {**before, **(now or {})} if before.get(key) != (now or {}).get(key))
    return Check("preprocessing", False, f"another than the run's: {', '.join(wrong) or 'none'}")


def _check_images(claims: Claims, subject: Subject) -> Check:
    """Whether the images and labels are those that were attacked."""
    if len(subject.indices) != claims.manifest.n:
        return Check(
            "images", False, f"{len(subject.indices)} of {subject.dataset}, the run had {claims.manifest.n}"
        )
    digests: dict[int, bytes] = {}
    for batch in batches(subject.images, subject.indices, _READ):
        digests.update(image_digests(batch))
    if fingerprint(digests) != claims.manifest.fingerprint:
        return Check("images", False, f"those of {subject.dataset} are not the ones that the run used")
    return Check("images", True, f"{claims.manifest.n} of {subject.dataset}, the ones that the run used")


def _heading(claims: Claims, subject: Subject) -> Heading:
    return Heading(
        model=claims.model,
        dataset=subject.dataset,
        norm=subject.threat.norm,
        eps=subject.threat.text,
        attacks=claims.attacks,
        substitutes={
            defense: claims.heading.substitutes.get(defense, own)
            for defense, own in substitutes_of(defense_chains(subject.defenses.objects)).items()
        },
        surrogate=claims.heading.surrogate,
        source=claims.source,
        rungs=claims.rungs,
        gradient_free=claims.gradient_free,
        label_only=claims.label_only,
        indicators=claims.heading.indicators,
        doubts=claims.heading.doubts,
        notes=claims.heading.notes,
        detectors=claims.heading.detectors,
        rules=claims.heading.rules,
        judging=judging_of(claims.judge, defense_chains(subject.defenses.objects), subject.classifier.model),
    )


def _settled(claims: Claims, subject: Subject) -> tuple[Settlement, Check | None]:
    """The defenses, with detectors that refuse where clean images say; and whether the run's did so."""
    model, size = subject.classifier.model, BatchSize(claims.batch_size)
    looks = Looks(
        model=model,
        dataset=subject.images,
        images=subject.indices,
        seed=claims.subject.seed,
        size=size,
    )
    with torch.inference_mode(False), prepared(model):
        settlement = settled(looks, defense_chains(subject.defenses.objects))
    recorded = claims.heading.detectors
    if not settlement.detecting and not recorded:
        return settlement, None
    wrong = [
        defense
        for defense in {**settlement.detecting, **recorded}
        if not same_thresholds(settlement.detecting.get(defense, ()), recorded.get(defense, ()))
    ]
    sentence = (
        f"other thresholds than clean images give: {', '.join(wrong)}" if wrong else "thresholds as recorded"
    )
    return settlement, Check("detectors", not wrong, sentence)


def _check_protocols(heading: Heading, settlement: Settlement) -> Iterator[Check]:
    """Whether the table says in which batches a model that adapts was judged."""
    sentences = sentences_of(settlement.chains)
    if sentences:
        untold = [sentence for sentence in sentences if sentence not in heading.notes]
        wrong = f"the notes do not say {untold[0]!r}" if untold else ""
        yield Check("protocols", not wrong, wrong or "; ".join(sentences))


def _check_samples(run: Path, heading: Heading, subject: Subject) -> tuple[pd.DataFrame | None, Check]:
    """The records, if they can be used at all."""
    expected = len(heading.cells()) * len(subject.indices)
    try:
        samples, _ = read_samples(read_regular(run / SAMPLES, LARGEST), expected)
    except OSError as error:
        return None, Check("records", False, f"{SAMPLES}: {error.strerror}")
    except RunFolderError as error:
        return None, Check("records", False, f"{SAMPLES}: {error}")
    chains = defense_chains(subject.defenses.objects)
    adapting = {defense for defense, chain in chains.items() if adaptation_in(chain) is not None}
    wrong = check_records(samples, heading, subject.indices, adapting)
    return (None if wrong else samples), Check(
        "records", not wrong, wrong or f"{expected}, one an image and rung"
    )


def _check_measured(
    claims: Claims, subject: Subject, samples: pd.DataFrame, heading: Heading
) -> Iterator[Check]:
    """Indicators and substitutes, as far as they can be looked at without an attack."""
    pixels = read_batch(subject.images, subject.indices[:1]).x.numel()
    yield check_indicators(
        heading,
        samples,
        claims.subject.seed,
        subject.threat,
        pixels=pixels,
        images=subject.indices,
        tests=claims.tests,
    )
    chains = defense_chains(subject.defenses.objects)
    yield from check_substitutes(claims.manifest, heading, chains, claims.substitutes)
