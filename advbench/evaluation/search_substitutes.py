"""The search for the substitute that breaks a defense: "no one approximation works" (Carlini et al. 2019).

Each candidate is graded on a calibration subset of the run's images. The best, and the one that fells most of
what the best leaves, then attack all images, and each image keeps the worst.

A chain's substitutes act on one another, since the gradient goes through all of them. While there are few
combinations, all are graded. Beyond that the search goes along the elements: from the best of the first
combinations (each element's best known one; the same one everywhere) one element after another is varied and
the others held, which costs the sum of the candidates instead of their product.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Protocol

from advbench.data.batches import Batch
from advbench.defended.substitutes import Element, element_name
from advbench.draws.draws import Draws
from advbench.errors import DefenseError
from advbench.evaluation.by_label import alike
from advbench.evaluation.grade_gradients import STEPS, Graded, grade_batch
from advbench.evaluation.plan import Links, Plan
from advbench.results.records import Candidate
from advbench.speed.batch_size import in_batches

ALL: Final = 16
"""So many combinations of substitutes are all graded; of more, one element after another."""

Elements = tuple[Element, ...]


class Store(Protocol):
    """Where a search keeps what it would not do twice; it may be shared by processes."""

    @property
    def origin(self) -> Mapping[str, str]:
        """Where what is kept comes from, to be written into it."""
        ...

    def load(self, name: str) -> bytes | None:
        """What was kept under a name; None where it has to be made."""
        ...

    def save(self, name: str, contents: bytes) -> None:
        """Keep something under a name."""
        ...


class Choice(NamedTuple):
    """What stands in for a defense."""

    chains: tuple[Links, ...]
    """The defense with its substitutes: the best, and after a search the best complement."""
    words: str
    """Their names, for the table."""
    candidates: tuple[Candidate, ...] = ()
    """What the search found; empty where there was nothing to search."""
    doubts: tuple[str, ...] = ()
    """Why the best of them may say too little."""


class Grade(NamedTuple):
    """A candidate and what came of it."""

    elements: Elements
    candidate: Candidate
    standing: frozenset[int]
    """Indices of the images that stood."""


@dataclass
class Search:
    """The search for one defense's substitutes.

    Args:
        plan: the evaluation that it belongs to.
        defense: which one.
        fit: makes a `learned` substitute for the element at a position of the chain.
        grades: what was found so far, by the candidates' names.
        differences: the loss's differences along random directions, by image.
    """

    plan: Plan
    defense: str
    fit: Callable[[int], Any]
    grades: dict[str, Grade] = field(default_factory=dict)
    differences: dict[int, Any] = field(default_factory=dict)

    def run(self, options: Sequence[Elements], *, separate: bool) -> tuple[Candidate, ...]:
        """Grade the candidates and rank the best two.

        Args:
            options: combinations, or where they are `separate` each element's own candidates.
            separate: which of the two.

        Raises:
            DefenseError: none of them fits.
        """
        if not separate:
            for elements in options:
                self.grade(elements)
        elif math.prod(map(len, options)) <= ALL:
            for elements in itertools.product(*options):
                self.grade(elements)
        else:
            self._along(options)
        fitting = [grade for grade in self.grades.values() if not grade.candidate.note]
        if not fitting:
            first = next(iter(self.grades.values())).candidate
            raise DefenseError(f"no substitute fits {self.defense}; {first.substitute}: {first.note}")
        best = min(fitting, key=_standing)
        rest = [grade for grade in fitting if grade is not best]
        ranks = {best.candidate.substitute: 1}
        if rest:
            complement = min(rest, key=lambda grade: (len(grade.standing & best.standing), *_standing(grade)))
            ranks[complement.candidate.substitute] = 2
        return tuple(replace(grade.candidate, rank=ranks.get(name, 0)) for name, grade in self.grades.items())

    def grade(self, elements: Elements) -> Grade:
        """Grade a combination, once."""
        name = words_of(elements)
        if name not in self.grades:
            try:
                self.grades[name] = self._graded(name, elements)
            except DefenseError as error:
                unfit = Candidate(defense=self.defense, substitute=name, note=str(error))
                self.grades[name] = Grade(elements, unfit, frozenset())
        return self.grades[name]

    def _along(self, options: Sequence[Elements]) -> None:
        shared = [option for option in options[0] if all(option in others for others in options)]
        starts = [tuple(option[0] for option in options), *((option,) * len(options) for option in shared)]
        best = min(map(self.grade, starts), key=_standing)
        for position, candidates in enumerate(options):
            varied = [
                self.grade((*best.elements[:position], candidate, *best.elements[position + 1 :]))
                for candidate in candidates
            ]
            best = min(varied, key=_standing)

    def _graded(self, name: str, elements: Elements) -> Grade:
        plan = self.plan
        chain = realised(plan.chains[self.defense], elements, self.fit)
        target = plan.attacked(self.defense, bpda=True, stream="search", chain=chain)

        def work(batch: Batch) -> list[Graded]:
            graded = []
            for part in alike(batch, apart=plan.refuses(self.defense)):
                indices, x, y = part.to(plan.device)
                draws = Draws(plan.seed, indices).stream("search")
                seen = target.against(int(y[0]))
                graded.append(grade_batch(seen, (x, y), plan.threat, draws, self.differences))
            return graded

        batches = in_batches(plan.dataset, plan.calibration, plan.size, work)
        parts = [part for graded in batches for part in graded]
        right = [index for part in parts for index in part.right]
        standing = frozenset(index for part in parts for index in part.standing)
        candidate = Candidate(
            defense=self.defense,
            substitute=name,
            n=len(right),
            standing=len(standing),
            agreement=_cosine(parts),
            steps=STEPS,
        )
        return Grade(elements, candidate, standing)


def _standing(grade: Grade) -> tuple[float, float]:
    """The order of candidates: what is left standing, then how well its gradient agrees."""
    return order_of(grade.candidate)


def order_of(candidate: Candidate) -> tuple[float, float]:
    """The smaller the better: what it leaves standing, then how little its gradient agrees."""
    if candidate.standing is None:
        return math.inf, 0.0
    return candidate.standing, -2.0 if candidate.agreement is None else -candidate.agreement


def _cosine(parts: Sequence[Graded]) -> float | None:
    both, one, other = (sum(column) for column in zip(*(part.products for part in parts), strict=True))
    return both / math.sqrt(one * other) if one > 0.0 and other > 0.0 else None


def words_of(elements: Elements) -> str:
    """A combination as tables call it."""
    return "+".join(map(element_name, elements))


def realised(chain: Links, elements: Elements, fit: Callable[[int], Any]) -> Links:
    """A chain with its substitutes; `fit` makes those that are to be learned."""
    return tuple(
        replace(link, substitute=fit(position) if isinstance(element, str) else element)
        for position, (link, element) in enumerate(zip(chain, elements, strict=True))
    )
