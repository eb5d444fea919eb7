"""JPEG 10 -> 5 bits -> median 3x3 before LeNet5 on MNIST: what each substitute leaves, and what the search.

    python -m benchmarks.substitute_search --checkpoint lenet5.pt --data-root data/mnist --out substitutes

The lines: one substitute everywhere; the best known of each defense; and each other one that a defense
lists in its place, the rest held. Every line is PGD with the same steps, from the same starting points; the
search lets its best two attack, the second what the first has left. Each line is kept under --out as soon
as it is done, and is not done again.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from advbench import Placement, Threat, evaluate
from advbench.attacks import PGD
from advbench.data.images import LabelledImages
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defended.backward import Map
from advbench.defended.substitutes import listed
from advbench.defenses import JPEG, BitDepth, Median
from advbench.files import write_whole
from advbench.models.checkpoint.load import load_checkpoint
from advbench.models.network import build_network
from advbench.names.grammar import Spec

CHAIN: Final[tuple[Map, ...]] = (JPEG(quality=10), BitDepth(bits=5), Median(kernel=3))
EPS: Final = 0.15
SEARCH: Final = "search"


def lines() -> list[str]:
    """What stands in for the chain, line by line."""
    best = [listed(defense)[0] for defense in CHAIN]
    varied = [
        "+".join([*best[:position], name, *best[position + 1 :]])
        for position, defense in enumerate(CHAIN)
        for name in listed(defense)
    ]
    return list(dict.fromkeys(["identity", "smooth", "learned", "+".join(best), *varied, SEARCH]))


def measured(network: nn.Module, images: LabelledImages, name: str, words: argparse.Namespace) -> Any:
    """One line's figures: accuracies by rung, seconds of one core, and what a search found."""
    began = time.process_time()
    evaluation = evaluate(
        network,
        images,
        threat=Threat("linf", EPS),
        attacks={"pgd": PGD(steps=words.steps)},
        defenses={"chain": [Placement(defense) for defense in CHAIN]},
        substitute=name,
        indices=range(words.images),
        batch_size=100,
    )
    return {
        "rates": {rung: rate.accuracy for rung, rate in evaluation.rows[1].rates.items()},
        "seconds": time.process_time() - began,
        "substitutes": evaluation.heading.substitutes["chain"],
        "candidates": [
            [candidate.substitute, candidate.standing, candidate.n, candidate.agreement, candidate.rank]
            for candidate in evaluation.candidates
        ],
    }


def markdown(results: dict[str, Any]) -> str:
    """The table."""
    rows = [
        ["backward pass", "images left standing", "seconds"],
        [":--", "--:", "--:"],
        ["none: shattered", f"{results['identity']['rates']['shattered']:.1%}", ""],
    ]
    for name, result in results.items():
        words = f"search: {result['substitutes']}" if name == SEARCH else name
        rows.append([words, f"{result['rates']['bpda']:.1%}", f"{result['seconds']:.0f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(words: Sequence[str] | None = None) -> None:
    """Attack and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights of advertorch's LeNet5")
    parser.add_argument("--data-root", type=Path, required=True, help="folder of MNIST")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True, help="where finished lines are kept")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    spec = Spec("lenet5")
    network = load_checkpoint(
        options.checkpoint, lambda: build_network(spec, 10), spec, torch.device("cpu")
    ).network
    images = load_dataset("mnist", Place(root=options.data_root, split="test"))
    options.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in lines():
        kept = options.out / f"{name}-{options.images}-{options.steps}.json"
        if not kept.is_file():
            write_whole(kept, json.dumps(measured(network, images, name, options)).encode())
        results[name] = json.loads(kept.read_bytes())
        print(f"{name:28}{results[name]['rates']['bpda']:7.1%}", flush=True)
    for name, standing, n, agreement, rank in results[SEARCH]["candidates"]:
        cosine = "" if agreement is None else f"{agreement:6.3f}"
        print(f"  {name:26}{standing}/{n} {cosine} {rank or ''}")
    print(markdown(results))


if __name__ == "__main__":
    main()
