"""The command by real invocation: what it prints, what it writes, and that how it is run does not matter."""

import json
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_model

from advbench import cli
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.files import sha256
from advbench.models.digits_cnn import DigitsCNN
from advbench.models.network import WEIGHTS
from advbench.results.records import join_samples
from advbench.runs.manifest import run_hash

WEIGHTS_FILE = WEIGHTS / "digits-cnn.safetensors"
COMMAND = [sys.executable, "-m", "advbench"]
# With two threads the OpenMP barriers spin whenever another process has the other core, up to fivefold.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
RATES = [
    f"{rung}_{each}"
    for rung in ("clean", "shattered", "bpda")
    for each in ("accuracy", "low", "high", "count")
]
COLUMNS = ["model", "dataset", "n", "defense", "norm", "eps", "attack", *RATES]
COLUMNS += ["masking_gap", "substitute", "verdict", "masking_gap_low", "masking_gap_high", "bpda_p"]
ORIGIN = [
    "seed",
    "checkpoint_sha256",
    "data_fingerprint",
    "device",
    "precision",
    "versions",
    "commit",
    "command",
    "run",
]

FACTORY = """
from advbench.models.digits_cnn import DigitsCNN
from safetensors.torch import load_model


def make(*, loud: bool = False):
    model = DigitsCNN()
    load_model(model, {!r})
    return model
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


Attack = Callable[[str], Done]


@pytest.fixture
def attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Attack:
    """`advbench attack` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(words: str) -> Done:
        return Done(cli.main(["attack", *shlex.split(words)]), *capsys.readouterr())

    return run


class Demo(NamedTuple):
    process: subprocess.CompletedProcess[str]
    folder: Path
    seconds: float


def seconds_of_children() -> float:
    """Processor seconds of all processes that this one has started, whatever else the machine does."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The main job as a user starts it, with nothing but the package installed."""
    home = tmp_path_factory.mktemp("demo")
    began = seconds_of_children()
    words = [*COMMAND, "attack", "--defense", "round", "--bpda"]
    process = subprocess.run(words, cwd=home, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    return Demo(process, next(iter((home / "runs").iterdir()), home), seconds_of_children() - began)


def rows_of(done: Done) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def samples_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "samples.parquet")


def test_the_default_prints_its_table_in_time_and_without_a_traceback(demo: Demo) -> None:
    assert demo.process.returncode == 0, demo.process.stderr
    assert demo.seconds < 30
    assert "Traceback" not in demo.process.stderr
    assert f"written to runs/{demo.folder.name}" in demo.process.stderr
    for word in ("defense", "clean", "shattered", "BPDA", "none", "round", "358/360"):
        assert word in demo.process.stdout
    assert max(map(len, demo.process.stdout.splitlines())) <= 80


def test_the_default_writes_a_whole_run_folder(demo: Demo) -> None:
    names = sorted(each.name for each in demo.folder.iterdir())
    tables = ["substitutes.csv", "table.csv", "table.md"]
    assert names == ["parts", "run.json", "samples.parquet", "substitutes", *tables]
    assert {each.suffix for each in (demo.folder / "parts").iterdir()} == {".parquet"}
    manifest = json.loads((demo.folder / "run.json").read_text())
    assert manifest["status"] == "done"
    assert manifest["command"] == ["advbench", "attack", "--defense", "round", "--bpda"]
    assert {"advbench", "python", "torch", "numpy", "pandas"} <= manifest["versions"].keys()
    assert manifest["checkpoint"]["sha256"] == sha256(WEIGHTS_FILE)
    assert len(manifest["data"]["fingerprint"]) == 64
    settings = manifest["settings"]
    assert settings["eps"] == "0.15"
    assert settings["defenses"]["round"][0]["step"] == 0.1
    assert {"steps", "step_size", "restarts", "random_start", "loss"} <= settings["attacks"]["pgd"].keys()
    given = "model mean std dataset split image_size limit first norm rungs gradient_free seed"
    assert set(given.split()) <= settings.keys()
    execution = manifest["execution"]
    assert (execution["data_root"], execution["processes"]) == ("data", 1)
    assert 1 <= execution["batch_size"] <= 512
    assert manifest["hash"] == run_hash(manifest)


def test_the_default_keeps_one_sample_an_image_rung_and_defense(demo: Demo) -> None:
    samples = samples_of(demo.folder)
    assert samples.dtypes.to_dict() == join_samples([]).dtypes.to_dict()
    assert not samples.duplicated(["index", "rung", "defense"]).any()
    counts = samples.groupby(["defense", "rung"]).size().to_dict()
    rungs = [("none", "clean"), ("none", "shattered")]
    rungs += [("round", "clean"), ("round", "shattered"), ("round", "bpda")]
    assert counts == dict.fromkeys(rungs, 360)
    assert samples["distance"].max() <= 0.15 + 1e-6


def test_the_default_shows_that_rounding_only_hides_the_gradient(demo: Demo) -> None:
    table = pd.read_csv(demo.folder / "table.csv", keep_default_na=False, na_values=[""])
    assert list(table.columns) == COLUMNS + ORIGIN
    none, rounded = table.to_dict("records")
    assert (none["defense"], rounded["defense"]) == ("none", "round")
    assert none["shattered_accuracy"] < 0.05
    assert rounded["clean_accuracy"] - rounded["shattered_accuracy"] < 0.02
    assert rounded["bpda_accuracy"] < 0.02
    gap = rounded["shattered_accuracy"] - rounded["bpda_accuracy"]
    assert rounded["masking_gap"] == pytest.approx(gap, abs=1e-12)
    assert (demo.folder / "table.md").read_text().count("\n| ") == 4


def test_json_is_all_that_stands_on_stdout(attack: Attack) -> None:
    rows = rows_of(attack("--defense round --bpda --first 8 --steps 3 --json"))
    assert [row["defense"] for row in rows] == ["none", "round"]
    assert list(rows[0]) == COLUMNS + ORIGIN


def test_quiet_leaves_stderr_empty(attack: Attack) -> None:
    done = attack("--first 8 --steps 3 --quiet")
    assert (done.code, done.err) == (0, "")
    assert "shattered" in done.out


def test_without_bpda_there_is_no_bpda_column(attack: Attack) -> None:
    done = attack("--defense round --first 8 --steps 3 --out here")
    assert "BPDA" not in done.out
    assert "bpda" not in Path("here/table.csv").read_text()
    assert set(samples_of(Path("here"))["rung"]) == {"clean", "shattered"}


def test_every_defense_and_attack_makes_a_row(attack: Attack) -> None:
    words = "--defense round --defense none --defense bit-depth:bits=2 --attack pgd:steps=2 --attack fgsm"
    rows = rows_of(attack(f"{words} --first 8 --json"))
    assert [(row["defense"], row["attack"]) for row in rows] == [
        (defense, attacked)
        for defense in ("none", "round", "bit-depth:bits=2")
        for attacked in ("pgd:steps=2", "fgsm")
    ]


@pytest.mark.parametrize(
    ("defense", "places"),
    [
        ("bit-depth:bits=4+round@layer2", ["input", "layer2"]),
        ("round@logits", ["logits"]),
        ("round:step=0.5@layer3.0", ["layer3.0"]),
    ],
)
def test_a_defense_acts_at_its_place(attack: Attack, defense: str, places: list[str]) -> None:
    none, defended = rows_of(attack(f"--defense {defense} --bpda --first 20 --json --out here"))
    assert defended["defense"] == defense
    manifest = json.loads(Path("here/run.json").read_text())
    assert [each["at"] for each in manifest["settings"]["defenses"][defense]] == places
    assert defended["shattered_count"] >= defended["clean_count"] - 1  # a zero gradient goes nowhere
    assert none["shattered_count"] <= 2
    assert defended["bpda_count"] <= 4


def test_limit_takes_as_many_of_each_class_and_first_takes_the_first(attack: Attack) -> None:
    attack("--limit 30 --steps 1 --out limit")
    clean = samples_of(Path("limit")).query("rung == 'clean'")
    assert clean["label"].value_counts().to_dict() == dict.fromkeys(range(10), 3)
    attack("--first 7 --steps 1 --out first")
    assert samples_of(Path("first")).query("rung == 'clean'")["index"].tolist() == list(range(7))


@pytest.mark.parametrize(
    ("words", "norm", "eps", "limit"),
    [("--eps 8/255", "linf", "8/255", 8 / 255), ("--norm l2", "l2", "0.5", 0.5)],
)
def test_the_threat_prints_as_given_and_holds(
    attack: Attack, words: str, norm: str, eps: str, limit: float
) -> None:
    rows = rows_of(attack(f"{words} --first 20 --json --out here"))
    assert (rows[0]["norm"], rows[0]["eps"]) == (norm, eps)
    assert f"{norm}, eps = {eps}" in Path("here/table.md").read_text()
    distances = samples_of(Path("here")).query("rung == 'shattered'")["distance"]
    assert 0.9 * limit < distances.max() <= limit + 1e-6


def test_overwrite_replaces_a_run_and_runs_get_folders_of_their_own(attack: Attack) -> None:
    assert attack("--first 4 --steps 1 --out here --format csv,json").code == 0
    assert attack("--first 5 --steps 1 --out here --overwrite").code == 0
    assert len(samples_of(Path("here"))) == 10
    assert not Path("here/table.json").exists()
    for _ in range(2):
        assert attack("--first 4 --steps 1").code == 0
    runs = list(Path("runs").iterdir())
    assert len(runs) == 2
    assert all("digits-cnn-digits" in each.name for each in runs)


def test_the_manifest_says_what_was_really_run(attack: Attack) -> None:
    attack("--first 4 --steps 1 --out here")
    command = json.loads(Path("here/run.json").read_text())["command"]
    assert command == shlex.split("advbench attack --first 4 --steps 1 --out here")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model and data in every other form that the command takes."""
    folder = tmp_path_factory.mktemp("elsewhere")
    network = DigitsCNN().eval()
    load_model(network, WEIGHTS_FILE)
    images = load_dataset("digits", Place(root=folder, split="test"))
    x = torch.stack([images[each][0] for each in range(40)])
    with warnings.catch_warnings(action="ignore"):  # deprecated, but the files are in circulation
        torch.jit.trace(network, x).save(str(folder / "model.pt"))  # type: ignore[no-untyped-call]  # untyped
    sizes = {0: torch.export.Dim("n")}
    torch.export.save(torch.export.export(network, (x,), dynamic_shapes=(sizes,)), folder / "model.pt2")
    torch.save(
        {"net": {f"module.{key}": each for key, each in network.state_dict().items()}}, folder / "ddp.pth"
    )
    (folder / "home_made_digits.py").write_text(FACTORY.format(str(WEIGHTS_FILE)))
    np.savez(folder / "digits.npz", x=np.uint8(x[:, 0].numpy() * 255 + 0.5), y=images.labels[:40])
    return folder


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("--checkpoint {}/model.pt --trust-program", "model"),
        ("--checkpoint {}/model.pt2 --trust-program", "model"),
        ("--checkpoint {}/ddp.pth --model digits-cnn", "digits-cnn"),
        ("--model {}/home_made_digits.py:make", "{}/home_made_digits.py:make"),
        ("--model {}/home_made_digits.py:make:loud=yes", "{}/home_made_digits.py:make:loud=yes"),
    ],
)
def test_a_model_in_another_form_gives_the_same_row(
    attack: Attack, elsewhere: Path, words: str, name: str
) -> None:
    rest = "--dataset digits --first 40 --steps 5 --defense round --bpda --json"
    own = rows_of(attack(rest))
    theirs = rows_of(attack(f"{words.format(elsewhere)} {rest}"))
    assert [row["model"] for row in theirs] == [name.format(elsewhere)] * 2
    numbers = [name for name in COLUMNS if name != "model"]
    assert [[row[name] for name in numbers] for row in theirs] == [
        [row[name] for name in numbers] for row in own
    ]


def test_a_program_is_not_run_without_trust(attack: Attack, elsewhere: Path) -> None:
    for name in ("model.pt", "model.pt2"):
        done = attack(f"--checkpoint {elsewhere / name} --dataset digits")
        assert done.code == 2
        assert "--trust-program" in done.err


def test_an_npz_file_is_a_dataset(attack: Attack, elsewhere: Path) -> None:
    words = "--model digits-cnn --defense round --eps 0.15 --steps 5 --json"
    rows = rows_of(attack(f"{words} --dataset npz --data-root {elsewhere}/digits.npz"))
    same = rows_of(attack(f"{words} --first 40"))
    assert (rows[0]["dataset"], rows[0]["n"]) == ("npz", 40)
    assert [row["clean_count"] for row in rows] == [row["clean_count"] for row in same]


def test_labels_in_another_order_are_told_by_the_clean_accuracy(attack: Attack, elsewhere: Path) -> None:
    words = "--model digits-cnn --eps 0.15 --steps 1 --json --dataset npz --data-root"
    assert "near chance" not in attack(f"{words} {elsewhere}/digits.npz --out right").err
    with np.load(elsewhere / "digits.npz") as file:
        np.savez("shifted.npz", x=file["x"], y=(file["y"] + 3) % 10)
        guessed = np.random.default_rng(0).permutation(file["y"])
        np.savez("guessed.npz", x=file["x"], y=guessed)
    done = attack(f"{words} shifted.npz --out shifted")
    assert done.code == 2
    assert "where they are shifted by 7, the last ones to the front" in done.err
    assert not Path("shifted").exists()
    done = attack(f"{words} guessed.npz --out guessed")
    assert done.code == 0
    assert "near chance for 10 classes" in done.err
    assert "near chance for 10 classes" in attack(f"{words} guessed.npz --out again --quiet").err


def test_the_same_seed_gives_the_same_samples_and_another_gives_others(attack: Attack) -> None:
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        assert attack(f"--first 30 --steps 3 --seed {seed} --defense round --bpda --out {name}").code == 0
    one, two, three = (samples_of(Path(each)) for each in ("one", "two", "three"))
    pd.testing.assert_frame_equal(one, two, rtol=1e-4)
    assert not one["distance"].equals(three["distance"])


@pytest.mark.parametrize(("size", "first"), [(1, 20), (7, 60), (64, 60)])
def test_the_batch_size_does_not_change_which_images_stand(attack: Attack, size: int, first: int) -> None:
    words = f"--defense round --bpda --first {first}"
    attack(f"{words} --out whole")
    attack(f"{words} --batch-size {size} --out parts")
    keys = ["index", "rung", "defense", "robust"]
    pd.testing.assert_frame_equal(samples_of(Path("parts"))[keys], samples_of(Path("whole"))[keys])


@pytest.mark.parametrize("words", ["--help", "attack --help", "list --help"])
def test_help_answers_at_once(words: str, tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        began = seconds_of_children()
        done = subprocess.run(
            [*COMMAND, *words.split()], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        seconds.append(seconds_of_children() - began)
        assert "Usage: advbench" in done.stdout
    assert min(seconds) < 1.0


def test_the_command_line_is_built_without_torch() -> None:
    code = "import advbench.cli.app, sys; assert not {'torch', 'pandas', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([])
    out, err = capsys.readouterr()
    assert "Usage: advbench" in out + err
    assert "error: See" not in err


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("attack --defense ro", ["round"]),
        ("attack --defense bit-depth+ro", ["bit-depth+round"]),
        ("attack --attack p", ["pgd"]),
        ("attack --model resnet", ["resnet20", "resnet32", "resnet44", "resnet56"]),
        ("attack --dataset cif", ["cifar10", "cifar100"]),
        ("list d", ["defenses", "datasets"]),
    ],
)
def test_the_shell_completes_names(typed: str, offered: list[str]) -> None:
    words = f"advbench {typed}"
    last = str(len(words.split()) - 1)
    completion = {"_ADVBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": last}
    done = subprocess.run(
        COMMAND, env={**ENVIRONMENT, **completion}, capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.split()) == sorted(offered)
