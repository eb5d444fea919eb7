"""A run under way, as far as it has come: its records from its parts, and rates of what is done alone.

Images that a model gets wrong when they are clean are written down when a rung's attacks are over, so that
the share that stands among the images done so far is no accuracy. A rung has a rate once all images are done.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from advbench.errors import RunFolderError
from advbench.files import is_named_after
from advbench.regular_files import read_regular
from advbench.results.judging import MAJORITY, Judge, check_rule
from advbench.results.over_draws import over_draws
from advbench.results.records import ASKABLE, LOSS_COLUMNS, UNDEFENDED, Row, Rung, SoFar, join_samples
from advbench.results.surrogates import Likeness
from advbench.results.table import Heading, of_row, pairs_of, rates_of, warnings_of
from advbench.results.verdict import standing_of
from advbench.runs.manifest import Manifest, open_manifest
from advbench.runs.read import Records, read_records
from advbench.runs.samples import LARGEST, PARTS, read_samples
from advbench.runs.typed_json import Count

UNJUDGED: Final = "not judged yet"
"""In place of a verdict, where every rung is done and the attacks themselves are still looked at."""

_JUDGE: Final = "run.json: settings.judge"
_MOST: Final = 2_000_000  # records of one batch
_IDENTITY: Final = ["index", "rung", "defense", "attack"]


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """Which of a run's settings say what its table will be about."""

    model: str
    dataset: str
    norm: str
    eps: str
    attacks: Mapping[str, Any]
    defenses: Mapping[str, Any]
    gradient_free: Mapping[str, Any]
    rungs: tuple[str, ...]
    label_only: Mapping[str, Any] = field(default_factory=dict)
    substitute: Any = None
    judge: str = MAJORITY
    judge_draws: Count = 1
    surrogate: Any = None
    source: Any = None

    @property
    def rule(self) -> Judge | None:
        """How random defenses are judged; None for the majority, whose table says nothing of it."""
        return None if self.judge == MAJORITY else Judge(check_rule(self.judge, _JUDGE), self.judge_draws)

    @property
    def only_substitute(self) -> str:
        """What stands in for every defense; empty where nothing does, or it is not known before the end."""
        words = self.substitute if isinstance(self.substitute, list) else []
        known = len(words) == 1 and isinstance(words[0], str) and words[0] != "search"
        return words[0] if known and "bpda" in self.rungs else ""


@dataclass
class GrowingRun:
    """A run's folder that somebody else is writing to; each of its parts is read once.

    Args:
        path: the folder.
        parts: what has been read, by the names of the files.
    """

    path: Path
    parts: dict[str, pd.DataFrame] = field(default_factory=dict)

    def read(self) -> Records:
        """What the run has written down by now; all of it once it is done.

        Raises:
            RunFolderError: no run, or one whose `run.json` does not say what is run.
        """
        manifest = open_manifest(self.path)
        if manifest.is_done:
            return read_records(self.path)
        heading, n = _heading(manifest), manifest.n
        there = {file.name: file for file in sorted((self.path / PARTS).glob("*.parquet"))}
        self.parts = {name: self.parts[name] if name in self.parts else _part(there[name]) for name in there}
        samples = join_samples([*self.parts.values()]).drop_duplicates(_IDENTITY)
        known = samples[samples["defense"].isin(list(heading.substitutes))]
        return Records(manifest, heading, join_samples([known, *_clean(known, heading, n)]))


def rows_so_far(records: Records) -> tuple[Row, ...]:
    """The table as far as it is known; rungs whose images are not all done are `pending`."""
    n = records.manifest.n
    return tuple(
        _row(records, n, defense, attack)
        for defense in records.heading.substitutes
        for attack in records.heading.attacks
    )


def _row(records: Records, n: int, defense: str, attack: str) -> Row:
    heading = records.heading
    row_records = of_row(records.samples, defense, attack)
    so_far = _so_far(row_records, records.samples, heading, defense)
    pending = {rung: progress for rung, progress in so_far.items() if progress.done < n}
    whole = row_records[~row_records["rung"].isin(list(pending))]
    rates = rates_of(whole, defense, attack, worst="worst" in so_far and "worst" not in pending)
    rule = _rule(records, defense)
    if rule is not None and len(whole):
        rates = over_draws(whole, rates, rule)
    standing = standing_of(whole) if len(whole) else pd.DataFrame()
    return Row(
        model=heading.model,
        dataset=heading.dataset,
        n=n,
        defense=defense,
        norm=heading.norm,
        eps=heading.eps,
        attack=attack,
        rates=rates,
        reasons=heading.reasons(defense),
        substitute=heading.substitutes[defense] if "bpda" in heading.rungs else "",
        pairs=pairs_of(standing) if "shattered" in standing else {},
        verdict=UNJUDGED if "worst" in rates else "",
        warnings=tuple(warnings_of(whole, defense, attack)),
        pending=pending,
        judge="" if rule is None else rule.rule,
    )


def _rule(records: Records, defense: str) -> Judge | None:
    """How a defense is judged that its records show to be random: some of its draws differ; else None."""
    rule = records.manifest.group("settings", _Settings).rule
    shares = records.samples.loc[records.samples["defense"] == defense, "fooled_share"]
    return None if shares.isin([0.0, 1.0]).all() else rule


def _so_far(
    row_records: pd.DataFrame, samples: pd.DataFrame, heading: Heading, defense: str
) -> dict[Rung, SoFar]:
    """How far each rung of a row has come, in the order of the ladder."""
    attacked = row_records[row_records["rung"] != "clean"]
    seen = samples[samples["defense"] == defense].drop_duplicates("index")
    progress: dict[Rung, SoFar] = {
        "clean": SoFar(len(seen), int((seen["clean_prediction"] == seen["label"]).sum()))
    }
    rungs = [rung for rung in ASKABLE if rung != "worst" and heading.has(rung, defense)]
    for rung in rungs:
        stands = attacked.loc[attacked["rung"] == rung, "robust"]
        progress[rung] = SoFar(len(stands), int(stands.sum()))
    if "worst" in heading.rungs:
        climbed = attacked.groupby("index")["robust"].agg(["size", "all"])
        everywhere = climbed.loc[climbed["size"] == len(rungs), "all"]
        progress["worst"] = SoFar(len(everywhere), int(everywhere.sum()))
    return progress


def _clean(known: pd.DataFrame, heading: Heading, n: int) -> list[pd.DataFrame]:
    """Records of the clean rung of those defenses all of whose images an attack has been through."""
    clean_records = []
    for defense in heading.substitutes:
        seen = known[known["defense"] == defense].drop_duplicates("index")
        if len(seen) != n:
            continue
        right = seen["clean_prediction"] == seen["label"]
        clean_records.append(
            seen.assign(
                rung="clean",
                attack="",
                prediction=seen["clean_prediction"],
                robust=right,
                distance=0.0,
                loss=np.nan,
                steps=0,
                queries=0,
                flat_gradient=False,
                smallest=np.where(right, np.nan, 0.0),
                fooled_share=(~right).astype(float),
                late_gain=np.nan,
                **dict.fromkeys(LOSS_COLUMNS, np.nan),
            )
        )
    return clean_records


def _part(file: Path) -> pd.DataFrame:
    """The records of a part; none where it is damaged, as the run will find when it goes on."""
    try:
        contents = read_regular(file, LARGEST)
        return read_samples(contents, _MOST)[0] if is_named_after(file, contents) else join_samples([])
    except (OSError, RunFolderError):
        return join_samples([])


def _heading(manifest: Manifest) -> Heading:
    """What the table will be about, by the run's settings."""
    settings = manifest.group("settings", _Settings)
    surrogate, source = _name(settings.surrogate), _name(settings.source)
    return Heading(
        model=settings.model,
        dataset=settings.dataset,
        norm=settings.norm,
        eps=settings.eps,
        attacks=tuple(settings.attacks),
        substitutes={UNDEFENDED: surrogate, **dict.fromkeys(settings.defenses, settings.only_substitute)},
        rungs=tuple(rung for rung in ASKABLE if rung == "shattered" or rung in settings.rungs),
        gradient_free="".join(settings.gradient_free),
        label_only="".join(settings.label_only),
        surrogate=Likeness(name=surrogate) if surrogate else None,
        source=source or surrogate,
    )


def _name(entry: Any) -> str:
    """The name of a surrogate or a source; empty where there is none."""
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return name if isinstance(name, str) else ""
