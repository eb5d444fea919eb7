"""A classifier with every defense in its place: the only thing that is ever judged."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from advbench.defended.backward import BPDA, Map, TrueGradient, identity
from advbench.defended.clips import clipped_from_inside
from advbench.defended.counting import CountedModel
from advbench.defended.detector import Column, Detector, check_scores, joint_logits, refused_by
from advbench.defended.logits import LogitsOf
from advbench.defended.members import MEMBERS
from advbench.defended.normalized import Normalized
from advbench.defended.random_model import RandomModel, draws_inside, goes_alone, streams_of_model
from advbench.defended.readouts import Readouts
from advbench.defended.reject import OUTPUTS, WithoutRefusal
from advbench.defended.substitutes import LEARNED, listed, make_substitute, unwrapped
from advbench.defended.surrogate import UNDER_GRADIENT, decider_of
from advbench.draws.draws import Draws
from advbench.draws.sampling import ONE_DRAW, Sampling, is_random
from advbench.errors import DefenseError, nearest
from advbench.names.grammar import INPUT, LOGITS

LANES: Final = 8
"""On CPUs, multiples of 8 images gave every image the same bits whatever their number, for LeNet5, ResNets
and a vision transformer, with 1, 2, 4 and 8 threads; batches of 1, 2, 3, 5, 6 and 7 did not."""


Scores = dict[int, Tensor]
"""Of one forward pass: a column `(n, 1)` a detector, by its number in the chain."""


@dataclass(frozen=True)
class Placement:
    """A defense at a place of the network.

    Args:
        defense: any function or module on batches `(n, ...)`; it may name its substitutes (`substitutes`, the
            best known first) or carry one (`substitute`).
        at: `input`, `logits`, or the name of a module as in `model.named_modules()`, whose output is
            defended.
        substitute: what stands in for the defense in BPDA's backward pass; by default what the defense
            names itself, else the identity.
    """

    defense: Callable[..., Tensor]
    at: str = INPUT
    substitute: Map | None = None

    def stage(self, *, bpda: bool) -> nn.Module:
        """The defense as a module, with its substitute's gradient or with its own."""
        if not bpda:
            # A defense that the user has wrapped already still has a gradient of its own.
            return TrueGradient(self.defense.defense if isinstance(self.defense, BPDA) else self.defense)
        if self.detector is not None:
            return BPDA(self.defense, Column(self.chosen_substitute))
        return BPDA(self.defense, self.chosen_substitute)

    @property
    def detector(self) -> Detector | None:
        """The detector that stands there, and changes nothing; None where it is a defense that does."""
        own = unwrapped(self.defense)
        return own if isinstance(own, Detector) else None

    @property
    def modules(self) -> list[nn.Module]:
        """What of it has a state: the defense, and what stands in for it, where these are modules."""
        detector = self.detector
        maps: list[Any] = [detector.score] if detector is not None else [self.defense]
        return [stage for stage in (*maps, self.chosen_substitute) if isinstance(stage, nn.Module)]

    @property
    def abstains(self) -> bool:
        """Whether the defense says that it may give no class, which is NaN."""
        return getattr(unwrapped(self.defense), "abstains", False) is True

    @property
    def as_attacked(self) -> "Placement":
        """What attacks are shown: a defense that abstains would tell them nothing, and they see it decide."""
        if not self.abstains:
            return self
        decided: Any = unwrapped(self.defense)
        return Placement(decided.without_abstaining(), self.at, self.chosen_substitute)

    @property
    def is_random(self) -> bool:
        """Whether the defense says that it draws random numbers."""
        return is_random(self.defense.defense if isinstance(self.defense, BPDA) else self.defense)

    @property
    def chosen_substitute(self) -> Map:
        """What stands in for the defense: what was asked for, else the best known of those that it names.

        A network that is `learned` would have to be fitted first, and is passed over.
        """
        if self.substitute is not None:
            return self.substitute
        own: Map | None = getattr(self.defense, "substitute", None)
        if own is not None:
            return own
        at_hand = [name for name in listed(self.defense) if name != LEARNED]
        return make_substitute(at_hand[0], self.defense) if at_hand else identity


class Answers(NamedTuple):
    """What a defended model says of images in each of its draws."""

    logits: Tensor
    """Of its classifier, `(draws, n, k)`."""
    refused: Tensor | None
    """Which images its detectors refuse, `(draws, n)` bool; None where it has none."""


def usual_place(defense: object) -> str:
    """Where a defense stands that is given no place: where it says itself, else at the input."""
    place = getattr(defense, "place", INPUT)
    return place if isinstance(place, str) else INPUT


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
        self.is_random = draws_inside(model) or any(placement.is_random for placement in placements)
        self.abstains = any(placement.abstains for placement in placements)
        self.stages = nn.ModuleList(placement.stage(bpda=bpda) for placement in placements)
        self.places = tuple(placement.at for placement in placements)
        self.detectors = {
            number: placement.detector
            for number, placement in enumerate(placements)
            if placement.detector is not None
        }
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

    def draws(self) -> list[Map]:
        """The defended model under each of its draws, pixels `(n, c, h, w)` to logits `(n, k)`."""
        count = self.sampling.count if self.is_random else 1
        draws = [partial(self._in_pieces, number=number) for number in range(count)]
        return [partial(clipped_from_inside, draw, network=self.model) for draw in draws]

    def pieces(self, count: int) -> list[slice]:
        """The parts of a batch of `count` images that the network sees one after another."""
        size = self.at_once or max(1, count)
        return [slice(first, min(first + size, count)) for first in range(0, max(1, count), size)]

    def _in_pieces(self, x: Tensor, number: int) -> Tensor:
        pieces = [self._filled_up(x[piece], number) for piece in self.pieces(len(x))]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _filled_up(self, x: Tensor, number: int) -> Tensor:
        spare = 0 if self.lanes == 1 else roomy(len(x), self.lanes) - len(x)
        if spare == 0 or len(x) == 0:
            return self._logits(x, number)
        filled = torch.cat([x, x[-1:].expand(spare, *x.shape[1:])])
        with self._counting(spare, len(filled)):
            logits: Any = self._logits(filled, number)
        if isinstance(logits, Tensor):  # what is no tensor is handed on: whoever asked will say so
            logits = logits[: len(x)]
        return logits  # type: ignore[no-any-return]  # a user's model may return anything

    def _counting(self, spare: int, size: int) -> AbstractContextManager[None]:
        model = decider_of(self.model)
        return model.shown.filled_up(spare, size) if isinstance(model, CountedModel) else nullcontext()

    def _logits(self, x: Tensor, number: int) -> Tensor:
        draws = self.sampling.draws(x, number) if self.is_random else None
        scores = dict[int, Tensor]() if self.tells_scores or self.label is not None else None
        x = self._through(INPUT, x, draws, scores)
        inside = None if draws is None else draws.stream("model")
        with self._hooks(draws, scores) as reached, streams_of_model(inside):
            logits: Tensor = self.model(x)
        missed = {place for place, _ in self._sites} - reached
        if missed:
            raise DefenseError(
                f"the model never called its module {min(missed)!r}, so the defense there does nothing. "
                "Place it at a module that the forward pass goes through."
            )
        logits = self._through(LOGITS, logits, draws, scores)
        return logits if scores is None else self._with(logits, scores)

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
            if output.dtype == torch.bfloat16:  # the network's choice alone (`working_copy.in_bfloat16`)
                return self._through(place, output.float(), draws, scores).to(output.dtype)
            return self._through(place, output, draws, scores)

        return defend


def roomy(count: int, lanes: int) -> int:
    """The least of 1, 2, 3, 4, 6, 8, 12, 16, ... times `lanes` that is not below `count`.

    A batch takes few different sizes so: allocators and convolution libraries keep memory for every size
    that they meet. At most a third is wasted.
    """
    filled = max(1, -(-count // lanes))
    power = 1 << (filled - 1).bit_length()
    return lanes * (power * 3 // 4 if power >= 4 and filled <= power * 3 // 4 else power)


def network_of(model: nn.Module) -> nn.Module:
    """The user's own network, without the wrappers that defenses, normalisation, draws and counting add."""
    if isinstance(model, DefendedModel | CountedModel):
        return network_of(model.model)
    if isinstance(model, Normalized | LogitsOf | RandomModel | Readouts | WithoutRefusal):
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
    return _refusing(model.network) if isinstance(model, Normalized | LogitsOf | RandomModel) else None
