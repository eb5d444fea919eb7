"""The gallery of a run: the run's own images and examples, spread over rungs and classes, and no model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from advbench import cli
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defenses import Round
from advbench.errors import InputError
from advbench.jobs import gallery as module
from advbench.jobs.gallery import gallery
from advbench.reports.pictures import to_pixels
from advbench.runs.examples import read_examples
from advbench.runs.read import read_records
from tests.forging import forge_settings, manifest_of, seal

WORDS = (
    "attack --defense round --defense round@layer2 --defense noise --bpda --substitute identity "
    "--first 20 --steps 2 --eot 2 --judge-draws 3 --save-adversarial --quiet --out run --format csv,html"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("gallery")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert cli.main(WORDS.split()) == 0
    return home / "run"


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def test_panels_are_the_images_the_examples_and_what_the_defense_makes_of_them(run: Path) -> None:
    images = load_dataset("digits", Place(root=Path("data"), split="test", download=False, image_size=None))
    examples = {
        (found.cell, index): x.numpy()
        for found in map(read_examples, (run / "adversarial").glob("*.safetensors"))
        for index, x in zip(found.indices.tolist(), found.x_adv, strict=True)
    }
    pictures = gallery(run, read_records(run), None)
    assert len(pictures) > 40
    for each in pictures:
        x = images[each.index][0].numpy()
        x_adv = next(
            value
            for (cell, index), value in examples.items()
            if index == each.index and tuple(cell) == (each.defense, each.attack, each.rung)
        )
        assert np.array_equal(each.panels[0].pixels, to_pixels(x))
        assert np.array_equal(each.panels[2].pixels, to_pixels(x_adv))
        assert len(each.panels) == (4 if each.defense in ("round", "noise") else 3)
        if each.defense == "round":
            rounded = Round()(torch.from_numpy(x_adv))
            assert np.array_equal(each.panels[3].pixels, to_pixels(rounded.numpy()))


def test_the_first_pictures_fool_and_come_from_every_rung_and_from_different_classes(run: Path) -> None:
    records = read_records(run)
    cells = records.samples.query("queries > 0").groupby(["defense", "rung"]).ngroups
    few = gallery(run, records, None, most=2 * cells)
    assert len({(each.defense, each.rung) for each in few}) == cells
    fooling = [each for each in few if each.defense == "none"]
    assert len({each.label for each in fooling}) == len(fooling) == 2
    assert all(each.fooled for each in fooling)
    assert "taken for" in few[0].panels[2].caption


def test_no_model_is_loaded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advbench.jobs.build_subject.load_classifier", None)
    assert gallery(run, read_records(run), None, most=3)


def test_a_run_writes_its_page_with_its_gallery_and_report_writes_it_again(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    assert text.count("<figure data-rung") > 40
    assert cli.main(["report", "run", "--format", "html"]) == 0
    assert capsys.readouterr().out == text
    assert cli.main(["verify", "run"]) == 0


def test_a_run_without_examples_has_a_page_without_a_gallery(run: Path) -> None:
    forge_settings(run, {**manifest_of(run)["settings"], "save_adversarial": None})
    assert cli.main(["report", "run", "--format", "html", "--out", "out", "--quiet"]) == 0
    assert "<h2>Gallery</h2>" not in Path("out/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "value"),
    [("defenses", {"nothing": []}), ("first", "x")],
)
def test_where_the_images_cannot_be_had_the_page_says_why(run: Path, name: str, value: object) -> None:
    forge_settings(run, {**manifest_of(run)["settings"], name: value})
    assert cli.main(["report", "run", "--format", "html", "--out", "out", "--quiet"]) == 0
    text = Path("out/report.html").read_text(encoding="utf-8")
    assert "No gallery: run: " in text or name == "defenses"


@pytest.mark.parametrize("name", ["imagefolder", "nothing"])
def test_where_the_data_set_cannot_be_had_the_page_says_why(run: Path, name: str) -> None:
    values = manifest_of(run)
    seal(
        run, settings={**values["settings"], "dataset": name}, heading={**values["heading"], "dataset": name}
    )
    assert cli.main(["report", "run", "--format", "html", "--out", "out", "--quiet"]) == 0
    assert "No gallery: run: " in Path("out/report.html").read_text(encoding="utf-8")


def test_code_that_a_forged_run_names_is_not_run(run: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')\ndef f(x): return x\n")
    text = (run / "run.json").read_text()
    manifest = json.loads(text.replace('"round"', json.dumps(f"{tmp_path}/evil.py:f")))
    (run / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError):
        gallery(run, read_records(run), None)
    shown = module._Shown(f"{tmp_path}/evil.py:f", 0)
    assert shown.chain == ()
