"""One `advbench verify`, from a run's folder to a line for each thing that was checked."""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from advbench.cli.claims import Claims, claims_of
from advbench.cli.ranks import Ranks
from advbench.cli.subject import Subject, load_subject
from advbench.data.batches import batches
from advbench.errors import RunError, RunFolderError, SpecError, printable
from advbench.evaluation.judge_again import Evidence, Finding, check_records, recheck
from advbench.evaluation.ladder import fingerprint, image_digests
from advbench.evaluation.plan import defense_chains, substitutes_of
from advbench.files import sha256
from advbench.jobs.settings.verify import VerifySettings
from advbench.models.network import bundled_weights
from advbench.names.grammar import parse_spec
from advbench.reports.compare import first_difference
from advbench.reports.formats import FILE_NAMES, render
from advbench.reports.style import style_of
from advbench.results.table import Heading, rows_of
from advbench.results.verdict import RULES
from advbench.runs.examples import Examples, read_examples
from advbench.runs.folder import ADVERSARIAL, CANDIDATES, is_as_written
from advbench.runs.manifest import read_manifest
from advbench.runs.provenance import origin_of
from advbench.runs.samples import SAMPLES, read_samples

_READ = 256  # images at a time


@dataclass(frozen=True)
class Check:
    """Something that was checked: what, whether it holds, and in words."""

    what: str
    holds: bool
    said: str


def run_verification(options: VerifySettings) -> None:
    """Check a run and print a line for everything that was looked at.

    Raises:
        InputError: a folder that holds no finished run with examples, or a model or data set that cannot
            be loaded.
        RunError: something disagrees.
    """
    claims = claims_of(read_manifest(options.run), options)
    checks: list[Check] = []
    for check in _checks(claims, options):
        checks.append(check)
        if not options.json and not (options.quiet and check.holds):
            line = printable(f"{check.what}: {check.said}")
            sys.stdout.write(f"{'ok   ' if check.holds else 'WRONG'}  {line}\n")
            sys.stdout.flush()
    if options.json:
        sys.stdout.write(json.dumps([asdict(each) for each in checks], indent=2, ensure_ascii=False) + "\n")
    wrong = [check.what for check in checks if not check.holds]
    if wrong:
        raise RunError(f"{len(wrong)} of {len(checks)} checks of {options.run} disagree: {', '.join(wrong)}.")


def _checks(claims: Claims, options: VerifySettings) -> Iterator[Check]:
    yield Check(
        "run.json",
        claims.hash_holds,
        f"its settings are {'those' if claims.hash_holds else 'not those'} that the run was hashed with",
    )
    checkpoint = _check_checkpoint(claims)
    yield checkpoint
    if not checkpoint.holds:
        return
    subject = load_subject(claims.subject, Ranks(), claims.batch_size)
    images = _check_images(claims, subject)
    yield images
    if not images.holds:
        return
    heading = _heading(claims, subject)
    yield from _check_digests(claims, options.run)
    samples, records = _check_samples(options.run, heading, subject)
    yield records
    if samples is None:
        return
    yield from _check_tables(claims, options.run, samples, heading)
    yield from _check_rungs(claims, options, subject, samples, heading)


def _check_checkpoint(claims: Claims) -> Check:
    """Before anything is loaded: another checkpoint would be another model."""
    path = claims.subject.checkpoint
    if path is None and claims.subject.model is not None:
        path = bundled_weights(parse_spec(claims.subject.model))
    if path is None or claims.checkpoint_sha256 is None:
        return Check("checkpoint", True, "none: the weights are the model's own, and were not recorded")
    if not path.is_file():
        raise RunFolderError(f"the run's checkpoint {path} is not there; give --checkpoint FILE.")
    found = sha256(path)
    if found == claims.checkpoint_sha256:
        return Check("checkpoint", True, f"{path.name} as recorded, SHA-256 {found[:16]}...")
    return Check(
        "checkpoint",
        False,
        f"{path} has SHA-256 {found[:16]}..., the run's had {claims.checkpoint_sha256[:16]}...; nothing "
        "can be judged with it",
    )


def _check_images(claims: Claims, subject: Subject) -> Check:
    """Whether the images and labels are those that were attacked."""
    if len(subject.indices) != claims.n:
        return Check("images", False, f"{len(subject.indices)} of {subject.dataset}, the run had {claims.n}")
    digests: dict[int, bytes] = {}
    for batch in batches(subject.images, subject.indices, _READ):
        digests.update(image_digests(batch))
    if fingerprint(digests) != claims.fingerprint:
        return Check("images", False, f"those of {subject.dataset} are not the ones that the run used")
    return Check("images", True, f"{claims.n} of {subject.dataset}, the ones that the run used")


def _heading(claims: Claims, subject: Subject) -> Heading:
    return Heading(
        model=claims.model,
        dataset=subject.dataset,
        norm=subject.threat.norm,
        eps=subject.threat.text,
        attacks=claims.attacks,
        substitutes={
            defense: claims.substitutes.get(defense, own)
            for defense, own in substitutes_of(defense_chains(subject.defenses.objects)).items()
        },
        rungs=claims.rungs,
        gradient_free=claims.gradient_free,
        indicators=claims.indicators,
        doubts=claims.doubts,
        notes=claims.notes,
        rules=claims.rules,
    )


def _check_digests(claims: Claims, run: Path) -> Iterator[Check]:
    """Whether the files are, to the byte, what the run wrote."""
    known = {SAMPLES, CANDIDATES, *FILE_NAMES.values()}
    present = {name for name in known if (run / name).is_file()}
    for name in sorted(present | (claims.files.keys() & known)):
        if name not in present:
            yield Check(name, False, "missing")
        elif name not in claims.files:
            yield Check(name, False, "not written by the run")
        elif hashlib.sha256((run / name).read_bytes()).hexdigest() != claims.files[name]:
            yield Check(name, False, "not as the run wrote it")
        else:
            yield Check(name, True, "as the run wrote it")


def _check_samples(run: Path, heading: Heading, subject: Subject) -> tuple[pd.DataFrame | None, Check]:
    """The records, if they can be used at all."""
    expected = len(heading.cells()) * len(subject.indices)
    if not (run / SAMPLES).is_file():
        return None, Check("records", False, f"there is no {SAMPLES}")
    try:
        samples, _ = read_samples((run / SAMPLES).read_bytes(), expected)
    except RunFolderError as error:
        return None, Check("records", False, f"{SAMPLES}: {error}")
    wrong = check_records(samples, heading, subject.indices)
    return (None if wrong else samples), Check(
        "records", not wrong, wrong or f"{expected}, one an image and rung"
    )


def _check_tables(claims: Claims, run: Path, samples: pd.DataFrame, heading: Heading) -> Iterator[Check]:
    """Whether the tables say what the records come to."""
    rows, origin = rows_of(samples, heading), origin_of(claims.manifest)
    try:
        style = style_of(claims.manifest.get("tables"))
    except SpecError as error:
        yield Check("tables", False, f"run.json: {error}")
        return
    for form, name in FILE_NAMES.items():
        if not (run / name).is_file():
            continue
        text = (run / name).read_bytes().decode(errors="replace")
        # The rules of verdicts have changed since, and with them what people read beside the numbers.
        earlier = ("verdict",) if heading.rules < RULES else ()
        difference = first_difference(form, text, render(rows, form, origin, style), earlier)
        yield Check(f"numbers of {name}", not difference, difference or "what the records come to")
    if heading.rules < RULES and any(row.verdict for row in rows):
        told = "; ".join(f"{row.defense} under {row.attack}: {row.verdict.partition(':')[0]}" for row in rows)
        yield Check("verdicts", True, f"an earlier version's, not compared; by today's rules: {told}")


def _check_rungs(
    claims: Claims, options: VerifySettings, subject: Subject, samples: pd.DataFrame, heading: Heading
) -> Iterator[Check]:
    damaged: list[str] = []
    evidence = Evidence(
        model=subject.classifier.model,
        dataset=subject.images,
        chains=defense_chains(subject.defenses.objects),
        threat=subject.threat,
        heading=heading,
        samples=samples,
        kept=claims.kept,
        batch_size=claims.batch_size,
        seed=claims.subject.seed,
        judge_draws=claims.judge_draws,
    )
    findings = recheck(evidence, _examples(options.run, damaged), as_8bit=options.as_8bit)
    holds = not damaged
    said = (
        f"{', '.join(damaged[:3])} not as the run wrote it" if damaged else "every file as the run wrote it"
    )
    yield Check(f"{ADVERSARIAL}/", holds, said)
    for finding in findings:
        yield Check(" · ".join(filter(None, finding.cell)), not finding.faults, _say(finding))


def _examples(run: Path, damaged: list[str]) -> Iterator[Examples]:
    for path in sorted((run / ADVERSARIAL).glob("*.safetensors")):
        if not path.is_file() or not is_as_written(path):
            damaged.append(path.name)
        try:
            yield read_examples(path)
        except RunFolderError:
            damaged.append(path.name)


def _say(finding: Finding) -> str:
    if finding.faults:
        return "; ".join(
            f"{fault} ({len(set(indices))} of {finding.images}: image {_few(indices)})"
            for fault, indices in finding.faults.items()
        )
    ties = f", {finding.by_rounding} of them up to rounding" if finding.by_rounding else ""
    if finding.cell.rung == "clean":
        return f"{finding.examples} images predicted as recorded{ties}"
    as_8bit = "" if finding.as_8bit is None else f" ({finding.as_8bit} as 8-bit images)"
    return (
        f"{finding.examples} examples in ball and box, predicted as recorded{ties}; "
        f"{finding.fooling} fool{as_8bit}"
    )


def _few(indices: list[int]) -> str:
    distinct = sorted(set(indices))
    return ", ".join(map(str, distinct[:3])) + (", ..." if len(distinct) > 3 else "")
