"""Defenses beside adaptive attacks: our worst rung sees what these see, and the verdict is right."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from advbench import Draws
from benchmarks.adaptive import purifier, squeezing
from benchmarks.adaptive.__main__ import folder_of, table_row
from benchmarks.adaptive.ascent import always, majority, margin, standing, targeted
from benchmarks.adaptive.codes import BITS, bit, code
from benchmarks.adaptive.digits import COUNT, attacked, spared
from benchmarks.adaptive.line import Line
from benchmarks.adaptive.lines import LINES
from benchmarks.adaptive.measure import Measured, measure
from benchmarks.adaptive.neighbours import K, nearest
from benchmarks.adaptive.vote import vote

KINDS = {"purifier", "detector", "adaptation", "ensemble", "head", "binarised network", "random model"}
ROBUST = "robust as measured"


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES, ids=[line.name for line in LINES])
def test_the_worst_rung_leaves_what_the_adaptive_attack_leaves(line: Line, tmp_path: Path) -> None:
    measured = measure(line, tmp_path)
    assert measured.behind <= line.within, measured
    assert measured.verdict.startswith(line.right), measured
    assert (measured.adaptive > measured.clean / 3) == (ROBUST in line.right), measured


def test_twelve_lines_of_every_kind_lie_within_three_images_and_two_of_them_are_robust() -> None:
    near = [line for line in LINES if line.within <= 3]
    assert len({line.name for line in LINES}) == len(LINES)
    assert len(near) >= 12
    assert {line.kind for line in near} == KINDS
    assert sum(ROBUST in line.right for line in near) >= 2


def test_a_row_tells_the_difference_and_the_command() -> None:
    line = LINES[0]
    row = table_row(line, Measured(clean=99, worst=12, adaptive=10, verdict="masked: by this"))
    assert row.startswith(f"| {line.name} | {line.kind} | 99 | 12 | 10 | +2 | masked | ")
    assert row.endswith(f"`advbench {' '.join(line.words)}` |")


def test_every_line_has_a_folder_of_its_own(tmp_path: Path) -> None:
    assert len({folder_of(line, tmp_path) for line in LINES}) == len(LINES)


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    asked = []

    def counted(x: Tensor, y: Tensor, eps: float) -> Tensor:
        asked.append(eps)
        return torch.ones(len(x), dtype=torch.bool)

    line = Line(
        name="none",
        kind="head",
        paper="",
        options="--steps 2 --gradient-free square:queries=2",
        adaptive=counted,
        right=("not robust",),
        eps=0.01,
    )
    first = measure(line, tmp_path)
    assert measure(line, tmp_path) == first
    assert asked == [0.01]
    assert first.adaptive == COUNT


def test_a_command_that_fails_says_so(tmp_path: Path) -> None:
    line = Line(
        name="none",
        kind="head",
        paper="",
        options="--defense nothing-of-this-name",
        adaptive=lambda x, y, eps: torch.ones(len(x), dtype=torch.bool),
        right=("masked",),
    )
    with pytest.raises(RuntimeError, match="nothing-of-this-name"):
        measure(line, tmp_path)


def test_margins_are_positive_where_the_prediction_is_wrong() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
    y = torch.tensor([0, 2])
    assert margin(logits, y).tolist() == [-1.0, 4.0]
    assert targeted(logits, y, torch.tensor([1, 0])).tolist() == [-2.0, -1.0]


@pytest.mark.parametrize(("eps", "stands"), [(0.09, True), (0.11, False)])
def test_the_ascent_reaches_the_corner_that_fells_a_linear_model(eps: float, stands: bool) -> None:
    weights = torch.tensor([1.0, -2.0, 1.0, -1.0])
    x = torch.full((1, 1, 2, 2), 0.5)

    def score(x: Tensor) -> Tensor:
        return x.flatten(1) @ weights + 1.0  # 0.5 at x; it falls by at most 5 eps

    left = standing(lambda x: -score(x), lambda x: score(x.detach()) > 0, x, eps, restarts=1)
    assert left.tolist() == [stands]


def test_the_ascent_asks_about_images_in_the_ball_and_the_box() -> None:
    x, _ = attacked()
    shown: list[Tensor] = []

    def stands(x_adv: Tensor) -> Tensor:
        shown.append(x_adv.detach().clone())
        return torch.ones(len(x_adv), dtype=torch.bool)

    standing(lambda x_adv: x_adv.flatten(1).sum(1), stands, x, 0.2, steps=20, restarts=2)
    assert len(shown) == 1 + 2 * 2
    for x_adv in shown:
        assert (x_adv - x).abs().max() <= 0.2 + 1e-6
        assert x_adv.min() >= 0.0
        assert x_adv.max() <= 1.0


def test_a_random_judge_counts_its_draws() -> None:
    draws = iter([[True, True], [True, False], [True, False]])

    def right() -> Tensor:
        return torch.tensor(next(draws))

    assert majority(right, 3).tolist() == [True, False]
    draws = iter([[True, True], [True, False]])
    assert always(right, 2).tolist() == [True, False]


def test_of_classes_with_as_many_votes_the_first_is_the_label() -> None:
    members = [torch.nn.Linear(1, 10), torch.nn.Linear(1, 10)]
    with torch.no_grad():
        for member, label in zip(members, (7, 4), strict=True):
            member.weight.zero_()
            member.bias.zero_()
            member.bias[label] = 1.0
    assert vote(list(members), torch.zeros(1, 1)).tolist() == [4]


def test_the_nearest_have_all_the_votes() -> None:
    distances = torch.rand(3, 50, generator=torch.Generator().manual_seed(0))
    chosen = nearest(distances) == 0.0
    assert chosen.sum(1).tolist() == [K] * 3
    assert bool((distances[chosen].view(3, K).amax(1) <= distances.masked_fill(chosen, 2.0).amin(1)).all())


def test_code_words_differ_in_many_bits() -> None:
    words = code()
    differing = (BITS - words @ words.T) / 2
    assert differing[~torch.eye(10, dtype=torch.bool)].min() >= 4
    assert bit(torch.tensor([-0.1, 0.0, 2.0])).tolist() == [-1.0, 1.0, 1.0]


def test_the_detector_refuses_its_share_of_clean_images() -> None:
    score = squeezing.squeezing(lambda x: torch.stack([x.flatten(1).mean(1), x.flatten(1).std(1)], 1))
    limit = squeezing.threshold(score)
    refused = int((score(spared()) > limit).sum())
    assert refused <= squeezing.FPR * len(spared()) < refused + 2


def test_the_process_that_is_attacked_is_the_purifier_that_is_judged() -> None:
    x = attacked().x[:8]
    many = x.repeat(200, 1, 1, 1)
    own = purifier.WHOLE(many, Draws(0, torch.arange(len(many)))).view(200, *x.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        written_out = purifier.purified(many).view(200, *x.shape)
    assert (own.mean(0) - written_out.mean(0)).abs().max() < 0.1
    assert abs(float(own.std(0).mean() / written_out.std(0).mean()) - 1) < 0.05


def test_the_blocked_denoiser_has_no_gradient_and_what_stands_in_for_it_has_one() -> None:
    x = attacked().x[:2].requires_grad_()
    assert not purifier.blocked(x, torch.tensor(0.2)).requires_grad
    draws = Draws(0, torch.arange(2))
    assert torch.autograd.grad(purifier.differentiable(x, draws).sum(), x)[0].abs().max() > 0
