"""What the checks before an attack cost: of normalisation, of the copies, and of the order of classes.

    python -m benchmarks.checks_cost --checkpoint resnet20-12fca82f.th --data-root data/cifar10-jpeg

PGD with 40 steps on a ResNet-20, once with weights that are known by their digest, and once in a file of
one's own, where the normalisation is measured; and on the digits in a file of one's own. Processor seconds of
each check, and the share of all three in the run, medians of the rounds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import torch

import advbench

CHECKS: Final[Mapping[str, tuple[str, ...]]] = {
    "normalisation": ("advbench.jobs.classifier.choose_normalization",),
    "copies": ("advbench.speed.working_copy.disagreement", "advbench.speed.compiling._disagreement"),
    "order": ("advbench.jobs.run.check_order_of_run",),
}
"""Each check by the names under which a run calls it."""

_OWN: Final = """
from advbench.models.{module} import {name}


def make():
    return {name}()
"""


class Cost(NamedTuple):
    """Processor seconds."""

    whole: float
    checks: dict[str, float]

    @property
    def share(self) -> float:
        """Of the checks in the whole run, a fraction."""
        return sum(self.checks.values()) / self.whole


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """The processor seconds that each check takes meanwhile."""
    spent = dict.fromkeys(CHECKS, 0.0)

    def clocked(check: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            began = time.process_time()
            try:
                return original(*arguments, **more)
            finally:
                spent[check] += time.process_time() - began

        return call

    with ExitStack() as stack:
        for check, names in CHECKS.items():
            for name in names:
                stack.enter_context(patch(name, clocked(check, resolve_name(name))))
        yield spent


def cost_of(words: Mapping[str, Any]) -> Cost:
    """What a run costs, and what of it its checks do."""
    with tempfile.TemporaryDirectory() as home, timed() as spent:
        began = time.process_time()
        advbench.run(**words, attacks="pgd:steps=40", out=Path(home, "run"))
        return Cost(time.process_time() - began, dict(spent))


def own_file(home: Path, module: str, name: str) -> str:
    """A file of one's own that makes a network of the package, of which nothing is known then."""
    path = home / f"own_{module}.py"
    path.write_text(_OWN.format(module=module, name=name))
    return f"{path}:make"


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cifar = {
        "checkpoint": given.checkpoint,
        "data": "imagefolder",
        "data_root": given.data_root,
        "limit": given.images,
    }
    with tempfile.TemporaryDirectory() as home:
        weights = Path(advbench.__file__).parent / "models/weights/digits-cnn.safetensors"
        runs: dict[str, dict[str, Any]] = {
            "ResNet-20, weights known": {**cifar, "model": "resnet20"},
            "ResNet-20, own file": {**cifar, "model": own_file(Path(home), "resnet_cifar", "resnet20")},
            "digits, own file": {
                "model": own_file(Path(home), "digits_cnn", "DigitsCNN"),
                "checkpoint": weights,
                "data": "digits",
            },
        }
        costs: dict[str, list[Cost]] = {name: [] for name in runs}
        for _ in range(given.rounds):
            for name, words in runs.items():
                costs[name].append(cost_of(words))
    print(f"| run | {' | '.join(f'{check}, s' for check in CHECKS)} | run, s | checks |")
    print("|:--|" + " --: |" * (len(CHECKS) + 2))
    for name, made in costs.items():
        seconds = [f"{statistics.median(cost.checks[check] for cost in made):.2f}" for check in CHECKS]
        whole, share = (
            statistics.median(values)
            for values in ([cost.whole for cost in made], [cost.share for cost in made])
        )
        print(f"| {name} | {' | '.join(seconds)} | {whole:.1f} | {share:.1%} |")


if __name__ == "__main__":
    main()
