"""What `--black-box` costs beside the function's own time: `python -m benchmarks.black_box_cost`.

The function computes for 20 ms a call, whatever its batch. Processor seconds of the whole evaluation are
compared with those inside of it.
"""

import time
from typing import Any

import numpy as np
import torch

from advbench.attacks.square import Square
from advbench.defended.black_box import BlackBox, Meter
from advbench.defended.black_box_form import Form, Takes
from advbench.evaluation import evaluate
from advbench.threat.threat import Threat

_SECONDS = 0.02
_QUERIES = 1000
_IMAGES = 64


class Busy:
    """Scores that never change their mind, after 20 ms of the processor's time."""

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, 0

    def __call__(self, images: Any) -> Any:
        """Scores of a batch, `(n, 10)`."""
        began = time.process_time()
        while time.process_time() - began < _SECONDS:
            pass
        scores = np.zeros((len(images), 10), np.float32)
        scores[:, 0] = 1.0 + images.reshape(len(images), -1).mean(1)
        self.seconds, self.calls = self.seconds + time.process_time() - began, self.calls + 1
        return scores


def main() -> None:
    """Print the share that is no time of the function's own."""
    torch.set_num_threads(1)
    images = torch.rand(_IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    data = torch.utils.data.TensorDataset(images, torch.zeros(_IMAGES, dtype=torch.int64))
    function = Busy()
    names = [str(label) for label in range(10)]
    box = BlackBox(function, Form(Takes("nhwc", "float"), "scores"), names, _IMAGES, Meter())
    began = time.process_time()
    attacks = {"square": Square(queries=_QUERIES)}
    evaluate(box, data, threat=Threat("linf", 8 / 255), attacks=attacks, rungs=())
    seconds = time.process_time() - began
    share = seconds / function.seconds - 1.0
    print(
        f"{function.calls} calls, {function.seconds:.1f} s in the function, "
        f"{seconds:.1f} s in all: {share:.1%} beside"
    )


if __name__ == "__main__":
    main()
