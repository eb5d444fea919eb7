"""From what may stand in for each defense to what does: named, fitted or searched, and done once a run."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from advbench.data.batches import Batch, read_batch
from advbench.defended.backward import name_of
from advbench.defended.head import Head
from advbench.defended.learned import Imitation, fitted, pack_network, pairs_of, read_network
from advbench.defended.learned_head import ENOUGH, HeadImitation
from advbench.defended.model import DefendedModel, Placement
from advbench.defended.substitutes import (
    LEARNED,
    UNLISTED,
    Element,
    element_name,
    listed,
    make_substitute,
    unwrapped,
)
from advbench.draws.draws import Draws
from advbench.draws.sampling import Sampling
from advbench.errors import SpecError
from advbench.evaluation.distil_head import distilled
from advbench.evaluation.plan import Links, Plan
from advbench.evaluation.search_substitutes import Choice, Elements, Search, Store, realised, words_of
from advbench.names.grammar import split_chain
from advbench.results.records import Candidate
from advbench.results.verdict import UNLIKE_HEAD

SEARCH: Final = "search"

EXACT: Final = "exact"

_ONE: Final = 1.0 + 1e-9  # a cosine, up to rounding

FITTED_ON: Final = 256
"""Images that a network is fitted on, at most."""


class Options(NamedTuple):
    """What may stand in for a defense.

    Args:
        elements: combinations of substitutes, one an element of the chain; where they are `separate`, the
            candidates of each element instead.
        separate: which of the two.
    """

    elements: tuple[Elements, ...]
    separate: bool

    @property
    def sole(self) -> Elements | None:
        """The only combination, where there is nothing to search."""
        if self.separate:
            single = all(len(element) == 1 for element in self.elements)
            return tuple(element[0] for element in self.elements) if single else None
        return self.elements[0] if len(self.elements) == 1 else None

    def named(self, words: str) -> Elements | None:
        """The combination that tables call so; None where there is none."""
        if not self.separate:
            return next((element for element in self.elements if words_of(element) == words), None)
        names = split_chain(words)
        if len(names) != len(self.elements):
            return None
        combination = [
            next((candidate for candidate in candidates if element_name(candidate) == name), None)
            for name, candidates in zip(names, self.elements, strict=True)
        ]
        return (
            tuple(candidate for candidate in combination if candidate is not None)
            if None not in combination
            else None
        )


def options_for(defense: str, chain: Links, wanted: Sequence[str]) -> Options:
    """What may stand in for a defense, before any image is looked at.

    Args:
        defense: as it was written.
        chain: its elements in their places.
        wanted: `search`, or names of substitutes, of a chain `a+b`; empty for what the defense lists itself.

    Raises:
        SpecError: a name that an element of the chain does not have, or not one for each element.
    """
    if wanted and tuple(wanted) != (SEARCH,):
        if SEARCH in wanted:
            raise SpecError("'search' tries what the defense lists; give it alone, or name the substitutes.")
        return Options(tuple(_asked_for(text, defense, chain) for text in dict.fromkeys(wanted)), False)
    return Options(tuple(_candidates(link, everything=bool(wanted)) for link in chain), True)


def with_exact(options: Options, chain: Links, passable: Callable[[], Sequence[bool]]) -> Options:
    """The same, where a defense that lists nothing is also tried under its own derivative.

    Args:
        options: what may stand in for it.
        chain: its elements in their places.
        passable: tells which of them have a derivative; it is asked only where that matters.
    """
    if not options.separate or all(map(_knows_its_own, chain)):
        return options
    elements = tuple(
        (make_substitute(EXACT, link.defense), *candidates)
        if passes and not _knows_its_own(link)
        else candidates
        for link, candidates, passes in zip(chain, options.elements, passable(), strict=True)
    )
    return options._replace(elements=elements)


def ready(chains: Mapping[str, Links], options: Mapping[str, Options]) -> dict[str, Links]:
    """The defenses with a single choice of substitutes, none of it to be learned, and these in place."""
    return {
        defense: realised(chains[defense], option.sole, lambda _: None)
        for defense, option in options.items()
        if option.sole is not None and LEARNED not in option.sole
    }


def _asked_for(text: str, defense: str, chain: Links) -> Elements:
    names = split_chain(text)
    if len(names) == 1:
        names = names * len(chain)
    if len(names) != len(chain):
        raise SpecError(
            f"substitute {text!r} is for {len(names)} elements of a chain, and {defense!r} has {len(chain)}."
        )
    return tuple(_element(name, link) for name, link in zip(names, chain, strict=True))


def _candidates(link: Placement, *, everything: bool) -> tuple[Element, ...]:
    own = _own(link)
    if own is not None:
        return (own,)
    names = listed(link.defense) or (UNLISTED if everything else ("identity",))
    return tuple(_element(name, link) for name in names)


def _own(link: Placement) -> Any:
    return link.substitute or getattr(link.defense, "substitute", None)


def _knows_its_own(link: Placement) -> bool:
    """Whether somebody has said what stands in for an element."""
    return _own(link) is not None or bool(listed(link.defense))


def _element(name: str, link: Placement) -> Element:
    return LEARNED if name == LEARNED else make_substitute(name, link.defense)


@dataclass(frozen=True)
class Chooser:
    """Decides what stands in for each defense.

    Args:
        plan: the evaluation.
        options: what may stand in for each defense.
        store: what is kept for another start, and for the other processes.
        note: is told in a sentence what a search has found.
        networks: those that were fitted or read so far, by name.
    """

    plan: Plan
    options: Mapping[str, Options]
    store: Store
    note: Callable[[str], None]
    networks: dict[str, Imitation | HeadImitation] = field(default_factory=dict)

    def choose(self, defense: str) -> Choice:
        """What stands in for one defense.

        Raises:
            DefenseError: nothing fits.
        """
        chain, options = self.plan.chains[defense], self.options[defense]
        fit = partial(self._fit, defense)
        if options.sole is not None:
            return self._with_doubts(Choice((realised(chain, options.sole, fit),), words_of(options.sole)))
        name = search_file(defense)
        candidates = read_candidates(self.store.load(name), defense)
        if candidates is None or any(
            candidate.rank and options.named(candidate.substitute) is None for candidate in candidates
        ):
            search = Search(self.plan, defense, fit)
            candidates = search.run(options.elements, separate=options.separate)
            self.store.save(name, pack_candidates(candidates, self.store.origin))
            self.note(_standings_line(defense, candidates))
        best = sorted(
            (candidate for candidate in candidates if candidate.rank), key=lambda candidate: candidate.rank
        )
        combinations = [options.named(candidate.substitute) for candidate in best]
        chains = tuple(
            realised(chain, combination, fit) for combination in combinations if combination is not None
        )
        words = "; ".join(candidate.substitute for candidate in best)
        return self._with_doubts(Choice(chains, words, candidates))

    def _with_doubts(self, choice: Choice) -> Choice:
        """The choice, with a doubt where a network that decides unlike its head is the best there is."""
        networks = [link.substitute for link in choice.chains[0]]
        unlike = [one for one in networks if isinstance(one, HeadImitation) and not one.is_close]
        return choice._replace(doubts=(UNLIKE_HEAD,)) if unlike else choice

    def _tell(self, placement: Placement, network: Imitation | HeadImitation) -> None:
        if isinstance(network, HeadImitation):
            share = f"{100 * float(network.agreement):.0f} % of perturbed features"
            few = "" if network.is_close else f", fewer than {100 * ENOUGH:.0f} %"
            self.note(
                f"the network learned for head {name_of(placement.defense)} decides alike on {share}{few}"
            )

    def _fit(self, defense: str, position: int) -> Imitation | HeadImitation:
        """The network that imitates an element of a chain: an earlier one, or one that is fitted now."""
        plan, chain = self.plan, self.plan.chains[defense]
        batch = read_batch(plan.dataset, plan.sample(FITTED_ON)).to(plan.device)
        before = "; ".join(
            f"{placement.at} {_described(placement.defense)}" for placement in chain[: position + 1]
        )
        what = f"{before}; {plan.threat}; {plan.seed}; {digest(batch.x.cpu().numpy().tobytes())}"
        name = f"learned-{digest(what)}.safetensors"
        if name not in self.networks:
            contents = self.store.load(name)
            network = None if contents is None else read_network(contents, plan.device)
            if network is None:
                network = self._fitted(chain, position, batch)
                self.store.save(name, pack_network(network, self.store.origin))
            self.networks[name] = network
            self._tell(chain[position], network)
        return self.networks[name]

    def _fitted(self, chain: Links, position: int, batch: Batch) -> Imitation | HeadImitation:
        plan, sampling = self.plan, Sampling(self.plan.seed, "learn")
        model = DefendedModel(plan.model, chain, sampling=sampling, lanes=plan.size.lanes).with_scores()
        draws = Draws(plan.seed, batch.indices).stream("learn")
        seen = partial(_seen, model, position)
        if isinstance(unwrapped(chain[position].defense), Head):
            return distilled(plan, (chain, position), seen, batch.x, draws)
        return fitted(pairs_of(seen, batch.x, draws, plan.threat), plan.seed)


def _seen(model: DefendedModel, position: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """What an element of the chain is given, and what it makes of it, `(n, ...)` each."""
    pairs: list[tuple[Tensor, Tensor]] = []

    def watch(_stage: torch.nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        pairs.append((inputs[0].detach().clone(), output.detach().clone()))

    handle = model.stages[position].register_forward_hook(watch)
    try:
        with torch.no_grad():
            model(x)
    finally:
        handle.remove()
    return pairs[0][0][: len(x)], pairs[0][1][: len(x)]


def _standings_line(defense: str, candidates: Sequence[Candidate]) -> str:
    graded = sorted(
        (candidate for candidate in candidates if not candidate.note),
        key=lambda candidate: candidate.rank or len(candidates) + 1,
    )
    few = ", ".join(
        f"{candidate.substitute} leaves {candidate.standing} of {candidate.n}" for candidate in graded[:4]
    )
    more = f", and {len(candidates) - 4} more" if len(candidates) > 4 else ""
    return f"substitutes for {defense}: {few}{more}"


def search_file(defense: str) -> str:
    """Under which name what a search found for a defense is kept."""
    return f"search-{digest(defense)}.json"


def pack_candidates(candidates: Sequence[Candidate], origin: Mapping[str, str]) -> bytes:
    """What a search found, as its file holds it."""
    kept = {"candidates": [asdict(candidate) for candidate in candidates], "origin": dict(origin)}
    return json.dumps(kept).encode()


def read_candidates(contents: bytes | None, defense: str) -> tuple[Candidate, ...] | None:
    """What an earlier start has found; None where that is nothing, or damaged."""
    try:
        candidates = tuple(Candidate(**entry) for entry in json.loads(contents or b"{}")["candidates"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    whole = all(candidate.defense == defense and _is_sound(candidate) for candidate in candidates)
    return candidates if whole and any(candidate.rank == 1 for candidate in candidates) else None


def _is_sound(candidate: Any) -> bool:
    """Whether every entry of a candidate has its type: the file may have been written by anybody."""
    words = candidate.substitute, candidate.note
    counts = candidate.n, candidate.steps, candidate.rank, candidate.standing or 0
    agreement = candidate.agreement or 0.0
    return (
        all(isinstance(word, str) for word in words)
        and all(isinstance(count, int) and not isinstance(count, bool) for count in counts)
        and isinstance(agreement, int | float)
        and abs(agreement) <= _ONE
    )


def _described(defense: Any) -> str:
    """A defense in words that are the same in every process."""
    own: Any = unwrapped(defense)
    words = repr(own) if is_dataclass(own) else f"{type(own).__module__}.{name_of(own)}"
    return re.sub(r" at 0x[0-9a-f]+", "", words)


def digest(what: str | bytes) -> str:
    """Sixteen digits that tell a text or bytes from others, for the names of files."""
    contents = what.encode() if isinstance(what, str) else what
    return hashlib.blake2b(contents, digest_size=8).hexdigest()
