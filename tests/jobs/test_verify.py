"""`advbench verify`: what a run claims is checked again, and whatever was tampered with is found."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors.torch
import torch

from advbench import Placement, cli
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defended.model import DefendedModel
from advbench.defenses import Round
from advbench.models.digits_cnn import DigitsCNN
from advbench.models.network import WEIGHTS
from advbench.runs.examples import read_examples
from tests.forging import (
    FORGED_EXAMPLES,
    FORGED_RECORDS,
    examples_of,
    flip,
    lose_one,
    record,
    samples_of,
    seal,
)

SMALL = "--first 30 --defense round --bpda --save-adversarial --batch-size 64"  # a file a rung
WORDS = f"attack {SMALL} --format csv,markdown,latex,json --quiet"
RUNGS = ["none · clean", "none · pgd · shattered"]
RUNGS += ["round · clean", "round · pgd · shattered", "round · pgd · bpda"]
TABLES = ["table.csv", "table.json", "table.md", "table.tex"]


class Done(NamedTuple):
    code: int
    out: str
    err: str

    def wrong(self) -> list[str]:
        """What the lines that say WRONG are about."""
        lines = [line.removeprefix("WRONG  ") for line in self.out.splitlines() if line.startswith("WRONG")]
        return [line.split(": ")[0] for line in lines]


Command = Callable[[str], Done]


@pytest.fixture
def advbench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "100")

    def run(words: str) -> Done:
        return Done(cli.main(words.split()), *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound run on a checkpoint of its own."""
    home = tmp_path_factory.mktemp("original")
    shutil.copy(WEIGHTS / "digits-cnn.safetensors", home / "weights.safetensors")
    words = f"{WORDS} --checkpoint {home}/weights.safetensors --model digits-cnn --dataset digits"
    assert cli.main([*words.split(), "--out", str(home / "run")]) == 0
    return home


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with; its checkpoint is given again on the command line."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def run(home: Path) -> Path:
    return home / "run"


@pytest.fixture
def verify(advbench: Command, home: Path) -> Callable[..., Done]:
    def verify(words: str = "") -> Done:
        return advbench(f"verify {home}/run --checkpoint {home}/weights.safetensors {words}")

    return verify


Verify = Callable[..., Done]


def test_a_sound_run_is_confirmed_with_a_line_for_each_rung(verify: Verify) -> None:
    done = verify()
    assert (done.code, done.err) == (0, "")
    lines = [line.removeprefix("ok     ").split(": ")[0] for line in done.out.splitlines()]
    assert lines[-len(RUNGS) - 1 :] == [*RUNGS, "not proved"]
    assert {"run.json", "seal", "parts/", "checkpoint", "images", "samples.parquet", *TABLES} <= set(lines)
    assert verify("--quiet").out == ""


def test_no_attack_is_imported(home: Path) -> None:
    code = f"""
import sys
from advbench.cli import main
assert main(["verify", "{home}/run", "--quiet"]) == 0
assert not [name for name in sys.modules if name.startswith("advbench.attacks")]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


PLACES = [0.0, 0.3, 0.999]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("name", [*TABLES, "samples.parquet"])
def test_one_changed_byte_of_a_file_is_found(run: Path, verify: Verify, name: str, where: float) -> None:
    flip(run / name, where)
    done = verify()
    assert done.code == 1
    assert name in done.wrong()
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("where", [*PLACES, 0.05, 0.01])
def test_one_changed_byte_of_an_example_is_found(run: Path, verify: Verify, where: float) -> None:
    path = examples_of(run)
    flip(path, where)
    done = verify()
    assert done.code == 1
    assert "adversarial/" in done.wrong()
    assert path.name in done.out


@pytest.mark.parametrize("where", PLACES)
def test_one_changed_byte_of_the_checkpoint_is_found(home: Path, verify: Verify, where: float) -> None:
    flip(home / "weights.safetensors", where)
    done = verify()
    assert done.code == 1
    assert done.wrong() == ["checkpoint"]


@pytest.mark.slow
def test_any_changed_byte_is_found(home: Path, verify: Verify) -> None:
    files = [home / "run" / name for name in [*TABLES, "samples.parquet"]]
    for path in [*files, examples_of(home / "run"), home / "weights.safetensors"]:
        before = path.read_bytes()
        for place in range(20):
            flip(path, place / 20 + 0.013)
            assert verify().code == 1, (path.name, place)
            path.write_bytes(before)
    assert verify().code == 0


@pytest.mark.parametrize(
    ("forge", "said"), FORGED_EXAMPLES.items(), ids=[each.__name__ for each in FORGED_EXAMPLES]
)
def test_a_forged_example_is_found_even_if_its_digest_fits(
    run: Path, verify: Verify, forge: Callable[[Path], None], said: str
) -> None:
    forge(run)
    seal(run)
    done = verify()
    assert done.code == 1
    assert [what for what in done.wrong() if what != "parts of adversarial/"] == ["round · pgd · bpda"]
    assert said in done.out


@pytest.mark.parametrize(
    ("where", "column", "change", "said"), FORGED_RECORDS.values(), ids=FORGED_RECORDS.keys()
)
def test_a_forged_record_is_found_even_if_every_digest_fits(
    run: Path, verify: Verify, where: str, column: str, change: Callable[[Any], Any], said: str
) -> None:
    record(run, where, column, change)
    done = verify()
    assert done.code == 1
    assert "samples.parquet" not in done.wrong()
    assert said in done.out


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("table.csv", ",30,", ",29,", "line 1"),
        ("table.json", '"n": 30', '"n": 31', "n is 31, not 30"),
        ("table.md", "/30", "/31", "not '"),
        ("table.tex", "& $_{[", "& $_{[1", "not '"),
    ],
)
def test_a_forged_table_is_found_even_if_its_digest_fits(
    run: Path, verify: Verify, name: str, old: str, new: str, said: str
) -> None:
    text = (run / name).read_text()
    assert old in text
    (run / name).write_text(text.replace(old, new, 1))
    seal(run)
    done = verify()
    assert done.code == 1
    assert done.wrong() == [f"numbers of {name}"]
    assert said in done.out


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": "resnet20"}, "model"),
        ({"dataset": "cifar10"}, "data set"),
        ({"norm": "l2"}, "norm"),
        ({"eps": "0.01"}, "radius"),
        ({"attacks": ["apgd"]}, "attack"),
        ({"gradient_free": "square"}, "gradient-free attack"),
        ({"rungs": ["bpda"]}, "rung"),
    ],
)
def test_a_heading_that_names_something_else_is_found(
    run: Path, verify: Verify, change: dict[str, Any], what: str
) -> None:
    manifest = json.loads((run / "run.json").read_text())
    seal(run, heading={**manifest["heading"], **change})
    assert verify().wrong() == ["run.json"]
    assert f"its heading and its settings name another {what}\n" in verify().out


def test_a_larger_ball_is_found(run: Path, verify: Verify) -> None:
    manifest = json.loads((run / "run.json").read_text())
    manifest["settings"]["eps"] = "0.1"
    (run / "run.json").write_text(json.dumps(manifest))
    assert "run.json" in verify().wrong()
    seal(run)
    assert "its heading and its settings name another radius" in verify().out
    seal(run, heading={**manifest["heading"], "eps": "0.1"})
    done = verify()
    assert "run.json" not in done.wrong()
    assert "outside the ball" in done.out


@pytest.mark.parametrize(
    ("forge", "wrong"),
    [
        (lambda run: (run / "samples.parquet").unlink(), ["samples.parquet", "records"]),
        (lambda run: (run / "table.csv").unlink(), ["table.csv"]),
        (
            lambda run: shutil.copy(run / "table.csv", run / "table.json"),
            ["table.json", "numbers of table.json"],
        ),
        (
            lambda run: shutil.rmtree(run / "adversarial"),
            [
                "adversarial/",
                "adversarial/",
                "adversarial/",
                "parts of adversarial/",
                *RUNGS[1:2],
                *RUNGS[3:],
            ],
        ),
        (lambda run: seal(run, data={"n": 30, "fingerprint": "0" * 64}), ["images"]),
    ],
)
def test_what_is_missing_or_replaced_is_found(
    run: Path, verify: Verify, forge: Callable[[Path], object], wrong: list[str]
) -> None:
    forge(run)
    done = verify()
    assert done.code == 1
    assert [re.sub(r"^adversarial/.*", "adversarial/", what) for what in done.wrong()] == wrong


def test_8_bit_images_are_counted_as_an_independent_computation_does(run: Path, verify: Verify) -> None:
    model = DigitsCNN().eval()
    safetensors.torch.load_model(model, WEIGHTS / "digits-cnn.safetensors")
    defended = DefendedModel(model, [Placement(Round())])
    examples = read_examples(examples_of(run))
    images = load_dataset("digits", Place(root=Path(), split="test"))
    y = torch.tensor([images[int(each)][1] for each in examples.indices])
    with torch.no_grad():
        fooling = defended(examples.x_adv).argmax(1) != y
        survive = defended(((examples.x_adv * 255).round().byte()).float() / 255).argmax(1) != y
    said = f"{int(fooling.sum())} fool ({int((fooling & survive).sum())} as 8-bit images)"
    line = next(line for line in verify("--quantize 8bit").out.splitlines() if RUNGS[-1] in line)
    assert line.endswith(said)


def test_json_gives_the_same_checks(verify: Verify) -> None:
    checks = json.loads(verify("--json").out)
    assert [each["what"] for each in checks][-len(RUNGS) - 1 :] == [*RUNGS, "not proved"]
    assert all(each["holds"] for each in checks)
    assert all(each.keys() == {"what", "holds", "said"} for each in checks)


@pytest.mark.parametrize(
    "words",
    [
        "--norm l2 --eps 1.5",
        "--defense round@layer2 --bpda",
        "--attack pgd:steps=3 --attack fgsm --defense bit-depth:bits=2+round@logits",
        "--limit 20 --seed 5",
        "--batch-size 7 --mean 0.5 --std 0.5",
    ],
)
def test_every_kind_of_run_can_be_verified(
    advbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    more = "" if "--limit" in words else "--first 25"
    attacked = advbench(f"attack {more} {words} --save-adversarial --out run")
    assert attacked.code == 0
    done = advbench("verify run")
    assert (done.code, done.err) == (0, ""), done.out


def test_only_successful_examples_are_kept_where_no_others_are_wanted(
    advbench: Command, tmp_path: Path
) -> None:
    assert advbench(f"attack {SMALL} --successful-only --out {tmp_path}/run").code == 0
    kept = [read_examples(each) for each in (tmp_path / "run/adversarial").iterdir()]
    fallen = samples_of(tmp_path / "run").query("not robust and queries > 0")
    assert sum(len(each.indices) for each in kept) == len(fallen) > 20
    assert advbench(f"verify {tmp_path}/run").code == 0
    lose_one(tmp_path / "run")
    assert "no example of it was kept" in advbench(f"verify {tmp_path}/run").out


FACTORY = """
from advbench.models.digits_cnn import DigitsCNN
from safetensors.torch import load_model
from pathlib import Path


def make():
    Path(__file__).with_name("imported").touch()
    model = DigitsCNN()
    load_model(model, {!r})
    return model
"""


def test_code_of_the_users_own_must_be_named_again(advbench: Command, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(FACTORY.format(str(WEIGHTS / "digits-cnn.safetensors")))
    model = f"--model {tmp_path}/own.py:make"
    attacked = advbench(f"attack {SMALL} {model} --dataset digits --out {tmp_path}/run")
    assert attacked.code == 0
    (tmp_path / "imported").unlink()
    refused = advbench(f"verify {tmp_path}/run")
    assert refused.code == 2
    assert "no run folder can ask" in refused.err
    assert not (tmp_path / "imported").exists()
    assert advbench(f"verify {tmp_path}/run {model}").code == 0


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (shutil.rmtree, "not a run's folder"),
        (lambda run: seal(run, status="interrupted"), "goes on with it"),
        (lambda run: seal(run, settings={"save_adversarial": None}), "--save-adversarial"),
        (lambda run: (run.parent / "weights.safetensors").unlink(), "give --checkpoint"),
    ],
)
def test_what_cannot_be_verified_is_refused_in_a_line(
    run: Path, verify: Verify, prepare: Callable[[Path], object], said: str
) -> None:
    prepare(run)
    done = verify()
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_part_whose_examples_are_damaged_is_done_again(
    home: Path, run: Path, advbench: Command, verify: Verify
) -> None:
    flip(examples_of(run), 0.9)
    examples_of(run, "shattered").unlink()
    words = f"{WORDS} --checkpoint {home}/weights.safetensors --model digits-cnn --dataset digits --out {run}"
    assert advbench(words).code == 0
    assert verify().code == 0
    assert len(json.loads((run / "run.json").read_text())["earlier_starts"]) == 1


def test_successful_only_alone_is_refused(advbench: Command) -> None:
    done = advbench("attack --successful-only")
    assert done.code == 2
    assert "--save-adversarial" in done.err
