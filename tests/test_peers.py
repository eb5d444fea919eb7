"""The comparison with other libraries: what is measured, what is kept, and what the table says."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from benchmarks import peers
from benchmarks.meter import Passes, metered
from benchmarks.peer_libraries import CONTESTANTS, Batch, Contestant, Job
from benchmarks.peer_points import POINTS, AttackName, Case, Source, Work, case_of
from benchmarks.peer_table import ADVBENCH, LIMIT, Clock, Entry, markdown, table, write_tables

DIGITS = next(each for each in POINTS if each.name == "digits-pgd")
BY_NAME = {each.name: each for each in CONTESTANTS}
SHORT = DIGITS.work.short().steps
SMALL = ["--images", "24", "--steps", "4", "--rounds", "2", "--default-allocator"]
ATTACKS: tuple[AttackName, ...] = ("pgd", "apgd", "square", "autoattack")
TAKING_PART = [(each.name, attack) for each in CONTESTANTS for attack in ATTACKS if attack in each.runners]


@pytest.fixture(scope="module")
def case() -> Iterator[Case]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield case_of(DIGITS, Source("digits-cnn", "digits"), "cpu")
    torch.set_num_threads(before)


def some_of(case: Case, count: int) -> Case:
    return case._replace(x=case.x[:count], y=case.y[:count])


def there(name: str) -> Contestant:
    contestant = BY_NAME[name]
    if contestant.absence("pgd") == "not installed":
        pytest.skip(f"{name} is not installed")
    return contestant


def entry(contestant: str, process: list[float], **more: Any) -> Entry:
    wall, standing = [2 * each for each in process], [5] * len(process)
    given = {"batch": 32, "standing": standing, **more}
    return Entry(point="p", title="P", contestant=contestant, images=10, process=process, wall=wall, **given)


def test_one_command_compares_everybody_who_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main(["--out", str(tmp_path), "--points", "digits-pgd,digits-square", *SMALL]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "table.md").read_text() in printed
    rows = pd.read_csv(tmp_path / "table.csv", dtype={"batch_size": str})
    assert len(rows) == 2 * len(CONTESTANTS)
    measured, absent = rows[rows["rounds"] == 2], rows[rows["rounds"] == 0]
    assert set(measured["library"]) >= {LIMIT, ADVBENCH}
    assert (measured[["process_seconds", "wall_seconds"]] > 0).all(axis=None)
    assert measured["reason"].isna().all()
    assert absent["reason"].notna().all()
    standing = measured[measured["library"] != LIMIT]
    assert (standing["standing_most"] <= 24).all()
    assert measured[measured["library"] == LIMIT]["standing_most"].isna().all()


def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--out", str(tmp_path), "--points", "digits-pgd", *SMALL]
    for each in CONTESTANTS[2:]:  # the limit and advbench are enough
        monkeypatch.setattr(type(each), "absence", lambda self, _: "" if self in CONTESTANTS[:2] else "away")
    rounds: list[int] = []
    real = peers.timed

    def counted(contestant: Contestant, job: Job) -> dict[str, Any]:
        found = real(contestant, job)
        rounds.append(job.work.steps)
        if len(rounds) == 5:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(peers, "timed", counted)
    with pytest.raises(KeyboardInterrupt):
        peers.main(words)
    kept = {each: each.read_text() for each in tmp_path.glob("rounds/*/*/round-*.json")}
    assert len(kept) == 2
    assert peers.main(words) == 0
    assert all(each.read_text() == contents for each, contents in kept.items())
    assert rounds.count(SHORT) == 2 + 2, "each wakes up in each start"
    assert rounds.count(4) == 2 + 1 + 2, "two that were kept, one that was stopped, and two more"
    done = len(rounds)
    assert peers.main(words) == 0
    assert len(rounds) == done


def test_rounds_of_other_settings_are_never_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--out", str(tmp_path), "--points", "digits-square", *SMALL]
    assert peers.main([*words, "--steps", "2"]) == 0
    assert peers.main([*words, "--steps", "3"]) == 2
    assert "are of another point: give another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--points", "pgd"], "no point 'pgd'; known: cifar-pgd"),
        (["--points", "mnist-pgd"], "needs its data"),
    ],
)
def test_points_that_cannot_be_run_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main(["--out", str(tmp_path), *words, *SMALL]) == 2
    assert message in capsys.readouterr().err


def test_images_are_of_all_classes_alike_and_classified_correctly(case: Case) -> None:
    assert len(case.x) == 256
    counts = case.y.bincount()
    assert len(counts) == 10
    assert int(counts.max()) - int(counts.min()) <= 3  # the rarest class has no more
    assert torch.equal(case.model(case.x).argmax(1), case.y)


@pytest.mark.parametrize(("attack", "backward"), [("pgd", 3), ("apgd", 3), ("square", 0)])
def test_the_limit_is_the_steps_alone(attack: AttackName, backward: int, case: Case) -> None:
    model, meter = metered(case.model)
    job = Job(case._replace(model=model), Work(attack=attack, eps="0.1", steps=3), 32, 0)
    assert BY_NAME[LIMIT].runners[attack](job) is None
    assert meter.passes == Passes(3 * len(case.x), backward * len(case.x))


@pytest.mark.parametrize(("name", "attack"), [each for each in TAKING_PART if each[0] != LIMIT])
def test_everybody_fells_images_within_the_ball(name: str, attack: AttackName, case: Case) -> None:
    few = some_of(case, 40)
    steps = {"square": 150, "autoattack": 4}.get(attack, 8)
    work = Work(attack=attack, eps="0.3", steps=steps)
    batch: Batch = "auto" if "auto" in name.split() else 32
    contestant = there(name)
    found = contestant.runners[attack](Job(few, work, batch, 0))
    assert found is not None
    assert found.shape == few.x.shape
    assert float((found - few.x).abs().max()) <= 0.3 + 1e-5
    told = peers.timed(contestant, Job(few, work, batch, 0))
    assert told["standing"] <= 30
    assert min(told["process"], told["wall"]) > 0


def test_examples_outside_of_the_ball_are_brought_back_before_they_are_judged(case: Case) -> None:
    few = some_of(case, 40)
    wild = Contestant(name="wild", runners={"pgd": lambda job: torch.rand_like(job.case.x)})
    work = Work(attack="pgd", eps="0.0001", steps=1)
    assert peers.timed(wild, Job(few, work, 32, 0))["standing"] >= 39


@pytest.mark.parametrize(
    ("attack", "parts"), [("apgd", ["apgd-ce"]), ("square", ["square"]), ("autoattack", [])]
)
def test_the_autoattack_package_is_told_the_same(
    attack: AttackName, parts: list[str], case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    class AutoAttack:
        def __init__(self, model: Any, **given: Any) -> None:
            self.given = given
            self.apgd, self.apgd_targeted, self.fab, self.square = (SimpleNamespace() for _ in range(4))
            made.append(self)

        def run_standard_evaluation(self, x: Tensor, y: Tensor, bs: int) -> Tensor:
            self.bs = bs
            return x

    fake = ModuleType("autoattack")
    vars(fake).update(AutoAttack=AutoAttack)
    monkeypatch.setitem(sys.modules, "autoattack", fake)
    few = some_of(case, 40)
    found = BY_NAME["AutoAttack"].runners[attack](Job(few, Work(attack=attack, eps="0.1", steps=7), 16, 3))
    assert found is few.x
    (told,) = made
    assert (told.given["attacks_to_run"], told.given["version"]) == (parts, "custom" if parts else "standard")
    assert (told.given["eps"], told.given["norm"], told.given["seed"], told.bs) == (0.1, "Linf", 3, 16)
    assert (told.apgd.n_iter, told.apgd_targeted.n_iter, told.fab.n_iter) == (7, 7, 7)
    assert told.apgd.n_restarts == 1
    assert told.square.n_queries == (7 if attack == "square" else 350)


def test_the_table_relates_medians_to_the_limit_and_to_the_fastest_other() -> None:
    found = [
        entry(LIMIT, [1.0, 2.0, 9.0], standing=[]),
        entry(ADVBENCH, [1.0, 1.0, 7.0], standing=[4, 5, 5]),
        entry("slow", [6.0]),
        entry("fast", [4.0], version="1.2"),
        Entry(point="p", title="P", contestant="absent", images=10, reason="not installed"),
    ]
    rows = table(found).set_index("library")
    assert rows["process_of_limit"].dropna().to_dict() == {
        LIMIT: 1.0,
        ADVBENCH: 0.5,
        "slow": 3.0,
        "fast": 2.0,
    }
    assert rows["wall_of_fastest_other"].loc[ADVBENCH] == 0.25
    lines = markdown(found).splitlines()
    assert "| advbench | 32 | 1.00 | 0.50 | 0.25 | 2.00 | 0.50 | 4 to 5 of 10 |" in lines
    assert "| fast 1.2 | 32 | 4.00 | 2.00 | 1.00 | 8.00 | 2.00 | 5 of 10 |" in lines
    assert "| absent | – (not installed) | – | – | – | – | – | – |" in lines


def test_where_nobody_else_is_there_the_table_says_so() -> None:
    (row,) = table([entry(ADVBENCH, [1.0])]).to_dict("records")
    assert row["process_seconds"] == 1.0
    assert pd.isna(row["process_of_limit"])
    assert pd.isna(row["process_of_fastest_other"])


@pytest.mark.parametrize("clock", ["process", "wall"])
def test_the_figure_is_drawn(clock: Clock, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'advbench[figures]'")
    other = Entry(
        point="q", title="Q", contestant=ADVBENCH, images=3, process=[1.0], wall=[1.0], standing=[1]
    )
    write_tables([entry(LIMIT, [1.0]), entry("slow", [3.0]), other], tmp_path, clock)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    drawn = (tmp_path / "figure.svg").read_text()
    assert "</svg>" in drawn
