"""What an evaluation is to do, checked before anything is computed."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from advbench.data.batches import Images
from advbench.defended.adaptation import Adaptation, adaptation_in
from advbench.defended.backward import name_of
from advbench.defended.black_box import black_box_in, counting_in
from advbench.defended.counting import Shown
from advbench.defended.model import DefendedModel, Placement, usual_place
from advbench.defended.own_precision import keeps_precision
from advbench.defended.random_model import draws_inside
from advbench.defended.surrogate import AlongItself, Surrogate, along_surrogate
from advbench.draws.draws import Draws
from advbench.draws.sampling import DRAWS, Sampling
from advbench.errors import InputError
from advbench.names.grammar import INPUT, LOGITS
from advbench.results.indicators import TESTS, Test
from advbench.results.judging import JUDGED, MAJORITY, Judge, Judging, judge_of
from advbench.results.records import ASKABLE, RUNGS, UNDEFENDED, Rung
from advbench.results.surrogates import LEFT_OUT, Likeness
from advbench.results.table import Cell, Heading
from advbench.speed.batch_size import BatchSize
from advbench.threat.attack import Attack
from advbench.threat.threat import Threat

CALIBRATION: Final = 64
"""Images on which substitutes are graded."""

Defense = Callable[..., Tensor]
"""A map of batches; a random one takes its draws as well."""

Chain = Defense | Placement | Sequence[Placement | Defense]
"""A defense as a caller may give it: a map at the input, a placement, or several in their order."""

Links = tuple[Placement, ...]
"""The elements of a defense, each in its place, in their order."""


@dataclass(frozen=True)
class Plan:
    """A model, what stands before and inside it, and who attacks it.

    Args:
        model: pixels to logits.
        dataset: where the images are.
        chains: the defenses by name.
        attacks: the attacks by name.
        threat: what an adversary may do.
        rungs: what is run beside the clean rung.
        tests: what is measured beside the indicators of the ladder.
        seed: of the images' random streams.
        eot: draws of a random defense behind a gradient.
        judge_draws: draws of a random defense in which an example is judged, or the whole rule.
        images: all images of the run, of which this process may attack a part; substitutes are graded on,
            and networks are fitted to, a sample of them.
        calibrate_on: how many images substitutes are graded on.
        gradient_free: the attack of the gradient-free rung, by its name.
        size: how many images at a time.
        working: a copy of the model that gives the same gradients sooner (`working_copy`).
        rough: one that gives nearly the same in bfloat16, for attacks that can do with that.
        compiled: models that stand in for these where no defense sits inside: hooks would compile them anew.
        shown: counts the images that the model is shown (`counting`).
        surrogate: what is differentiated in place of the model on the bpda rungs; None for the model itself.
        stepwise: whether the model's outputs move in steps, and tell attacks along a surrogate no more than
            their decision.
        source: the network that static examples are made on; None for the surrogate or the undefended model.
        without_static: whether the static rung was left out on purpose.
        label_only: the attack of the label-only rung, by its name.

    Raises:
        InputError: nothing to attack with, or a model that cannot be computed with.
    """

    model: nn.Module
    dataset: Images
    chains: Mapping[str, Links]
    attacks: Mapping[str, Attack]
    threat: Threat
    rungs: Sequence[Rung]
    seed: int
    eot: int = DRAWS
    judge_draws: int | Judge = JUDGED
    images: Sequence[int] = ()
    calibrate_on: int = CALIBRATION
    gradient_free: Mapping[str, Attack] = field(default_factory=dict)
    tests: Sequence[Test] = ()
    size: BatchSize = field(default_factory=BatchSize)
    working: nn.Module | None = None
    rough: nn.Module | None = None
    compiled: Mapping[nn.Module, nn.Module] = field(default_factory=dict)
    shown: Shown = field(default_factory=Shown)
    surrogate: Surrogate | None = None
    stepwise: bool = False
    source: Surrogate | None = None
    without_static: bool = False
    label_only: Mapping[str, Attack] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self.judge
        for name in ("eot", "calibrate_on"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}.")
        _check_adversary(self.threat, self.attacks, self.gradient_free, self.label_only)
        if not self.attacks:
            raise InputError("there are no attacks to run.")
        unknown = [rung for rung in self.rungs if rung not in ASKABLE]
        if unknown:
            known = ", ".join((*ASKABLE, *TESTS))
            raise InputError(f"there is no rung {unknown[0]!r}; known: {known}.")
        if self.tests and "worst" not in self.rungs:
            raise InputError(f"the test {self.tests[0]!r} belongs to the rung 'worst', which gives verdicts.")
        if ("gradient_free" in self.rungs) != (len(self.gradient_free) == 1):
            raise InputError("the rung 'gradient_free' and one attack for it belong together.")
        if ("label_only" in self.rungs) != (len(self.label_only) == 1):
            raise InputError("the rung 'label_only' and one attack for it belong together.")
        if not isinstance(self.model, nn.Module):
            raise InputError(f"the model must be a torch.nn.Module, got {type(self.model).__name__}.")
        wrong = {
            parameter.dtype for parameter in self.model.parameters() if parameter.is_floating_point()
        } - {torch.float32}
        if wrong and not keeps_precision(self.model):
            raise InputError(
                f"advbench computes in float32, the model is in {wrong.pop()}: call model.float()."
            )

    def counted(self) -> "Plan":
        """The same, with a model that counts what it is shown."""
        return replace(self, model=counting_in(self.model, self.shown))

    @property
    def judge(self) -> Judge:
        """How random defenses are judged."""
        return judge_of(self.judge_draws)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        tensors = itertools.chain(self.model.parameters(), self.model.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    def modules(self) -> list[nn.Module]:
        """What has a state: the model, and the defenses and substitutes that are modules."""
        links = [link for chain in self.chains.values() for link in chain]
        given = [stand_in.network for stand_in in (self.source, self.surrogate) if stand_in is not None]
        beside = [module for module in given if module is not None]
        return [self.model, *beside, *(module for link in links for module in link.modules)]

    @property
    def places(self) -> set[str]:
        """Where the defenses stand."""
        return {link.at for chain in self.chains.values() for link in chain}

    def is_random(self, defense: str) -> bool:
        """Whether the model, or one of the defense's maps, is said to draw random numbers."""
        return draws_inside(self.model) or any(chain.is_random for chain in self.chains[defense])

    def refuses(self, defense: str) -> bool:
        """Whether a detector stands in the defense, which may refuse an image."""
        return any(link.detector is not None for link in self.chains[defense])

    def adaptation(self, defense: str) -> Adaptation | None:
        """How the model adapts in a row; None where it does not."""
        return adaptation_in(self.chains[defense])

    def size_for(self, defense: str) -> BatchSize:
        """How many images at a time; of a model that adapts as many as it is to see together."""
        adaptation = self.adaptation(defense)
        return self.size if adaptation is None else BatchSize(adaptation.batch, shown=self.shown)

    @property
    def calibration(self) -> list[int]:
        """The images that substitutes are graded on."""
        return self.sample(self.calibrate_on)

    def sample(self, count: int) -> list[int]:
        """Some of the run's images, the same in all of its processes; their order does not matter."""
        return sample_of(self.images, self.seed, count)

    def probe(self, defense: str, count: int) -> list[int]:
        """The images on which the attacks on a row are measured."""
        adaptation = self.adaptation(defense)
        return probe_of(self.images, self.seed, count, 0 if adaptation is None else adaptation.batch)

    def attack_of(self, cell: Cell) -> Attack:
        """What attacks on one rung."""
        shared = {"gradient_free": self.gradient_free, "label_only": self.label_only}
        return shared.get(cell.rung, self.attacks)[cell.attack]

    def lacks_gradient(self, cell: Cell) -> bool:
        """Whether an attack that steps along a gradient meets a black box, which has none of its own."""
        if cell.rung != "shattered" or self.surrogate is None or black_box_in(self.model) is None:
            return False
        attack = self.attack_of(cell)
        return hasattr(attack, "steps") or hasattr(attack, "legs")

    def judged(self, defense: str, judge: Judge | None = None) -> DefendedModel:
        """The model behind one of the defenses, as the judge sees it; by default as for clean images."""
        judge = self.judge.of_clean if judge is None else judge
        return judged_model(self.model, self.chains[defense], self.seed, judge, self.size)

    def attacked(
        self,
        defense: str,
        *,
        bpda: bool = False,
        stream: str = "",
        chain: Links | None = None,
        network: nn.Module | None = None,
    ) -> DefendedModel:
        """The model behind one of the defenses, as an attack sees it.

        Args:
            defense: which one.
            bpda: whether gradients go through substitutes.
            stream: of its random draws.
            chain: the defense with the substitutes that were chosen for it.
            network: what computes; the working copy by default.
        """
        sampling = Sampling(self.seed, f"attack/{stream}", self.eot)
        if self.judge.is_fixed:
            sampling = sampling_of(self.judge, self.seed)
        chain = self.chains[defense] if chain is None else chain
        if network is None:
            network = self.model if self.working is None else self.working
        chain = tuple(link.as_attacked for link in chain)
        if all(link.at in (INPUT, LOGITS) for link in chain):
            network = self.compiled.get(network, network)
        network = self._differentiated(network, chain, bpda=bpda)
        return DefendedModel(
            network, chain, bpda=bpda, sampling=sampling, lanes=self.size.lanes, at_once=self.size.images
        )

    def _differentiated(self, network: nn.Module, chain: Links, *, bpda: bool) -> nn.Module:
        """A network along the surrogate where there is one, else as it is.

        What stands at the logits is to see the model's own, also where these move in steps.
        """
        if self.surrogate is None:
            return network
        if not bpda or self.surrogate.network is None:
            return AlongItself(network)
        stepwise = self.stepwise and all(link.at != LOGITS for link in chain)
        return along_surrogate(network, self.surrogate.network, stepwise=stepwise)

    @property
    def transfers_from(self) -> nn.Module | None:
        """The network that static examples are made on; None for the undefended model."""
        stand_in = self.source or self.surrogate
        return None if stand_in is None else stand_in.network

    @property
    def source_name(self) -> str:
        """What static examples are made on; empty for the undefended model, `none` where there is no rung."""
        stand_in = self.source or self.surrogate
        return LEFT_OUT if self.without_static else "" if stand_in is None else stand_in.name

    def heading(self, names: tuple[str, str], doubts: Mapping[str, tuple[str, ...]]) -> Heading:
        """What the table of this plan is about, given the names of model and data set."""
        return Heading(
            model=names[0],
            dataset=names[1],
            norm=self.threat.norm,
            eps=self.threat.text,
            attacks=tuple(self.attacks),
            substitutes=substitutes_of(self.chains, self.surrogate),
            rungs=tuple(rung for rung in RUNGS if rung in self.rungs),
            gradient_free="".join(self.gradient_free),
            label_only="".join(self.label_only),
            doubts=doubts,
            judging=judging_of(self.judge, self.chains, self.model),
            surrogate=None if self.surrogate is None else Likeness(name=self.surrogate.name),
            source=self.source_name,
        )


def sample_of(images: Sequence[int], seed: int, count: int) -> list[int]:
    """Some of a run's images, by its seed and their indices alone."""
    indices = torch.tensor(sorted(images), dtype=torch.int64)
    words = Draws(seed, indices).stream("calibration").words(1).flatten()
    return sorted(indices[words.argsort(stable=True)[:count]].tolist())


def probe_of(images: Sequence[int], seed: int, count: int, batch: int) -> list[int]:
    """A sample of a run's images; of a model that adapts in declared batches the beginning of the first one.

    One process has all of these, however many share the run.

    Args:
        images: in the order of the run.
        seed: of the run.
        count: how many, at most.
        batch: images of a declared batch; 0 where there is none.
    """
    return list(images[: min(batch, count)]) if batch else sample_of(images, seed, count)


def judged_model(
    model: nn.Module, chain: Sequence[Placement], seed: int, judge: Judge, size: BatchSize
) -> DefendedModel:
    """A model behind a defense as the judge sees it: no attack meets the same draws, but of one fixed seed.

    Args:
        model: pixels to logits.
        chain: the defense in its places.
        seed: of the run.
        judge: how often a random defense is drawn.
        size: how many images at a time.
    """
    sampling = sampling_of(judge, seed)
    return DefendedModel(model, chain, sampling=sampling, lanes=size.lanes, at_once=size.images)


def sampling_of(judge: Judge, seed: int) -> Sampling:
    """The judge's draws of random defenses, which are the attack's too where there is one fixed seed."""
    return Sampling(seed, "fixed" if judge.is_fixed else "judge", judge.passes, fixed=judge.is_fixed)


def judging_of(judge: Judge, chains: Mapping[str, Links], model: nn.Module) -> Judging | None:
    """What a table says of how its random defenses were judged; None where that is by the majority."""
    if judge.rule == MAJORITY:
        return None
    all_random = draws_inside(model)
    random = [
        defense for defense, chain in chains.items() if all_random or any(link.is_random for link in chain)
    ]
    return Judging(rule=judge.rule, draws=judge.draws, random=tuple(random))


def chosen_images(dataset: Images, indices: Sequence[int] | None) -> list[int]:
    """The images to evaluate, all of them by default.

    Raises:
        InputError: none, one twice, or one that the data set does not have.
    """
    chosen = list(range(len(dataset))) if indices is None else [int(index) for index in indices]
    if not chosen:
        raise InputError("there are no images to evaluate.")
    if len(set(chosen)) < len(chosen):
        raise InputError("indices must be distinct: an image counts once.")
    if min(chosen) < 0 or max(chosen) >= len(dataset):
        raise InputError(f"indices must lie in 0..{len(dataset) - 1}, got {min(chosen)}..{max(chosen)}.")
    return chosen


def _check_adversary(threat: Any, *attacks: Any) -> None:
    """Refuse what is no threat and what are no attacks, whatever a caller has in their place.

    Raises:
        InputError: such a thing.
    """
    if not isinstance(threat, Threat):
        raise InputError(f"the threat must be a Threat('linf', 0.03), got {threat!r:.60}.")
    for given in attacks:
        if not isinstance(given, Mapping) or not all(map(callable, given.values())):
            raise InputError(
                f"attacks must be {{name: attack}}, for example {{'pgd': PGD()}}, got {given!r:.60}."
            )


def defense_chains(defenses: Mapping[str, Chain]) -> dict[str, tuple[Placement, ...]]:
    """The defenses in their places by name, the undefended model first.

    Raises:
        InputError: a name that is taken, or something that is no defense.
    """
    if not isinstance(defenses, Mapping):
        raise InputError(f"defenses must be {{name: defense}}, got {defenses!r:.60}.")
    if UNDEFENDED in defenses:
        raise InputError(f"{UNDEFENDED!r} is the undefended model, always there; choose another name.")
    return {UNDEFENDED: (), **{name: _placements(chain) for name, chain in defenses.items()}}


def substitutes_of(
    chains: Mapping[str, tuple[Placement, ...]], surrogate: Surrogate | None = None
) -> dict[str, str]:
    """What stands in for each defense in its bpda rung, and for the undefended model, as the table says."""
    undefended = "" if surrogate is None else surrogate.name
    return {
        defense: "+".join(name_of(link.chosen_substitute) for link in chain) or undefended
        for defense, chain in chains.items()
    }


def _placements(chain: Chain) -> tuple[Placement, ...]:
    given: Any = chain  # whatever a caller has in its place
    alone = isinstance(given, Placement) or callable(given) or not isinstance(given, Iterable)
    links = [given] if alone else list(given)
    placements = tuple(
        link if isinstance(link, Placement) else Placement(link, usual_place(link)) for link in links
    )
    if not placements or not all(callable(placement.defense) for placement in placements):
        raise InputError(f"a defense must be a function, a Placement, or a list of them, got {chain!r}.")
    return placements
