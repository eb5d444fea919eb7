"""What stood in for a run's defenses, and what was measured of its attacks, against one another.

Whether the figures themselves are true takes the attacks (`verify_deep`). What needs none is looked at here:
that nothing is left out, that no figure is one that there cannot be, and that all files tell the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from advbench.defended.distilled import Distilled
from advbench.defended.fitted_network import Fitted
from advbench.defended.learned import read_fitted, read_network
from advbench.defended.model import Placement
from advbench.defended.substitutes import LEARNED
from advbench.defended.surrogate import DISTILLED
from advbench.evaluation.choose_substitutes import Options, options_for, read_candidates, search_file
from advbench.evaluation.expected_indicators import faults_of
from advbench.evaluation.plan import substitutes_of
from advbench.evaluation.search_substitutes import ALL, order_of, words_of
from advbench.evaluation.soft_steps import SOFT_NAMES
from advbench.jobs.check import Check
from advbench.names.grammar import split_chain
from advbench.regular_files import read_if_there
from advbench.results.indicators import Test
from advbench.results.records import UNDEFENDED, Candidate
from advbench.results.surrogates import SOFT_STEPS
from advbench.results.table import Heading
from advbench.runs.folder import LARGEST_LIST, LARGEST_NETWORK, SUBSTITUTES
from advbench.runs.manifest import MANIFEST, Manifest
from advbench.threat.threat import Threat


def check_indicators(
    heading: Heading,
    samples: pd.DataFrame,
    seed: int,
    threat: Threat,
    *,
    pixels: int,
    images: Sequence[int],
    tests: Sequence[Test] = (),
) -> Check:
    """Whether a run has every indicator that a ladder measures, and none that there cannot be.

    Args:
        heading: what the table is about.
        samples: the records of the whole run.
        seed: of the run.
        threat: what the adversary may do.
        pixels: numbers of an image.
        images: of the run, in its order.
        tests: what was measured beside the ladder.
    """
    clean = samples[(samples["rung"] == "clean") & samples["robust"]]
    right = {defense: clean[clean["defense"] == defense]["index"].tolist() for defense in heading.substitutes}
    faults = faults_of(heading, right, images, seed, threat=threat, pixels=pixels, tests=tests)
    if faults:
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        return Check("indicators", False, "; ".join(faults[:3]) + more)
    sentence = f"{len(heading.indicators)}, those that the ladder measures, each within its bounds"
    return Check("indicators", True, sentence if heading.indicators else "none: no ladder was climbed")


def check_substitutes(
    manifest: Manifest, heading: Heading, chains: Mapping[str, tuple[Placement, ...]], wanted: Sequence[str]
) -> Iterator[Check]:
    """Whether the substitutes are those that the search, or the run's settings, come to.

    Args:
        manifest: the run's `run.json`.
        heading: what the table is about.
        chains: the defenses in their places.
        wanted: the substitutes that the settings name.
    """
    listed = manifest.values.get("candidates")
    faults = []
    if isinstance(listed, list) and len(listed) != len(manifest.candidates):
        faults.append(f"{MANIFEST} lists candidates that are none")
    if "bpda" in heading.rungs:
        for defense, chain in chains.items():
            if chain:
                own = [candidate for candidate in manifest.candidates if candidate.defense == defense]
                options = options_for(defense, chain, wanted)
                fault = _fault(manifest.path, defense, heading.substitutes[defense], own, options)
                faults += [f"{defense}: {fault}"] if fault else []
        faults += _networks(manifest, heading, LEARNED)
        faults += _networks(manifest, heading, DISTILLED)
        faults += _of_surrogate(manifest, heading)
    else:
        if manifest.candidates:
            faults.append("there are candidates, and no rung for them")
        for defense, words in substitutes_of(chains).items():
            if chains[defense] and heading.substitutes[defense] != words:
                faults.append(f"{defense}: {heading.substitutes[defense]!r:.60} is named, and none was used")
    names = "; ".join(filter(None, heading.substitutes.values())) or "none"
    yield Check(f"{SUBSTITUTES}/", not faults, "; ".join(faults[:3]) or f"{names}: as the run's search tells")


def _fault(folder: Path, defense: str, named: str, candidates: Sequence[Candidate], options: Options) -> str:
    """What is wrong with what stands in for one defense; empty where nothing is."""
    file = folder / SUBSTITUTES / search_file(defense)
    if not candidates:
        if options.sole is None or file.exists():
            return "its search is missing"
        own = words_of(options.sole)
        return "" if own == named else f"{named!r:.60} is named, and {own} stands in for it"
    fault = _ranks_fault(candidates, named)
    if fault:
        return fault
    graded = {candidate.substitute for candidate in candidates}
    missing = [words for words in _all(options) if words not in graded]
    if missing:
        return f"the candidate {missing[0]} is missing"
    kept = read_candidates(read_if_there(file, LARGEST_LIST), defense)
    return "" if kept == tuple(candidates) else f"{file.name} tells of another search than {MANIFEST}"


def _ranks_fault(candidates: Sequence[Candidate], named: str) -> str:
    """What is wrong with the order of the candidates; empty where nothing is."""
    ranked = sorted((one for one in candidates if one.rank), key=lambda one: one.rank)
    fitting = [candidate for candidate in candidates if not candidate.note]
    ranks = [candidate.rank for candidate in ranked]
    if ranks != [1, 2][: len(fitting)] or any(candidate not in fitting for candidate in ranked):
        return "the ranks are none that a search gives"
    if "; ".join(candidate.substitute for candidate in ranked) != named:
        return f"{named!r:.60} is not what the search ranked first"
    if any(not 0 <= (candidate.standing or 0) <= candidate.n for candidate in fitting):
        return "more images stand than there are"
    if any(order_of(candidate) < order_of(ranked[0]) for candidate in fitting):
        return f"{ranked[0].substitute} is ranked first, and another one leaves less"
    return ""


def _all(options: Options) -> list[str]:
    """The combinations that a search grades whatever it finds, by their names."""
    if not options.separate:
        return [words_of(elements) for elements in options.elements]
    if len(options.elements) == 1 and len(options.elements[0]) <= ALL:
        return [words_of((element,)) for element in options.elements[0]]
    return []


def _of_surrogate(manifest: Manifest, heading: Heading) -> list[str]:
    """Whether the surrogate is the undefended row's only substitute, graded once."""
    own = tuple(candidate for candidate in manifest.candidates if candidate.defense == UNDEFENDED)
    if heading.surrogate is None:
        return ["the undefended model has candidates, and no surrogate"] if own else []
    fault = _grades_fault(heading.surrogate.name, heading.substitutes[UNDEFENDED], own)
    if fault:
        return [fault]
    if not 0 <= heading.surrogate.agreeing <= heading.surrogate.n:
        return ["the surrogate agrees on more images than were looked at"]
    file = manifest.path / SUBSTITUTES / search_file(UNDEFENDED)
    kept = read_candidates(read_if_there(file, LARGEST_LIST), UNDEFENDED)
    return [] if kept == own else [f"{file.name} tells of another surrogate than {MANIFEST}"]


def _grades_fault(surrogate: str, named: str, candidates: Sequence[Candidate]) -> str:
    """What is wrong with the grades of a surrogate; empty where nothing is."""
    first = next((candidate for candidate in candidates if candidate.rank == 1), None)
    if first is None or first.substitute != named:
        return f"the surrogate {surrogate!r:.60} is not what stands in for the model"
    if tuple(one.substitute for one in candidates) != (
        SOFT_NAMES if surrogate == SOFT_STEPS else (surrogate,)
    ):
        return f"the surrogate {surrogate!r:.60} is not what was graded"
    ranks = sum(candidate.rank for candidate in candidates)
    if ranks != 1 or any(not 0 <= (candidate.standing or 0) <= candidate.n for candidate in candidates):
        return "the grade of the surrogate is none that there can be"
    if any(order_of(candidate) < order_of(first) for candidate in candidates):
        return f"{first.substitute} is ranked first, and another one leaves less"
    return ""


def _networks(manifest: Manifest, heading: Heading, kind: str) -> list[str]:
    """Whether networks of a kind were fitted where something is stood in for by one, and nowhere else."""
    fitting = [candidate.substitute for candidate in manifest.candidates if not candidate.note]
    asked = any(_is_fitted(words, kind) for words in [*heading.substitutes.values(), *fitting])
    tried = asked or any(_is_fitted(candidate.substitute, kind) for candidate in manifest.candidates)
    files = sorted((manifest.path / SUBSTITUTES).glob(f"{kind}-*.safetensors"))
    damaged = [file.name for file in files if not _is_network(file, kind)]
    if damaged:
        return [f"{damaged[0]} holds no network"]
    if asked and not files:
        return ["the fitted network is missing"]
    return [] if tried or not files else ["there is a fitted network that nothing stands for"]


def _is_network(file: Path, kind: str) -> bool:
    contents = read_if_there(file, LARGEST_NETWORK)
    return contents is not None and network_in(contents, kind) is not None


def network_in(contents: bytes, kind: str) -> Fitted | None:
    """The fitted network of a file whose name begins with its kind; None where it is damaged."""
    device = torch.device("cpu")
    return read_fitted(contents, device, Distilled) if kind == DISTILLED else read_network(contents, device)


def _is_fitted(words: str, kind: str) -> bool:
    """Whether one of the substitutes in a table's cell is a fitted network of a kind."""
    return any(kind in split_chain(text) for text in words.split("; ") if text)
