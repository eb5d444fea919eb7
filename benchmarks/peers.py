"""What an evaluation costs here and with other libraries: the same attacks, networks and images.

    python -m benchmarks.peers --out peers
    python -m benchmarks.peers --out peers --cifar-data data/cifar10-jpeg \
        --cifar-checkpoint resnet20-12fca82f.th \
        --mnist-data data/mnist --mnist-checkpoint mnist_lenet5_advtrained.pt

Without data it compares on the digits that the package brings. All libraries run in turns, in random order,
in one process, each at the batch size that a short probe found best for it, on the same seeded sample of
correctly classified images, with the same radius, steps, step size, random start and one restart. Times are
medians, of the processor's seconds and of the clock's. Of advbench the whole `evaluate()` is timed, its
judging included; what the others return is judged outside of their time: projected into ball and box, by a
forward pass of the network. The limit is what the steps alone cost: one forward and one input-only backward
pass of the frozen network each (of Square, a forward pass a query); who drops fallen images can be below it.

Every measured round is kept under --out as it is made, and a run that was stopped goes on from there. With
glibc's default settings a third of the time is page faults, so the libraries run in a process whose allocator
keeps its memory, for all of them alike (`--default-allocator` leaves it as it is). What is not installed is
left out, and the table says so. Under 15 minutes on two cores; `--points robust-autoattack` takes longer.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from advbench.errors import InputError, first_line
from advbench.files import write_whole
from advbench.runs.provenance import commits, machine
from advbench.threat.judge import judge
from benchmarks.peer_libraries import CONTESTANTS, Batch, Contestant, Job, seeded
from benchmarks.peer_points import CHUNK, POINTS, ROBUST, Case, Point, Source, case_of
from benchmarks.peer_table import LIMIT, Clock, Entry, markdown, write_tables
from benchmarks.pgd_cost import KEEP_MEMORY

_PROBES = 2


def timed(contestant: Contestant, job: Job) -> dict[str, Any]:
    """Seconds of the processor and of the clock, and how many images stand afterwards.

    Args:
        contestant: who attacks.
        job: what.
    """
    case = job.case
    with seeded(job.seed):
        _wait(case)
        wall, process = time.perf_counter(), time.process_time()
        x_adv = contestant.runners[job.work.attack](job)
        _wait(case)
        seconds = {"process": time.process_time() - process, "wall": time.perf_counter() - wall}
    if x_adv is None:
        return {**seconds, "standing": None}
    threat, standing = job.work.threat, 0
    parts = zip(*(torch.split(tensor, CHUNK) for tensor in (x_adv, case.x, case.y)), strict=True)
    with torch.no_grad():
        for part, x, y in parts:
            inside = threat.project(part.to(x), x)
            logits = case.model(inside.to(case.device)).cpu()
            standing += int(judge(logits[None], inside, x, y, threat).robust.sum())
    return {**seconds, "standing": standing}


def clock_of(case: Case) -> Clock:
    """What counts: the processor's seconds, which other programs do not change, or the clock's of a GPU."""
    return "process" if case.device.type == "cpu" else "wall"


def _wait(case: Case) -> None:
    if case.device.type != "cpu":
        torch.accelerator.synchronize(case.device)


def best_batch(contestant: Contestant, job: Job, home: Path) -> Batch:
    """The batch size at which a short part of the work is done the soonest; kept, and not looked for again.

    The first run is not counted, and happens in any case: libraries wake up outside of the measured rounds.
    """
    file = home / "batch.json"
    sizes = [size for size in contestant.sizes if size == "auto" or size <= len(job.case.x)]
    sizes = sizes or [len(job.case.x)]
    short = job._replace(work=job.work.short())
    if file.exists():
        best: Batch = json.loads(file.read_text())["best"]
        timed(contestant, short._replace(batch=best))
        return best
    timed(contestant, short._replace(batch=sizes[-1]))
    seconds: dict[Batch, float] = {}
    for _ in range(_PROBES if len(sizes) > 1 else 0):
        for size in random.sample(sizes, len(sizes)):
            taken = timed(contestant, short._replace(batch=size))[clock_of(job.case)]
            seconds[size] = min(taken, seconds.get(size, taken))
    best = min(seconds, key=lambda size: seconds[size]) if seconds else sizes[0]
    home.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps({"best": best, "seconds": seconds}).encode())
    return best


def measure(points: Sequence[Point], cases: dict[str, Case], rounds: int, out: Path) -> None:
    """Run everybody who is there in turns, and keep each round.

    Args:
        points: what is compared.
        cases: their networks and images, by the point's name.
        rounds: how often.
        out: where rounds are kept; those that are there are not run again.
    """
    batches: dict[Path, Batch] = {}
    for number in range(rounds):
        for point in points:
            there = [contestant for contestant in CONTESTANTS if not contestant.absence(point.work.attack)]
            for contestant in random.sample(there, len(there)):
                home = home_of(out, point, contestant)
                file = home / f"round-{number}.json"
                if file.exists():
                    continue
                job = Job(cases[point.name], point.work, 1, number)
                if home not in batches:
                    batches[home] = best_batch(contestant, job, home)
                figures = timed(contestant, job._replace(batch=batches[home]))
                write_whole(file, json.dumps(figures).encode())
                heading = f"{point.name}, round {number + 1}/{rounds}, {contestant.name}"
                print(f"{heading}: {figures['process']:.2f} s", file=sys.stderr, flush=True)


def home_of(out: Path, point: Point, contestant: Contestant) -> Path:
    """Where the rounds of one contestant at one point are kept."""
    return out / "rounds" / point.name / contestant.name.replace(", ", "-").replace(" ", "-")


def entries(points: Sequence[Point], cases: dict[str, Case], out: Path) -> list[Entry]:
    """What was measured, a line a point and contestant."""
    lines = []
    for point in points:
        for contestant in CONTESTANTS:
            home = home_of(out, point, contestant)
            rounds = [json.loads(path.read_text()) for path in sorted(home.glob("round-*.json"))]
            lines.append(
                Entry(
                    point=point.name,
                    title=f"{point.title.format(steps=point.work.steps)}; {len(cases[point.name].x)} images",
                    contestant=contestant.name,
                    version=contestant.version,
                    batch=json.loads((home / "batch.json").read_text())["best"] if rounds else None,
                    images=len(cases[point.name].x),
                    process=[figures["process"] for figures in rounds],
                    wall=[figures["wall"] for figures in rounds],
                    standing=[figures["standing"] for figures in rounds if figures["standing"] is not None],
                    reason=contestant.absence(point.work.attack),
                )
            )
    return lines


def settings_of(point: Point, case: Case) -> dict[str, Any]:
    """What the rounds of a point must have in common to stand in one table."""
    versions = {contestant.name: contestant.version for contestant in CONTESTANTS if contestant.name != LIMIT}
    return {
        "machine": machine(case.device),
        "allocator": {name: os.environ.get(name) for name in KEEP_MEMORY},
        "versions": {**versions, "commit": commits().get("advbench")},
        "point": {"images": len(case.x), **asdict(point.work)},
    }


def hold_to(settings: dict[str, Any], folder: Path) -> None:
    """Refuse to go on with rounds that were measured in another way.

    Raises:
        InputError: they were.
    """
    file = folder / "settings.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        write_whole(file, json.dumps(settings, indent=1).encode())
    before = json.loads(file.read_text())
    other = [name for name, value in settings.items() if before.get(name) != value]
    if other:
        raise InputError(f"the rounds in {folder} are of another {', '.join(other)}: give another --out.")


def sources_of(words: argparse.Namespace) -> dict[str, Source]:
    """The networks and data that there are; the digits where no others were named."""
    sources = {}
    if words.cifar_data:
        sources["robust"] = Source("resnet20", "imagefolder", words.robust_checkpoint, words.cifar_data)
        if words.cifar_checkpoint:
            sources["cifar"] = Source("resnet20", "imagefolder", words.cifar_checkpoint, words.cifar_data)
    if words.mnist_data and words.mnist_checkpoint:
        sources["mnist"] = Source("lenet5", "mnist", words.mnist_checkpoint, words.mnist_data)
    return sources or {"digits": Source("digits-cnn", "digits")}


def chosen_points(words: argparse.Namespace, sources: dict[str, Source]) -> list[Point]:
    """The points that were named, or all usual ones whose data are there.

    Raises:
        InputError: a point without its data.
    """
    if words.points:
        named = set(words.points.split(","))
        points = [point for point in POINTS if point.name in named]
        unknown = named - {point.name for point in points}
        if unknown:
            known = ", ".join(point.name for point in POINTS)
            raise InputError(f"there is no point {min(unknown)!r}; known: {known}.")
        sources |= {"digits": Source("digits-cnn", "digits")}
        lacking = [point.name for point in points if point.source not in sources]
        if lacking:
            raise InputError(f"{lacking[0]} needs its data and checkpoint: see --help.")
    else:
        points = [point for point in POINTS if point.default and point.source in sources]
    return [
        replace(
            point,
            images=words.images or point.images,
            work=replace(point.work, steps=words.steps or point.work.steps),
        )
        for point in points
    ]


def compare(words: argparse.Namespace) -> None:
    """Measure, and write and print the table."""
    if words.threads:
        torch.set_num_threads(words.threads)
    sources = sources_of(words)
    points = chosen_points(words, sources)
    cases = {point.name: case_of(point, sources[point.source], words.device) for point in points}
    for point in points:
        hold_to(settings_of(point, cases[point.name]), words.out / "rounds" / point.name)
    measure(points, cases, words.rounds, words.out)
    lines = entries(points, cases, words.out)
    some = next(iter(cases.values()))
    write_tables(lines, words.out, clock_of(some))
    at = machine(some.device)
    print(f"{at['device']}, {at['name']}, {at['threads']} threads, medians of {words.rounds} rounds\n")
    print(markdown(lines))


def main(given: Sequence[str] | None = None) -> int:
    """Compare, in a process of its own where the allocator is to be set."""
    given = sys.argv[1:] if given is None else list(given)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="where rounds, table and figure are kept")
    parser.add_argument("--cifar-data", type=Path, help="folder with test/<class>/*.jpg")
    parser.add_argument("--cifar-checkpoint", type=Path, help="of an undefended ResNet-20")
    parser.add_argument(
        "--robust-checkpoint", type=Path, default=ROBUST, help="weights of a robust ResNet-20"
    )
    parser.add_argument("--mnist-data", type=Path, help="folder of MNIST")
    parser.add_argument("--mnist-checkpoint", type=Path, help="of advertorch's robust LeNet5")
    parser.add_argument(
        "--points", help=f"of {', '.join(point.name for point in POINTS)}, with commas between"
    )
    parser.add_argument("--images", type=int, help="of each point, in place of its own number")
    parser.add_argument("--steps", type=int, help="or queries of each point, in place of its own number")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--threads", type=int, help="of the processor, by default what torch chooses")
    parser.add_argument("--default-allocator", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args(given)
    if not (words.default_allocator or words.here):
        command = [sys.executable, "-m", "benchmarks.peers", *given, "--here"]
        return subprocess.run(command, check=False, env={**os.environ, **KEEP_MEMORY}).returncode
    try:
        compare(words)
    except InputError as error:
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
