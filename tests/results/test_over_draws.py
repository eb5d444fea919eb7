"""Average and worst of a random defense's draws, from records that are counted by hand."""

import numpy as np
import pandas as pd
import pytest

from advbench.results.judging import Judge
from advbench.results.over_draws import over_draws, standing_shares
from advbench.results.records import OverDraws, Rate, Rung, wilson_interval

CLEAN = [0.0, 0.25, 0.75, 0.0]  # the third image is wrong by the majority, and is not attacked
SHATTERED = [0.0, 0.5, 0.75, 1.0]
BPDA = [0.25, 0.25, 0.75, 0.5]


def records(rule: str) -> pd.DataFrame:
    parts = []
    for rung, shares in {"clean": CLEAN, "shattered": SHATTERED, "bpda": BPDA}.items():
        stands = np.asarray(shares) <= 0.5
        if rule.startswith("any") and rung != "clean":
            stands = np.asarray(shares) == 0.0
        parts.append(
            pd.DataFrame({"index": range(4), "rung": rung, "fooled_share": shares, "robust": stands})
        )
    return pd.concat(parts, ignore_index=True)


def rates(mine: pd.DataFrame) -> dict[Rung, Rate]:
    rungs: tuple[Rung, ...] = ("clean", "shattered", "bpda")
    counts = {rung: int(mine[mine["rung"] == rung]["robust"].sum()) for rung in rungs}
    worst = int(mine.groupby("index")["robust"].all().sum())
    return {**{rung: Rate(counts[rung], 4) for rung in rungs}, "worst": Rate(worst, 4)}


@pytest.mark.parametrize("rule", ["mean", "any:2"])
def test_the_mean_is_over_all_images_and_who_was_not_attacked_stands_in_no_draw(rule: str) -> None:
    mine = records(rule)
    found = over_draws(mine, rates(mine), Judge(rule, 4))
    assert found["clean"].over_draws == OverDraws((1.0 + 0.75 + 0.25 + 1.0) / 4, 4, None)
    assert found["shattered"].over_draws == OverDraws((1.0 + 0.5 + 0.0 + 0.0) / 4, 4, 1)
    assert found["bpda"].over_draws == OverDraws((0.75 + 0.75 + 0.0 + 0.5) / 4, 4, 0)
    assert found["worst"].over_draws == OverDraws((0.75 + 0.5 + 0.0 + 0.0) / 4, 4, 0)
    assert [rate.count for rate in found.values()] == [rate.count for rate in rates(mine).values()]


def test_one_fixed_seed_has_one_draw_and_no_mean() -> None:
    mine = records("majority")
    assert over_draws(mine, rates(mine), Judge("fixed-seed", 4)) == rates(mine)


def test_without_clean_records_every_image_counts_as_attacked() -> None:
    mine = records("mean").query("rung != 'clean'")
    assert standing_shares(mine)["shattered"].tolist() == [1.0, 0.5, 0.25, 0.0]


def test_the_interval_of_yes_and_no_is_wilsons_and_that_of_shares_covers_their_mean() -> None:
    assert OverDraws(0.3, 10).interval == wilson_interval(3, 10)
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        chances = generator.beta(0.5, 1.0, size=40)  # of each image to stand in a draw
        mean = float(generator.binomial(5, chances).mean()) / 5
        low, high = OverDraws(mean, 40).interval
        covered += low <= 1 / 3 <= high
    assert covered / 2000 >= 0.95
    assert OverDraws(0.5, 10).any_accuracy is None
    assert OverDraws(0.5, 10).any_interval is None
