"""How attacks get on: curves are means and counts of the records, and what records do not tell has none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from advbench.reports.steps import loss_by_steps, success_by_steps
from advbench.reports.style import Style
from advbench.results.records import LOSS_COLUMNS, LOSS_MARKS, Rate
from tests.reports.drawn import Passes, climbed, row_of
from tests.reports.records import ROUND


def test_success_rises_where_images_fell_and_goes_on_to_the_last_pass() -> None:
    chart = climbed({"shattered": [0, 40, 40, None], "bpda": [0, 3, 3, 7, None, 8, 3, 1]})
    assert list(chart.lines) == ["0 · BPDA"], "all that fell on the other cost as much as what stands"
    (line,) = chart.lines.values()
    assert line == [(0, 12.5), (1, 25), (3, 62.5), (7, 75), (8, 87.5)]
    assert (chart.stairs, chart.log) == (True, False)


def test_a_rung_on_which_nothing_falls_is_a_flat_line() -> None:
    rung = pd.DataFrame({"rung": "shattered", "robust": [True, True, False], "steps": [40, 40, 0]})
    chart = success_by_steps([(replace(ROUND, rates={"shattered": Rate(2, 3)}), rung)], Style(percent=False))
    assert chart is not None
    (line,) = chart.lines.values()
    assert [at for at, _ in line] == [0, 40]
    assert [share for _, share in line] == pytest.approx([1 / 3, 1 / 3])


def climbing(*curves: Sequence[float], ends: Sequence[float], steps: Sequence[int]) -> pd.DataFrame:
    """Records of the shattered rung with these losses at the marks that each image reached."""
    losses = [
        dict(zip(LOSS_COLUMNS, [*curve, *[np.nan] * (len(LOSS_MARKS) - len(curve)), end], strict=True))
        for curve, end in zip(curves, ends, strict=True)
    ]
    return pd.DataFrame(losses).assign(rung="shattered", steps=steps)


SHATTERED = replace(ROUND, rates={"shattered": Rate(1, 2)})


def test_the_loss_is_the_mean_of_images_and_stays_where_one_fell() -> None:
    records = climbing([0.0, 1.0, 2.0], [4.0], ends=[3.0, 6.0], steps=[5, 1])
    nothing = climbing([], ends=[np.nan], steps=[0])
    chart = loss_by_steps([(SHATTERED, pd.concat([records, nothing]))])
    assert chart is not None
    (line,) = chart.lines.values()
    assert line == [(1, 2.0), (2, 3.5), (4, 4.0), (6, 4.5)]
    assert (chart.stairs, chart.log) == (False, True)


def test_the_loss_ends_at_its_last_mark_where_passes_are_those_of_several_draws_or_attacks() -> None:
    draws = climbing([0.0, 1.0, 2.0], ends=[3.0], steps=[20 * 5])
    chart = loss_by_steps([(SHATTERED, draws)])
    assert chart is not None
    assert list(chart.lines.values()) == [[(1, 0.0), (2, 1.0), (4, 2.0)]]
    twice = climbing([0.0, 1.0, 2.0], ends=[3.0], steps=[4 + 3]).assign(rung="bpda")
    chart = loss_by_steps([(replace(ROUND, substitute="soft; identity"), twice)])
    assert chart is not None
    assert list(chart.lines.values()) == [[(1, 0.0), (2, 1.0), (4, 2.0)]]


def test_the_loss_begins_where_every_image_has_one() -> None:
    late = climbing([np.nan, np.nan, 1.0, 3.0], [np.nan, np.nan, np.nan, 5.0], ends=[3.0, 5.0], steps=[9, 9])
    fell_between = climbing([], ends=[1.0], steps=[7])
    chart = loss_by_steps([(SHATTERED, pd.concat([late, fell_between]))])
    assert chart is not None
    assert list(chart.lines.values()) == [[(8, 3.0), (10, 3.0)]]


def test_losses_that_no_attack_has_are_left_out() -> None:
    forged = climbing([0.0, 1e308], [1.0, np.inf], [5.0], ends=[2.0, 4.0, np.inf], steps=[2, 2, 2])
    chart = loss_by_steps([(SHATTERED, forged)])
    assert chart is not None
    assert list(chart.lines.values()) == [[(1, 0.5)]]


def test_attacks_that_tell_no_loss_have_no_curve() -> None:
    untold = climbing([], [], ends=[np.nan, np.nan], steps=[40, 40])
    assert loss_by_steps([(SHATTERED, untold)]) is None
    assert loss_by_steps([(SHATTERED, untold[:0])]) is None
    assert loss_by_steps([]) is None


def test_one_step_and_rungs_that_are_not_done_have_no_curve() -> None:
    assert success_by_steps([row_of("x", {"shattered": [1, 1, 0]})]) is None
    row, records = row_of("x", {"shattered": [1, 2, 0]})
    assert success_by_steps([(replace(row, rates={}), records)]) is None
    assert success_by_steps([]) is None


def test_long_attacks_are_drawn_along_powers_of_ten() -> None:
    chart = climbed({"bpda": [0, 1, 30, 400]})
    assert chart.log
    assert chart.lines == {"0 · BPDA": [(1, 25), (1, 50), (30, 75), (400, 100)]}


def test_of_too_many_curves_each_row_keeps_its_last_rung() -> None:
    rungs: Passes = {"shattered": [1, 2], "bpda": [1, 3]}
    assert len(climbed(*[rungs] * 3).lines) == 6
    many = climbed(*[rungs] * 8)
    assert list(many.lines) == [f"{number} · BPDA" for number in range(6)]
    assert many.note == "the first 6 of 8 rows"
