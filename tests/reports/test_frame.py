"""The table as data: full precision, whole counts, and empty where a rung was not run."""

from dataclasses import replace

import pandas as pd

from advbench.reports import render, table_frame
from advbench.reports.frame import flat_rows, rungs_run
from advbench.results.records import Rate, SoFar, Spread
from tests.reports.records import NONE_TEN as NONE
from tests.reports.records import PAIRED_TEN as PAIRED
from tests.reports.records import ROUND_TEN as ROUND


def test_a_rung_that_no_row_has_makes_no_column() -> None:
    columns = table_frame([NONE]).columns
    assert [each for each in columns if each.startswith(("bpda", "static", "worst"))] == []
    assert "BPDA" not in render([replace(NONE, reasons={})], "markdown")


def test_rungs_are_those_of_any_row_in_the_order_of_the_ladder_begun_ones_included() -> None:
    begun = replace(NONE, rates={}, pending={"worst": SoFar(0, 0), "static": SoFar(3, 1)})
    assert rungs_run([begun, ROUND]) == ["clean", "static", "shattered", "bpda", "worst"]
    assert rungs_run([]) == []


def test_fractions_are_those_of_the_records_and_counts_stay_whole_beside_missing_ones() -> None:
    frame = table_frame([NONE, ROUND])
    assert frame["bpda_count"].dtype == pd.Int64Dtype()
    assert frame["bpda_count"].tolist() == [pd.NA, 1]
    for number, row in enumerate((NONE, ROUND)):
        for rung, rate in row.rates.items():
            cells = [frame[f"{rung}_{name}"][number] for name in ("accuracy", "low", "high", "count")]
            assert cells == [rate.accuracy, *rate.interval, rate.count]
    assert frame["masking_gap"].tolist()[1] == 0.8 - 0.1


def test_columns_that_no_row_fills_are_not_there_and_the_others_stand_in_their_order() -> None:
    spread = replace(ROUND, rates={**ROUND.rates, "bpda": Rate(1, 10, Spread(0.2, 0.1), median=0.5)})
    plain, full = table_frame([ROUND]), table_frame([ROUND, spread])
    added = ["bpda_draws_mean", "bpda_draws_std", "bpda_median_distance"]
    assert [name for name in full.columns if name not in plain.columns] == added
    assert full[added].iloc[0].isna().all()
    assert full[added].iloc[1].tolist() == [0.2, 0.1, 0.5]
    place = list(full.columns).index("bpda_count")
    assert list(full.columns)[place + 1 : place + 4] == added


def test_pairs_errors_and_progress_have_columns_of_their_own() -> None:
    failed = replace(NONE, n=0, rates={}, error="it broke")
    under_way = replace(PAIRED, rates={"clean": Rate(9, 10)}, pending={"bpda": SoFar(4, 2)}, pairs={})
    none, paired, error, open_row = flat_rows([NONE, PAIRED, failed, under_way])
    low, high = PAIRED.pairs["bpda"].interval
    assert (paired["masking_gap_low"], paired["masking_gap_high"]) == (low, high)
    assert paired["bpda_p"] == PAIRED.pairs["bpda"].p_value
    assert (none["bpda_p"], none["masking_gap_low"]) == (None, None)
    assert [each["error"] for each in (none, paired, error)] == ["", "", "it broke"]
    assert (paired["bpda_done"], open_row["bpda_done"], none["bpda_done"]) == (10, 4, None)
    assert len({tuple(each) for each in (none, paired, error, open_row)}) == 1, "all have the same columns"
