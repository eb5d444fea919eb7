"""What the draws of a random defense come to, from the records: their mean, and who stands in all of them."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from advbench.results.judging import Judge
from advbench.results.records import OverDraws, Rate, Rung


def over_draws(records: pd.DataFrame, rates: Mapping[Rung, Rate], rule: Judge) -> dict[Rung, Rate]:
    """The rates of one row with what its draws come to on each rung.

    An image that is wrong when clean by the majority of its draws was not attacked, and stands in no draw of
    the rungs of attacks. On the worst rung an image stands in the smallest share of its draws on any rung.

    Args:
        records: the records of the row.
        rates: of its rungs.
        rule: how it was judged.
    """
    if rule.is_fixed:
        return dict(rates)
    standing = standing_shares(records)
    whole = unbroken(records, rule)
    with_draws: dict[Rung, Rate] = {}
    for rung, rate in rates.items():
        shares = standing.min(axis=1) if rung == "worst" else standing[rung]
        holds = whole.all(axis=1) if rung == "worst" else whole[rung]
        count = None if rung == "clean" else int(holds.sum())
        with_draws[rung] = replace(rate, over_draws=OverDraws(float(shares.mean()), len(shares), count))
    return with_draws


def standing_shares(records: pd.DataFrame) -> pd.DataFrame:
    """In which share of its draws each image stands, `(images, rungs)`."""
    shares = 1.0 - records.pivot_table(index="index", columns="rung", values="fooled_share")
    if "clean" not in shares:
        return shares
    right = records[records["rung"] == "clean"].set_index("index")["robust"]
    attacked = shares.columns != "clean"
    shares.loc[~right.reindex(shares.index, fill_value=False), attacked] = 0.0
    return shares


def unbroken(records: pd.DataFrame, rule: Judge) -> pd.DataFrame:
    """Whether each image stands in every submission of its example, `(images, rungs)` bool."""
    stands = records["robust"] if rule.kind == "any" else records["robust"] & (records["fooled_share"] == 0.0)
    # Clean images are not submitted again: there the majority decides, as everywhere.
    stands = stands.where(records["rung"] != "clean", records["robust"])
    table = records.assign(stands=stands).pivot_table(
        index="index", columns="rung", values="stands", aggfunc="all"
    )
    return table.astype(bool)
