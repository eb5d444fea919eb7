"""What `--black-box` costs beside the function's own time.

    OMP_NUM_THREADS=1 python -m benchmarks.black_box_cost

Whole runs with their folders, on images of the function's own size, 1,000 queries an image. The functions
compute what they do in use, and then add so much to one score that no image falls: each takes all its
queries. Processor seconds of a run are compared with those inside of the function. The first run of a
process, which also imports, is not counted, and what reading the clock takes is taken out. Beside are an
image's microseconds a query. The shares are medians of rounds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import nn

import advbench as ab
from advbench.models.digits_cnn import DigitsCNN
from advbench.models.lenet5 import LeNet5
from advbench.models.resnet_cifar import ResNetCIFAR

Scores = Callable[[Any], Any]

ATTACKS: Final = ("square", "tabu")


class Point(NamedTuple):
    """A function and the images that it is asked about."""

    name: str
    make: Callable[[], Scores]
    shape: tuple[int, int, int]
    images: int


class Timed:
    """Scores that never change their mind, and the processor seconds that they take.

    Args:
        scores: arrays `(n, h, w, c)` in [0, 1] to scores `(n, k)`.
    """

    def __init__(self, scores: Scores) -> None:
        self.scores, self.seconds, self.asked, self.calls = scores, 0.0, 0, 0

    def __call__(self, images: Any) -> Any:
        """Scores of a batch, of which the first is by far the highest."""
        began = time.process_time()
        scores = self.scores(images)
        scores[:, 0] += 1e4
        self.calls, self.asked = self.calls + 1, self.asked + len(images)
        self.seconds += time.process_time() - began
        return scores


def _of_network(make: Callable[[], nn.Module]) -> Callable[[], Scores]:
    def made() -> Scores:
        torch.manual_seed(0)
        network = make().eval()

        @torch.inference_mode()
        def scores(images: Any) -> Any:
            return network(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()).numpy()

        return scores

    return made


def _forest() -> Scores:
    from sklearn.datasets import load_digits  # noqa: PLC0415  # as long as the others' imports
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415

    digits = load_digits()
    forest = RandomForestClassifier(100, random_state=0).fit(digits.data / 16.0, digits.target)
    return lambda images: forest.predict_proba(images.reshape(len(images), -1))


def _mobile() -> nn.Module:
    from torchvision.models import mobilenet_v3_small  # noqa: PLC0415  # takes a second

    network: nn.Module = mobilenet_v3_small()
    return network


POINTS: Final = (
    Point("CNN of the digits, 8x8", _of_network(DigitsCNN), (1, 8, 8), 64),
    Point("random forest, 100 trees, 8x8", _forest, (1, 8, 8), 64),
    Point("LeNet5, 28x28", _of_network(LeNet5), (1, 28, 28), 64),
    Point("ResNet-20, 32x32x3", _of_network(lambda: ResNetCIFAR(depth=20)), (3, 32, 32), 64),
    Point("MobileNetV3 small, 224x224x3", _of_network(_mobile), (3, 224, 224), 8),
)


class Cost(NamedTuple):
    """Of one run, in processor seconds."""

    function: float
    beside: float
    asked: int


def measured(point: Point, function: Timed, attack: str, queries: int, folder: Path) -> Cost:
    """Attack images of one label, none of which falls; one more has the last label, and is wrong."""
    images = torch.rand(point.images + 1, *point.shape, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(point.images + 1, dtype=torch.int64)
    labels[-1] = function(images[:1].permute(0, 2, 3, 1).numpy()).shape[1] - 1
    function.seconds, function.asked, function.calls = 0.0, 0, 0
    began = time.process_time()
    ab.run(
        model=function,
        black_box=True,
        black_box_form="nhwc,float,scores",
        data=(images, labels),
        attacks=[f"{attack}:queries={queries}"],
        rungs=[],
        eps="8/255",
        out=folder,
    )
    whole, reading = time.process_time() - began, function.calls * clock_seconds()
    return Cost(function.seconds - reading, whole - function.seconds - reading, function.asked)


def clock_seconds() -> float:
    """How long it takes to read the clock: of two readings a call one is inside, and one beside."""
    readings = [time.process_time() for _ in range(1001)]
    return (readings[-1] - readings[0]) / 1000


def line(point: Point, attack: str, queries: int, costs: list[Cost]) -> str:
    """A row of the table: medians of the rounds."""
    each = statistics.median(cost.function / cost.asked for cost in costs)
    beside = statistics.median(cost.beside / (point.images * queries) for cost in costs)
    share = statistics.median(cost.beside / cost.function for cost in costs)
    more = costs[0].asked / (point.images * queries) - 1.0
    return (
        f"| {point.name} | {1e3 * each:.3f} | {attack} | {point.images} | {more:.1%} | {1e6 * beside:.1f} | "
        f"{share:.1%} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--queries", type=int, default=1000, help="of each image")
    parser.add_argument("--rounds", type=int, default=3, help="of each row")
    words = parser.parse_args()
    torch.set_num_threads(1)
    print("| function | its ms an image | attack | images | asked beyond | beside, us a query | share |")
    print("| :-- | --: | :-- | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory() as home:
        number = 0
        for point in POINTS:
            function = Timed(point.make())
            measured(point, function, "square", 5, Path(home) / "warm" / point.name)
            for attack in ATTACKS:
                costs = []
                for _ in range(words.rounds):
                    number += 1
                    costs.append(measured(point, function, attack, words.queries, Path(home) / str(number)))
                print(line(point, attack, words.queries, costs), flush=True)


if __name__ == "__main__":
    main()
