"""The binarization test: does an attack find adversarial examples that are there by construction?

Zimmermann, Brendel, Tramer, Carlini 2022, "Increasing confidence in adversarial robustness evaluations".
Behind the defense, a linear readout on the network's frozen features tells random points inside an image's
ball from a single point on its border. That point is an adversarial example of the readout, so an attack on
which a count of robust images may rest finds one too.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import torch
from torch import Tensor

from advbench.data.batches import Batch, read_batch
from advbench.defended.attacked_as import attacked_as
from advbench.defended.counting import CountedModel
from advbench.defended.model import DefendedModel
from advbench.defended.readouts import Readout, Readouts
from advbench.draws.draws import Draws
from advbench.draws.sampling import Sampling
from advbench.evaluation.measure_indicators import Subject
from advbench.evaluation.plan import Plan, sampling_of
from advbench.names.grammar import LOGITS
from advbench.results.indicators import Indicator, added
from advbench.speed.batch_size import in_batches
from advbench.threat.judge import judge
from advbench.threat.threat import Threat

TESTED: Final = 64
"""Images for each of which a problem is built."""

INNER: Final = 999
"""Points inside the ball, the image itself not counted, as in the paper."""

TRIES: Final = 100
"""Random points of the ball that stand beside the attack."""

OUTCOMES: Final = ("binarization", "binarization_random")
"""The indicators that come of it."""

_INSIDE = 0.95  # of the radius: where the points of class 0 lie, as in the paper
_CLOSE = 0.7
"""How far on the way from the last inner point to the planted one the readout's border lies.

At 0.999, as far as the paper goes, PGD misses a tenth of the planted points of 8x8 digits along a sound
gradient: their best corner is all but unique. At 0.7 it finds all, and random points find none."""
_CLEAN_MARGIN = 5.0  # the clean image's score, so that no loss saturates
_RIDGES = (1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-6)  # of the mean variance of a feature
_PER_FORWARD = 256


class Problem(NamedTuple):
    """A readout of one image, and the point that it calls adversarial."""

    weights: Tensor
    """`(d,)`"""
    bias: Tensor
    """`()`"""
    planted: Tensor
    """`(c, h, w)`"""


class PlantedModel(DefendedModel):
    """A defended network that reads an image by the readout of its own anchor."""

    def _logits(self, x: Tensor, number: int, passing: Draws | None = None) -> Tensor:
        readouts(self).choose(x.detach())
        return super()._logits(x, number, passing)


def readouts(model: DefendedModel) -> Readouts:
    """The readouts inside a defended model."""
    counted = model.model
    inner = counted.model if isinstance(counted, CountedModel) else counted
    assert isinstance(inner, Readouts)
    return inner


def binarization(plan: Plan, subjects: Sequence[Subject], images: Sequence[int]) -> tuple[Indicator, ...]:
    """Test the attacks of a plan.

    Args:
        plan: the evaluation.
        subjects: along which gradient each defense's attacks run.
        images: this process's share of the images; those of the plan's sample are tested.

    Returns:
        For each defense and attack, `binarization`: in how many of the problems the attack finds an example;
        and `binarization_random`: in how many of them random points of the ball do. Defenses that may refuse
        an image are not tested: to refuse is no side of the readout.
    """
    sample = plan.sample(TESTED)
    shard = set(images)
    tested = [index for index in _apart(plan, sample) if index in shard]
    outcomes: list[Indicator] = []
    for subject in subjects:
        if plan.refuses(subject.defense):
            continue
        outcomes += [
            Indicator(defense=subject.defense, attack=attack, rung=subject.rung, name=name, part=0, whole=0)
            for attack in plan.attacks
            for name in OUTCOMES
        ]  # where no image can be tested, that is told

        def work(batch: Batch, subject: Subject = subject) -> list[Indicator]:
            return _Test(plan, subject, batch.to(plan.device)).outcomes()

        for indicators in in_batches(plan.dataset, tested, plan.size, work):
            outcomes += indicators
    return added(outcomes)


def _apart(plan: Plan, sample: Sequence[int]) -> list[int]:
    """The images whose balls touch no other's, so that a point of a ball tells whose it is."""
    x, threat = read_batch(plan.dataset, sample).x, plan.threat
    gaps = torch.stack([threat.distance(x, image.unsqueeze(0)) for image in x])
    gaps.fill_diagonal_(torch.inf)
    apart = gaps.amin(1) > 2.0 * threat.eps
    return [index for index, alone in zip(sample, apart.tolist(), strict=True) if alone]


class _Test:
    """The problems of one batch of images behind one defense, and the attacks on them."""

    def __init__(self, plan: Plan, subject: Subject, batch: Batch) -> None:
        self.plan, self.subject, self.batch = plan, subject, batch
        self.draws = Draws(plan.seed, batch.indices).stream("binarization")
        self.random = plan.is_random(subject.defense)
        inner = plan.model.model if isinstance(plan.model, CountedModel) else plan.model
        self.readouts = Readouts(inner, batch.x[:1])
        self.network = CountedModel(self.readouts, plan.shown)

    def outcomes(self) -> list[Indicator]:
        """What the plan's attacks, and random points, find."""
        built = [self._problem(row) for row in range(len(self.batch.x))]
        rows = [row for row, problem in enumerate(built) if problem is not None]
        problems = [problem for problem in built if problem is not None]
        if problems:
            self._read(rows, problems)
            planted = torch.stack([problem.planted for problem in problems])
            there = ~self._stands(planted, rows) & self._stands(self.batch.x[rows], rows)
            rows = [row for row, is_there in zip(rows, there.tolist(), strict=True) if is_there]
        outcomes = []
        for name in self.plan.attacks:
            by_attack = self._attacked(name, rows) if rows else 0
            outcomes.append(self._indicator("binarization", name, by_attack, len(rows)))
            by_chance = self._tried(rows) if rows else 0
            outcomes.append(self._indicator("binarization_random", name, by_chance, len(rows)))
        return outcomes

    def _indicator(self, name: str, attack: str, part: int, whole: int) -> Indicator:
        defense, rung = self.subject.defense, self.subject.rung
        return Indicator(defense=defense, attack=attack, rung=rung, name=name, part=part, whole=whole)

    def _problem(self, row: int) -> Problem | None:
        """A readout that tells the points inside from the planted one; None where none is linear."""
        x = self.batch.x[row : row + 1]
        draws = self.draws.take(torch.tensor([row], device=x.device))
        inner = torch.cat([x, _inside(x, self.plan.threat, draws)])
        planted = on_the_border(x, self.plan.threat, draws.stream("planted"))
        within, outside = self._features(inner), self._mean_features(planted)
        weights = _discriminant(within, outside, self._last)
        scores, score = within @ weights, outside @ weights
        last = self._last(scores)
        gap = score - last
        if not bool(gap > 0.0) or not bool(score.isfinite()):
            return None
        border = last + _CLOSE * gap
        clean = scores.mean() if self.random else scores[0]
        scale = _CLEAN_MARGIN / (border - clean)
        return Problem((weights * scale).float(), (-border * scale).float(), planted[0])

    def _last(self, scores: Tensor) -> Tensor:
        """From where on a point counts as outside: beyond all inner ones.

        Behind a random defense a point's features move, and its majority follows their mean: there it is the
        mean of the inner ones.
        """
        return scores.mean() if self.random else scores.max()

    def _mean_features(self, point: Tensor) -> Tensor:
        """Features of one point `(1, c, h, w)`, over several draws of a random defense, `(d,)`."""
        draws = range(self.plan.eot if self.random else 1)
        return torch.stack([self._features(point, number)[0] for number in draws]).mean(0)

    @torch.no_grad()
    def _features(self, x: Tensor, number: int = 0) -> Tensor:
        """Features behind the defense, `(n, d)` float64; what stands at the logits is behind the readout."""
        self.readouts.readout = None
        links = [link for link in self.subject.chain if link.at != LOGITS]
        sampling = Sampling(self.plan.seed, f"attack/binarization/features {number}")
        lanes = self.plan.size.lanes
        model = DefendedModel(self.network, links, sampling=sampling, lanes=lanes)
        parts = torch.split(x, min(_PER_FORWARD, self.plan.size.images))
        return torch.cat([model(part) for part in parts]).double()

    def _read(self, rows: Sequence[int], problems: Sequence[Problem]) -> None:
        with torch.no_grad():
            classes = self._classes()
        self.readouts.readout = Readout(
            anchors=self.batch.x[list(rows)],
            weights=torch.stack([problem.weights for problem in problems]),
            biases=torch.stack([problem.bias for problem in problems]),
            classes=classes,
            distance=self.plan.threat.distance,
        )

    def _classes(self) -> int:
        logits: Tensor = self.readouts.network(self.batch.x[:1])
        return max(2, logits.shape[1])

    def _model(self, *, bpda: bool, sampling: Sampling) -> PlantedModel:
        size = self.plan.size
        return PlantedModel(
            self.network,
            self.subject.chain,
            bpda=bpda,
            sampling=sampling,
            lanes=size.lanes,
            at_once=size.images,
        )

    @torch.no_grad()
    def _stands(self, x_adv: Tensor, rows: Sequence[int]) -> Tensor:
        """Whether each point is on the clean image's side, as the judge of the run sees it; `(n,)` bool."""
        rule = self.plan.judge.of_clean
        model = self._model(bpda=False, sampling=sampling_of(rule, self.plan.seed))
        x, y = self.batch.x[list(rows)], torch.zeros_like(self.batch.y[list(rows)])
        return judge(model.sampled(x_adv), x_adv, x, y, self.plan.threat, rule=rule).robust

    def _attacked(self, name: str, rows: Sequence[int]) -> int:
        """In how many problems an attack of the run finds an example."""
        attacked = self.plan.attacked(self.subject.defense, stream=f"binarization/{name}")
        model = self._model(bpda=self.subject.rung == "bpda", sampling=attacked.sampling)
        x, y = self.batch.x[list(rows)], torch.zeros_like(self.batch.y[list(rows)])
        draws = self.draws.take(torch.tensor(list(rows), device=y.device)).stream(name)
        attack = self.plan.attacks[name]
        attempt = attack(attacked_as(attack, model, draws), x, y, self.plan.threat, draws)
        x_adv = self.plan.threat.project(attempt.x_adv.detach(), x)
        return int((~self._stands(x_adv, rows)).sum())

    @torch.no_grad()
    def _tried(self, rows: Sequence[int]) -> int:
        """In how many problems one of some random points of the border is an example."""
        x = self.batch.x[list(rows)]
        draws = self.draws.take(torch.tensor(list(rows), device=x.device))
        once = self._model(bpda=False, sampling=Sampling(self.plan.seed, "attack/binarization/tries"))
        standing = torch.ones(len(rows), dtype=torch.bool, device=x.device)
        for number in range(TRIES):
            point = on_the_border(x, self.plan.threat, draws.stream(f"try {number}"))
            seen = standing & (once(point).argmax(1) != 0)
            if bool(seen.any()):  # by one draw, where the judge takes many
                standing &= ~seen | self._stands(point, rows)
        return int((~standing).sum())


def _inside(x: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """Random points well inside the ball of one image `(1, c, h, w)`, `(INNER, c, h, w)`.

    The first half lie on the border of the smaller ball: of points that are uniform in the ball alone, as the
    paper has them, many networks tell every corner of an L-inf ball by its mere contrast.
    """
    smaller = replace(threat, eps=_INSIDE * threat.eps, text="")
    # A stream an image, whose points are told apart as images are elsewhere.
    points = torch.arange(INNER, device=x.device)
    own = Draws(draws.seed, points, f"{draws.name}/inner of {int(draws.indices[0])}")
    within = smaller.random_point(x.expand(INNER, *x.shape[1:]), own)
    half = INNER // 2
    within[:half] = on_the_border(x.expand(half, *x.shape[1:]), smaller, own.take(points[:half]))
    return within


def on_the_border(x: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """A random point on the border of each image's ball, clipped to [0, 1], `(n, c, h, w)`.

    In L-inf it is a corner of the ball; in L2 and L1 its direction is uniform over the sphere.
    """
    shape = tuple(x.shape[1:])
    if threat.norm == "linf":
        delta = threat.eps * (2.0 * (draws.uniform(shape) >= 0.5) - 1.0)
    elif threat.norm == "l2":
        normal = draws.normal(shape)
        delta = threat.eps * normal / normal.flatten(1).norm(dim=1).view(-1, *[1] * len(shape))
    else:
        signs = 2.0 * (draws.uniform(shape) >= 0.5) - 1.0
        lengths = -(1.0 - draws.stream("lengths").uniform(shape)).log()
        delta = threat.eps * signs * lengths / lengths.flatten(1).sum(1).view(-1, *[1] * len(shape))
    return threat.project((x + delta.to(x)).clamp(0.0, 1.0), x)


def _discriminant(within: Tensor, outside: Tensor, last: Callable[[Tensor], Tensor]) -> Tensor:
    """The direction that tells one point `(d,)` from a cloud `(n, d)` by the widest gap, `(d,)`.

    Among Fisher's directions `(S + r I)^-1 (outside - mean)`, for the cloud's covariance `S` and ridges `r`,
    the one whose gap between the point and the cloud's last is the widest for its length, as a support vector
    machine's is among all: the smoother a readout, the less of the test is its own difficulty.
    """
    mean = within.mean(0)
    cloud, gap = (within - mean) / (len(within) - 1) ** 0.5, outside - mean
    _, lengths, axes = torch.linalg.svd(cloud, full_matrices=False)
    along = axes @ gap
    off = gap - axes.T @ along
    best, widest = gap, -torch.inf
    for ridge in _RIDGES:
        r = ridge * float(lengths.square().mean()) + torch.finfo(torch.float32).tiny
        weights = axes.T @ (along / (lengths.square() + r)) + off / r
        scores = within @ weights
        width = float((outside @ weights - last(scores)) / weights.norm())
        if width > widest:
            best, widest = weights, width
    return best
