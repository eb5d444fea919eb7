"""A classifier with every defense in its place: the only thing that is ever judged."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from advbench.defended.adaptation import adaptation_in
from advbench.defended.adapting import Adapting, Episode, Gradient, adapted, adapting_in
from advbench.defended.backward import Map
from advbench.defended.clips import clipped_from_inside
from advbench.defended.counting import CountedModel
from advbench.defended.detector import check_scores, joint_logits, refused_by
from advbench.defended.head import Head
from advbench.defended.lanes import roomy
from advbench.defended.logits import LogitsOf
from advbench.defended.mates import Mates
from advbench.defended.members import MEMBERS
from advbench.defended.normalized import Normalized
from advbench.defended.output_kinds import ReadAs
from advbench.defended.own_precision import HALVES, InOwnPrecision, underflows
from advbench.defended.placement import Placement as Placement  # noqa: PLC0414  # they are imported together
from advbench.defended.placement import usual_place as usual_place  # noqa: PLC0414
from advbench.defended.random_model import RandomModel, draws_inside, goes_alone, streams_of_model
from advbench.defended.readouts import Readouts
from advbench.defended.reject import OUTPUTS, WithoutRefusal
from advbench.defended.substitutes import unwrapped
from advbench.defended.surrogate import UNDER_GRADIENT, decider_of
from advbench.draws.calls import Calls
from advbench.draws.draws import Draws
from advbench.draws.sampling import ONE_DRAW, Sampling
from advbench.errors import DefenseError, nearest
from advbench.names.grammar import INPUT, LOGITS

Scores = dict[int, Tensor]
"""Of one forward pass: a column `(n, 1)` a detector, by its number in the chain."""


_WRAPPERS: Final = (Normalized, LogitsOf, InOwnPrecision, ReadAs, RandomModel)


class Answers(NamedTuple):
    """What a defended model says of images in each of its draws."""

    logits: Tensor
    """Of its classifier, `(draws, n, k)`."""
    refused: Tensor | None
    """Which images its detectors refuse, `(draws, n)` bool; None where it has none."""


class DefendedModel(nn.Module):
    """A classifier with defenses in place; the model itself stays as it is.

    Defenses inside the network are forward hooks that live for one forward pass, so several defended
    models can share one classifier. A chain at one place runs in its order. Detectors read what passes their
    place; the logits are those of the classifier alone, but for a model that stands `against` an attack.

    Args:
        model: `f`, pixels in [0, 1] `(n, c, h, w)` to logits `(n, k)`.
        placements: the defenses, in the order in which they act.
        bpda: whether gradients go through the substitutes (True) or through the defenses as they are.
        sampling: the draws that random defenses get.
        lanes: the network sees multiples of so many images, the last one repeated where some are
            missing. Libraries choose their kernels by the batch's size, and the sums of small and odd
            batches differ in their last bits from those of others; an attack that follows signs makes
            other examples of that. See `LANES`.
        at_once: the network sees so many images at a time at most; all of them by default. One that draws
            from generators of the process sees one, whatever is said here (`RandomModel`).

    Raises:
        DefenseError: a place that the network does not have; the message suggests the nearest ones.
    """

    def __init__(
        self,
        model: nn.Module,
        placements: Sequence[Placement],
        *,
        bpda: bool = False,
        sampling: Sampling = ONE_DRAW,
        lanes: int = 1,
        at_once: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.sampling = sampling
        self.lanes, self.at_once = (1, 1) if goes_alone(model) else (lanes, at_once)
        self.adaptation = adaptation_in(placements)
        if self.adaptation is not None:  # what it is given is a batch of the user's, whole
            self.lanes, self.at_once = 1, None
        self.episode = self._first_episode("held" if bpda else "whole")
        self.mates: Mates | None = None
        self.calls: Calls | None = None
        self.is_random = draws_inside(model) or any(placement.is_random for placement in placements)
        self.abstains = any(placement.abstains for placement in placements)
        self.stages = nn.ModuleList(placement.stage(bpda=bpda) for placement in placements)
        self.places = tuple(placement.at for placement in placements)
        self.detectors = {
            number: placement.detector
            for number, placement in enumerate(placements)
            if placement.detector is not None
        }
        self.heads = [
            number
            for number, placement in enumerate(placements)
            if placement.at != LOGITS and isinstance(unwrapped(placement.defense), Head)
        ]
        self.underflows = underflows(model)
        self.label: int | None = None
        self.tells_scores = False
        inside = sorted(set(self.places) - {INPUT, LOGITS})
        for ambiguous in {INPUT, LOGITS} & set(self.places) & dict(network_of(model).named_modules()).keys():
            raise DefenseError(f"{ambiguous!r} is a place and a module of this model; rename the module.")
        # A tuple, so that they are not registered as modules of this one a second time.
        self._sites = tuple((place, find_module(model, place)) for place in inside)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the defended model, `(n, k)`; their mean over its draws if a defense is random."""
        logits = [draw(x) for draw in self.draws()]
        return logits[0] if len(logits) == 1 else torch.stack(logits).mean(0)

    def sampled(self, x: Tensor) -> Tensor:
        """Logits of the defended model in each of its draws, `(draws, n, k)`; one where nothing is random."""
        return torch.stack([draw(x) for draw in self.draws()])

    def answers(self, x: Tensor) -> Answers:
        """What it says in each of its draws, and which images it refuses.

        Raises:
            DefenseError: a detector gives NaN, which tells neither.
        """
        if not self.detectors:
            return Answers(self.sampled(x), None)
        outputs = self.with_scores().sampled(x)
        k, detectors = outputs.shape[-1] - len(self.detectors), list(self.detectors.values())
        check_scores(detectors, outputs[..., k:])
        return Answers(outputs[..., :k], refused_by(detectors, outputs[..., k:]))

    def against(self, label: int) -> "DefendedModel":
        """As an attack on images of one label sees it: joint logits in which to refuse is right.

        Args:
            label: of all images that it will be given.

        Returns:
            The model itself where nothing can be refused.
        """
        if not self.detectors:
            return self
        seen = copy.copy(self)
        seen.label = label
        return seen

    def with_scores(self) -> "DefendedModel":
        """The model whose logits are followed by the scores of its detectors, `(n, k + detectors)`."""
        if not self.detectors:
            return self
        seen = copy.copy(self)
        seen.tells_scores = True
        return seen

    def _first_episode(self, gradient: Gradient) -> Episode | None:
        """A pass of a model that adapts, from its initial state.

        Raises:
            DefenseError: the model is not known to adapt.
        """
        if self.adaptation is None:
            return None
        adapting = adapting_in(self.model)
        if adapting is None:
            raise DefenseError("the model is no Adapting(network), so there is nothing to adapt.")
        return Episode(adapting.initial, gradient)

    def in_batch(self, mates: Mates, episode: Episode) -> "DefendedModel":
        """The model for some images of a declared batch, whose others are as they are.

        Args:
            mates: the batch, and the images that will be given.
            episode: the state in which it finds the batch, and what is differentiated.
        """
        seen = copy.copy(self)
        seen.mates, seen.episode = mates, episode
        return seen

    def showing(self, rows: Tensor | slice) -> "DefendedModel":
        """The model for some of the images of an attack, as an index, a mask or a slice of them."""
        if self.calls is None:
            return self
        seen = copy.copy(self)
        seen.calls = self.calls.take(rows)
        return seen

    @property
    def goes_together(self) -> bool:
        """Whether the answer to an image depends on the others: an attack then keeps its images together."""
        return self.adaptation is not None

    def alone(self, x: Tensor, row: int) -> Tensor:
        """Logits in each draw of one image of a batch `x`, `(draws, 1, k)`; alone, where it may be alone."""
        if self.goes_together:
            return self.sampled(x)[:, row : row + 1]
        return self.sampled(x[row : row + 1])

    def draws(self) -> list[Map]:
        """The defended model under each of its draws, pixels `(n, c, h, w)` to logits `(n, k)`."""
        count = self.sampling.count if self.is_random else 1
        return [partial(self._draw, number=number) for number in range(count)]

    def pieces(self, count: int) -> list[slice]:
        """The parts of a batch of `count` images that the network sees one after another."""
        size = self.at_once or max(1, count)
        return [slice(first, min(first + size, count)) for first in range(0, max(1, count), size)]

    def _draw(self, x: Tensor, number: int) -> Tensor:
        passing = None if self.calls is None else self.calls.advance(number, len(x))
        logits = partial(self._in_pieces, number=number, passing=passing)
        return clipped_from_inside(logits, x, network=self.model)

    def _in_pieces(self, x: Tensor, number: int, passing: Draws | None) -> Tensor:
        if self.mates is not None:
            logits = self._filled_up(self.mates.with_images(x), number)[self.mates.rows]
            self.mates.seen(x, logits)
            return logits
        pieces = [
            self._filled_up(x[piece], number, passing and passing.take(piece))
            for piece in self.pieces(len(x))
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _filled_up(self, x: Tensor, number: int, passing: Draws | None = None) -> Tensor:
        spare = 0 if self.lanes == 1 else roomy(len(x), self.lanes) - len(x)
        if spare == 0 or len(x) == 0:
            return self._logits(x, number, passing)
        filled = torch.cat([x, x[-1:].expand(spare, *x.shape[1:])])
        passing = passing and passing.filled_up(spare)
        with self._counting(spare, len(filled)):
            logits: Any = self._logits(filled, number, passing)
        if isinstance(logits, Tensor):  # what is no tensor is handed on: whoever asked will say so
            logits = logits[: len(x)]
        return logits  # type: ignore[no-any-return]  # a user's model may return anything

    def _counting(self, spare: int, size: int) -> AbstractContextManager[None]:
        model = decider_of(self.model)
        return model.shown.filled_up(spare, size) if isinstance(model, CountedModel) else nullcontext()

    def _logits(self, x: Tensor, number: int, passing: Draws | None = None) -> Tensor:
        draws = self.sampling.draws(x, number, passing) if self.is_random else None
        is_asked = self.tells_scores or self.label is not None
        scores = dict[int, Tensor]() if is_asked or self.heads else None
        x = self._through(INPUT, x, draws, scores)
        inside = None if draws is None else draws.stream("model")
        with self._hooks(draws, scores) as reached, streams_of_model(inside), adapted(self.episode):
            logits: Tensor = self.model(x)
        missed = {place for place, _ in self._sites} - reached
        if missed:
            raise DefenseError(
                f"the model never called its module {min(missed)!r}, so the defense there does nothing. "
                "Place it at a module that the forward pass goes through."
            )
        if scores is not None and self.heads:  # the last head is the one that answers
            logits = scores[self.heads[-1]]
        logits = self._through(LOGITS, logits, draws, scores)
        return logits if scores is None or not is_asked else self._with(logits, scores)

    def _with(self, logits: Tensor, scores: Scores) -> Tensor:
        """What the model is to say of its detectors' scores beside its logits, or in them."""
        columns = torch.cat([scores[number].to(logits.dtype) for number in self.detectors], dim=1)
        if self.label is None or self.tells_scores:
            return torch.cat([logits, columns], dim=1)
        return joint_logits(list(self.detectors.values()), logits, columns, self.label)

    def _through(self, place: str, x: Tensor, draws: Draws | None, scores: Scores | None = None) -> Tensor:
        for number, (at, stage) in enumerate(zip(self.places, self.stages, strict=True)):
            if at != place:
                continue
            if number in self.detectors:
                if scores is not None:
                    scores[number] = stage(x)
                continue
            if number in self.heads and scores is not None:
                if number in scores:
                    raise DefenseError(
                        f"the model calls its module {place!r} more than once; a head stands at one that it "
                        "calls once."
                    )
                scores[number] = stage(x.clone(), None)  # the network may go on in place
                continue
            x = stage(x, None if draws is None else draws.stream(number))
        return x

    @contextmanager
    def _hooks(self, draws: Draws | None, scores: Scores | None) -> Iterator[set[str]]:
        reached: set[str] = set()
        handles = [
            module.register_forward_hook(self._hook(place, reached, draws, scores))
            for place, module in self._sites
        ]
        try:
            yield reached
        finally:
            for handle in handles:
                handle.remove()

    def _hook(
        self, place: str, reached: set[str], draws: Draws | None, scores: Scores | None
    ) -> Callable[..., Tensor]:
        def defend(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor):
                raise DefenseError(
                    f"module {place!r} returns {type(output).__name__}, not a tensor; place the defense at "
                    "a module before or after it."
                )
            reached.add(place)
            if output.dtype in HALVES:  # the network's choice alone (also `working_copy.in_bfloat16`)
                return self._through(place, output.float(), draws, scores).to(output.dtype)
            return self._through(place, output, draws, scores)

        return defend


def network_of(model: nn.Module) -> nn.Module:
    """The user's own network, without the wrappers that defenses, normalisation, draws and counting add."""
    if isinstance(model, DefendedModel | CountedModel):
        return network_of(model.model)
    if isinstance(model, (*_WRAPPERS, Adapting, Readouts, WithoutRefusal)):
        return network_of(model.network)
    if isinstance(model, UNDER_GRADIENT):
        return network_of(decider_of(model))
    return model


def find_module(model: nn.Module, name: str) -> nn.Module:
    """The module called `name` in the network's own `named_modules()`, under its normalisation if it has one.

    Raises:
        DefenseError: no such module; the message suggests the nearest ones.
    """
    if name == OUTPUTS:
        return _outputs_of(model)
    modules: dict[str, nn.Module] = dict(network_of(model).named_modules())
    del modules[""]  # the network itself
    if not modules:
        raise DefenseError(
            f"the model shows no modules to place a defense at, so not {name!r}: it is a single module or a "
            "program (TorchScript, .pt2). Use 'input' or 'logits'."
        )
    if name not in modules:
        if name == MEMBERS:
            raise DefenseError(
                f"the model has no module {name!r}: an ensemble has it, of --member FILE or "
                "advbench.Members([...])."
            )
        raise DefenseError(f"the model has no module {name!r}. {nearest(name, [INPUT, LOGITS, *modules])}")
    return modules[name]


def may_be_nan(model: nn.Module) -> bool:
    """Whether logits that are NaN are how a model refuses."""
    refusing = _refusing(model)
    return refusing is not None and refusing.reject is None


def _outputs_of(model: nn.Module) -> nn.Module:
    """The network whose outputs hold a refusal, inside what takes that away.

    Raises:
        DefenseError: there is none.
    """
    refusing = _refusing(model)
    if refusing is None:
        raise DefenseError("the model has no class for what it refuses: say which, with --reject-class.")
    return refusing.network


def _refusing(model: nn.Module) -> WithoutRefusal | None:
    """What takes the refusal out of a network's outputs; None where there is none in them."""
    if isinstance(model, WithoutRefusal):
        return model
    if isinstance(model, DefendedModel | CountedModel):
        return _refusing(model.model)
    if isinstance(model, UNDER_GRADIENT):
        return _refusing(decider_of(model))
    return _refusing(model.network) if isinstance(model, _WRAPPERS) else None
