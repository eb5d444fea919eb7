"""The batch size: found by a probe, halved where memory runs out, and never of any consequence."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import cli
from advbench.data.batches import Batch
from advbench.errors import RunError, ran_out_of_memory
from advbench.evaluation.observer import Checked
from advbench.speed import batch_size as sizes
from advbench.speed.batch_size import BatchSize, in_batches, probed_size
from tests.small import Network, run

Refusal = Callable[[], Exception]
REFUSALS: dict[str, Refusal] = {
    "an accelerator": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "the CPU": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"
    ),
    "oneDNN": lambda: RuntimeError("could not create a primitive"),
    "C++": lambda: RuntimeError("std::bad_alloc"),
    "MPS": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
    "NumPy": lambda: MemoryError("Unable to allocate 3.00 GiB for an array"),
}


class Cramped(nn.Module):
    """A network with room for a few images only."""

    def __init__(
        self, network: nn.Module, room: int, refuse: Refusal, *, only_with_gradient: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self.room = room
        self.refuse = refuse
        self.only_with_gradient = only_with_gradient

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.room and (x.requires_grad or not self.only_with_gradient):
            raise self.refuse()
        logits: Tensor = self.network(x)
        return logits


@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("only_with_gradient", [False, True], ids=["anywhere", "under attack"])
def test_running_out_of_memory_halves_the_batch_and_is_said_once(
    network: Network, data: TensorDataset, refuse: Refusal, only_with_gradient: bool
) -> None:
    said: list[str] = []
    cramped = Cramped(network, 7, refuse, only_with_gradient=only_with_gradient)
    found = run(cramped, data, defenses={}, batch_size=50, note=said.append)
    whole = run(network, data, defenses={}, batch_size=50)
    pd.testing.assert_frame_equal(found.samples, whole.samples, rtol=1e-4)
    tried = 40 if only_with_gradient else 50  # ten are wrong from the start, and not attacked
    assert said == [f"out of memory with {tried} images at a time: going on with {tried // 2} or fewer"]


def test_a_defense_that_runs_out_of_memory_is_not_taken_for_one_that_leaves_autograd(
    network: Network, data: TensorDataset
) -> None:
    def hungry(x: Tensor) -> Tensor:
        if len(x) > 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return x * 0.9

    def modest(x: Tensor) -> Tensor:
        return x * 0.9

    found = run(network, data, defenses={"defense": hungry}, batch_size=50)
    reference = run(network, data, defenses={"defense": modest}, batch_size=50)
    assert [row.rates for row in found.rows] == [row.rates for row in reference.rows]


def test_a_single_image_that_does_not_fit_ends_the_run(network: Network, data: TensorDataset) -> None:
    with pytest.raises(RunError, match="even for a single image"):
        run(Cramped(network, 0, REFUSALS["the CPU"]), data, batch_size=4)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert not ran_out_of_memory(RuntimeError("shapes differ"))
    assert not ran_out_of_memory(ValueError("out of memory"))
    assert all(ran_out_of_memory(refuse()) for refuse in REFUSALS.values())


def test_every_image_is_worked_on_once_and_in_order(data: TensorDataset) -> None:
    room = [50, 50, 3, 3, 3, 50, 50, 50, 1, 50] + [50] * 50

    def work(batch: Batch) -> list[int]:
        if len(batch.indices) > room.pop(0):
            raise MemoryError
        return batch.indices.tolist()

    indices = list(range(40, 3, -1))
    done = list(in_batches(data, indices, BatchSize(16, lambda _: None), work))
    assert [index for part in done for index in part] == indices
    assert len(done[-1]) < 16


def many(data: TensorDataset) -> TensorDataset:
    """Two thousand images: the few there are, forty times."""
    return TensorDataset(*(each.repeat(40, *[1] * (each.dim() - 1)) for each in data.tensors))


def work_that_takes(
    seconds: Callable[[int], float], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Batch], int]:
    """Counts the images of a batch, which takes so many seconds for so many."""
    clock = [0.0]
    monkeypatch.setattr("advbench.speed.batch_size.time.perf_counter", lambda: clock[0])

    def work(batch: Batch) -> int:
        clock[0] += seconds(len(batch.indices))
        return len(batch.indices)

    return work


def test_batches_in_flight_grow_while_they_are_done_soon(
    data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = work_that_takes(lambda count: 1.0 if count < 512 else 60.0, monkeypatch)
    images, size = many(data), BatchSize(128, most=2048)
    found = list(in_batches(images, range(2000), size, work, growing=True))
    assert found == [128, 256, 512, 512, 512, 80]
    assert list(in_batches(images, range(2000), size, work)) == [128] * 15 + [80]
    found = list(in_batches(images, range(500), BatchSize(3, most=150), work, growing=True))
    assert found == [128, 150, 150, 72], "as many as there is memory for"
    found = list(in_batches(images, range(12), BatchSize(5), work, growing=True))
    assert found == [5, 5, 2], "as the user has said"


def test_an_attack_begins_with_more_than_a_hundred_images_however_long_they_take(
    data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of fewer would not fill what the network sees."""
    work = work_that_takes(lambda _: 600.0, monkeypatch)
    images, size = many(data), BatchSize(32, most=512)
    assert list(in_batches(images, range(300), size, work, growing=True)) == [128, 128, 44]
    assert list(in_batches(images, range(300), size, work)) == [32] * 9 + [12]
    size = BatchSize(200, most=3200)
    assert list(in_batches(images, range(300), size, work, growing=True)) == [200, 100]


def test_a_batch_in_flight_that_does_not_fit_is_given_up_for_good(data: TensorDataset) -> None:
    tried: list[int] = []

    def work(batch: Batch) -> int:
        tried.append(len(batch.indices))
        if len(batch.indices) > 8:
            raise MemoryError
        return len(batch.indices)

    size = BatchSize(8, lambda _: None, most=64)
    assert sum(in_batches(data, range(40), size, work, growing=True)) == 40
    assert tried == [40, *([4] * 10)]


def test_images_in_flight_are_bounded_by_what_an_attack_holds_of_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.zeros(1, 3, 32, 32)
    monkeypatch.setattr(sizes, "available_memory", lambda _: 1 << 34)
    assert sizes.most_in_flight(x, 32) == 512
    monkeypatch.setattr(sizes, "available_memory", lambda _: 1 << 20)
    assert sizes.most_in_flight(x, 32) == 32


def test_the_probe_prefers_the_size_that_is_fastest_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {8: 8.0, 16: 12.0, 32: 20.0, 64: 35.0, 128: 69.0, 256: 300.0, 512: 640.0, 1024: 1400.0}
    scale = 1e-5
    monkeypatch.setattr(sizes, "seconds_a_gradient", lambda _, x, *__: scale * seconds.get(len(x), 0.0))
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    assert probed_size(network, torch.rand(1, 1, 4, 4), 10_000) == 64, "128 are faster by 1 % alone"
    assert probed_size(network, torch.rand(1, 1, 4, 4), 10) == 16, "no more than there are images"
    scale = 0.1
    assert probed_size(network, torch.rand(1, 1, 4, 4), 10_000) == 8, "there is no time to try more"


@pytest.mark.parametrize(("free", "size"), [(0, 1), (3 * 16 * 4 * 8 * 2, 8), (3 * 16 * 4 * 40 * 2, 32)])
def test_the_probe_stays_inside_half_of_the_free_memory(
    free: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "available_memory", lambda _: free)
    monkeypatch.setattr(sizes, "seconds_a_gradient", lambda *_: 1e-6)  # the larger the better
    tanh = nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))  # keeps its 16 outputs, 4 bytes each
    for parameter in tanh.parameters():
        parameter.requires_grad_(False)
    assert probed_size(tanh, torch.rand(1, 1, 4, 4), 10_000) == size


def test_a_model_that_cannot_be_probed_gets_a_usual_size() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("no images of this kind")

    assert probed_size(Broken(), torch.rand(1, 1, 4, 4), 1000) == 128


def test_the_probe_leaves_the_model_and_the_table_as_they_were(network: Network, data: TensorDataset) -> None:
    before = {name: each.clone() for name, each in network.state_dict().items()}
    begun: list[Checked] = []
    found = run(network, data, batch_size="auto", begin=begun.append)
    assert begun[0].batch_size in (8, 16, 32, 64)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    reference = run(network, data, batch_size=3)
    assert [row.rates for row in found.rows] == [row.rates for row in reference.rows]


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "", "٣", "9" * 5000, "1e3", " 8"])
def test_a_batch_size_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["attack", "--batch-size", text]) == 2
    assert "auto or a whole number" in capsys.readouterr().err


LIMITED = """
import resource
import sys

import numpy as np
import torch
from torch import nn

from advbench.cli import main

torch.set_num_threads(1)
torch.zeros(1)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (700 << 20),) * 2)
sys.exit(main(sys.argv[1:]))
"""

WIDE = """
from torch import nn


def make():
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(1024, 10)
    )
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux counts it")
def test_a_process_that_may_not_have_more_memory_goes_on_with_smaller_batches(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "images.npz",
        x=generator.integers(0, 256, (256, 3, 64, 64), dtype=np.uint8),
        y=np.arange(256) % 10,
    )
    (tmp_path / "wide.py").write_text(WIDE)
    words = "attack --model wide.py:make --dataset npz --data-root images.npz --steps 2 --batch-size 256"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("out of memory with 256 images at a time") == 1
