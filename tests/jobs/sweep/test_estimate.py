"""What cells would cost: the passes of their attacks times a pass of their model, which is probed once."""

from pathlib import Path

import pytest

from advbench.attacks import APGD, PGD, Square, autoattack
from advbench.jobs.settings.subject import SubjectOptions
from advbench.jobs.sweep import estimate
from advbench.jobs.sweep.estimate import Estimates, spoken
from advbench.speed.attack_cost import gradient_passes
from tests.jobs.sweep.files import cells_of

DEFENSES = "defenses = ['round', 'resize-pad']\nattacks = ['pgd:steps=6,restarts=2']\n"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[SubjectOptions]:
    """What was probed, where a pass over all images takes two seconds."""
    seen: list[SubjectOptions] = []

    def seconds_a_pass(subject: SubjectOptions) -> float:
        seen.append(subject)
        return 2.0

    monkeypatch.setattr(estimate, "_seconds_a_pass", seconds_a_pass)
    return seen


@pytest.mark.parametrize(
    ("defaults", "passes"),
    [
        ("", [12, 12, 12 * 20]),
        ("eot = 3", [12, 12, 12 * 3]),
        ("bpda = true\neot = 3", [12, 24, 24 * 3]),
        ("rungs = 'gradient_free'\ngradient_free = 'square:queries=9'\neot = 3", [15, 15, 15 * 3]),
        ("ladder = true\ngradient_free = 'square:queries=9'\neot = 3", [15, 27, 27 * 3]),
    ],
)
def test_a_cell_costs_the_passes_of_its_rungs_and_draws(
    defaults: str, passes: list[float], probed: list[SubjectOptions]
) -> None:
    estimates = Estimates()
    cells = cells_of(f"{DEFENSES}[defaults]\n{defaults}")
    assert [cell.defense for cell in cells] == ["none", "round", "resize-pad"]
    assert [estimates.seconds(cell) for cell in cells] == pytest.approx([2 * each for each in passes])
    assert len(probed) == 1


def test_a_model_is_probed_once_whatever_the_threat(probed: list[SubjectOptions]) -> None:
    estimates = Estimates()
    text = (
        "threats = ['0.1', '0.2', 'l2 0.5']\n[[models]]\nname = 'one'\n[[models]]\nname = 'two'\nseed = 1\n"
    )
    assert len({estimates.seconds(cell) for cell in cells_of(text)}) == 1
    assert [subject.seed for subject in probed] == [0, 1]


def test_a_probe_times_the_model_for_all_images() -> None:
    (cell,) = cells_of("attacks = ['fgsm']\n[defaults]\nfirst = 70\n")
    seconds = Estimates().seconds(cell)
    assert seconds is not None
    assert 0 < seconds < 60


def test_passes_are_those_of_the_attacks() -> None:
    assert gradient_passes(PGD(steps=40, restarts=2)) == 80
    assert gradient_passes(APGD(steps=10, targets=9)) == 90
    assert gradient_passes(Square(queries=300)) == pytest.approx(100)
    both = gradient_passes(autoattack(steps=10, queries=30))
    assert both == pytest.approx(10 + 90 + 90 + 10)
    assert gradient_passes(lambda *_: None) is None  # type: ignore[arg-type]  # an attack of one's own


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 s"),
        (0.123, "0.1 s"),
        (9.4, "9 s"),
        (9.6, "10 s"),
        (45, "45 s"),
        (119, "119 s"),
        (120, "2 min"),
        (200, "3 min"),
        (7199, "120 min"),
        (9000, "2 h"),
        (1e6, "12 d"),
    ],
)
def test_a_time_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
