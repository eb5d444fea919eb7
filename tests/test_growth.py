"""How cost grows: exponents that are known, what is subtracted, and the command on a small scale."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks import growth
from benchmarks.growth import Axis, Setting, axes, exponent, markdown, measure
from benchmarks.meter import Passes, metered


@pytest.mark.parametrize("power", [-1.0, 0.0, 1.0, 2.0])
def test_a_power_has_its_exponent(power: float) -> None:
    x = [1.0, 2.0, 4.0, 8.0]
    assert exponent(x, [3.0 * each**power for each in x]) == pytest.approx(power, abs=1e-9)


def test_what_a_fixed_cost_hides_has_no_exponent() -> None:
    assert math.isnan(exponent([1.0, 2.0], [0.0, 1.0]))


def test_the_fixed_cost_is_subtracted_before_the_fit() -> None:
    settings = [Setting(images=each) for each in (16, 32, 64)]

    def seconds(setting: Setting) -> float:
        return 5.0 + 0.01 * (setting.images if setting.steps > 1 else 0)

    axis = Axis("images", [16, 32, 64], settings, [each.idle() for each in settings], seconds)
    (curve,) = measure([axis], rounds=2)
    assert curve.exponent == pytest.approx(1.0, abs=1e-9)
    assert curve.fixed == [5.0] * 3
    assert "| images | 16, 32, 64 | 5.16 (5.00), 5.32 (5.00), 5.64 (5.00) | 1.00 |" in markdown([curve])


def test_each_axis_varies_one_thing() -> None:
    base = Setting()
    for axis in axes(base):
        assert len(axis.x) == len(axis.settings) == len(axis.fixed)
        for name in ("images", "steps", "classes", "side", "defenses", "processes"):
            varies = len({getattr(each, name) for each in axis.settings}) > 1
            assert varies == (name == {"pixels": "side"}.get(axis.name, axis.name)), (axis.name, name)


def test_the_work_of_a_setting_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image is classified correctly and is attacked to the end, behind each defense too."""
    small = Setting(images=32, steps=3, side=8)
    model, data = growth.subject(small)
    assert torch.equal(model(data.tensors[0]).argmax(1), data.tensors[1])
    counts = []
    for setting in (small, Setting(images=64, steps=3, side=8)):
        plain, noise = growth.subject(setting)
        counted, meter = metered(plain)
        monkeypatch.setattr(growth, "subject", lambda _, found=(counted, noise): found)
        growth.processor_seconds(Setting(images=setting.images, steps=3, side=8, defenses=2))
        monkeypatch.undo()
        counts.append(meter.passes)
    # Undefended once; behind each defense along its own gradient, which is none, and along the substitute's.
    rungs, clean, last, judged = 1 + 2 + 2, 3, 1, 1
    more = Passes(counts[1].forward - counts[0].forward, counts[1].backward - counts[0].backward)
    assert more.forward == 32 * (clean + rungs * (3 + last + judged))
    assert 32 * 3 * (1 + 2) <= more.backward <= 32 * 3 * rungs


def test_the_command_writes_table_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--axes images,defenses --images 32 --steps 2 --rounds 1"
    before = torch.get_num_threads()
    growth.main([*words.split(), "--out", str(tmp_path)])
    torch.set_num_threads(before)
    assert (tmp_path / "growth.md").read_text() in capsys.readouterr().out
    rows = pd.read_csv(tmp_path / "growth.csv")
    assert rows["grows_with"].value_counts().to_dict() == {"images": 4, "defenses": 4}
    assert (rows["seconds"] > 0).all()
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'advbench[figures]'")
    assert "</svg>" in (tmp_path / "growth.svg").read_text()


def test_an_axis_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        growth.main(["--out", "nowhere", "--axes", "weight"])
    assert "no axis 'weight'; known: images" in capsys.readouterr().err


@pytest.mark.slow
def test_processes_share_a_run() -> None:
    assert growth.shared_seconds(Setting(images=16, steps=1, processes=2)) > 0.0
