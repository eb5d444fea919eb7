"""What a run measured beside its records, a line each: `indicators.csv` and `substitutes.csv`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pandas as pd

from advbench.results.indicators import MEANINGS, Indicator
from advbench.results.records import Candidate


def indicators_csv(indicators: Sequence[Indicator], origin: Mapping[str, str]) -> str:
    """The contents of `indicators.csv`.

    Args:
        indicators: what was measured of the attacks themselves.
        origin: where that comes from, in columns of its own.
    """
    frame = pd.DataFrame([_indicator_record(indicator) for indicator in indicators])
    text: str = frame.assign(**origin).to_csv(index=False)
    return text


def candidates_csv(candidates: Sequence[Candidate], origin: Mapping[str, str]) -> str:
    """The contents of `substitutes.csv`.

    Args:
        candidates: what a search for substitutes found.
        origin: where that comes from, in columns of its own.
    """
    frame = pd.DataFrame([asdict(candidate) for candidate in candidates]).astype({"standing": "Int64"})
    text: str = frame.assign(**origin).to_csv(index=False)
    return text


def _indicator_record(indicator: Indicator) -> dict[str, object]:
    meaning = MEANINGS[indicator.name]
    return {
        **asdict(indicator),
        "value": indicator.value,
        "threshold": meaning.threshold,
        "tripped": indicator.tripped,
        "meaning": meaning.words,
        "advice": meaning.advice,
    }
