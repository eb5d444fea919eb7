"""By real invocation: a network gets the normalisation and the classes of its training, or the run ends."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advbench.cli import main
from advbench.data.digits import load
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defended.normalized import Normalized
from advbench.models.normalization import named
from advbench.models.registry import IMAGENET, Normalization
from advbench.runs.manifest import run_hash

# Coloured digits: three channels, so that ImageNet's constants are a candidate too.
CONSTANTS: dict[str, Normalization] = {
    "none": named("none", IMAGENET),
    "half": named("half", IMAGENET),
    "imagenet": IMAGENET,
    "255": named("255", IMAGENET),
}
OWN = """
import torch
from torch import nn


class Scale(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.register_buffer("mean", torch.full((1, 1, 1), 0.5))
        self.register_buffer("std", torch.full((1, 1, 1), 0.5))

    def forward(self, x):
        return (x - self.mean) / self.std


class Alone(nn.Module):
    def forward(self, x):
        return (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)


class Wave(nn.Module):
    def forward(self, x):
        return torch.sin(3 * x)


def body(channels=3):
    stem = [nn.Conv2d(channels, 8, 3), Wave(), nn.BatchNorm2d(8)]
    return nn.Sequential(*stem, nn.Flatten(), nn.Linear(288, 10))


def relu():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))


def make():
    return body()


def grey():
    return body(1)


def scaled():
    return nn.Sequential(Scale(0.5), body())


def alone():
    return nn.Sequential(Alone(), body(1))


"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[[str], Done]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(words: str) -> Done:
        capsys.readouterr()
        code = main(shlex.split(words))
        return Done(code, *capsys.readouterr())

    return run


def digits(split: str, channels: int) -> tuple[Tensor, Tensor]:
    """Digits in colours that differ from channel to channel; the split's own images."""
    images, labels, is_test = load()
    chosen = np.flatnonzero(is_test == (split == "test"))
    x = torch.from_numpy(images[chosen]).float().unsqueeze(1) / 16
    return x * torch.tensor([1.0, 0.6, 0.3])[:channels].view(-1, 1, 1), torch.from_numpy(labels[chosen])


def trained(network: nn.Module, constants: Normalization, channels: int = 3, steps: int = 60) -> nn.Module:
    """A network after a second of training behind the constants."""
    x, y = digits("train", channels)
    model = Normalized(network, constants.mean, constants.std)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimizer.step()
    return network.eval()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: factories, weights under each normalisation, and coloured digits as arrays."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "own.py").write_text(OWN)
    factories: dict[str, Callable[[], nn.Module]] = {}
    exec(OWN, factories)  # the file of the test
    for name, constants in CONSTANTS.items():
        torch.manual_seed(0)
        torch.save(trained(factories["make"](), constants).state_dict(), folder / f"{name}.pt")
    torch.manual_seed(0)
    torch.save(trained(factories["scaled"](), CONSTANTS["none"]).state_dict(), folder / "scaled.pt")
    torch.save(trained(factories["alone"](), CONSTANTS["none"], 1).state_dict(), folder / "alone.pt")
    torch.save(factories["make"]().state_dict(), folder / "untrained.pt")
    torch.save(trained(factories["relu"](), CONSTANTS["half"]).state_dict(), folder / "relu.pt")
    x, y = digits("test", 3)
    np.savez(folder / "test.npz", x=x.numpy(), y=y.numpy())
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


WORDS = "attack --dataset npz --first 20 --steps 1 --out run"


@pytest.mark.parametrize("name", list(CONSTANTS))
def test_the_normalisation_of_the_training_is_found_and_said(name: str, home: Path, command: Command) -> None:
    done = command(
        f"{WORDS} --data-root {home}/test.npz --model {home}/own.py:make --checkpoint {home}/{name}.pt "
        "--quiet --format csv,markdown,html"
    )
    assert done.code == 0, done.err
    manifest = json.loads(Path("run/run.json").read_text())
    constants = CONSTANTS[name]
    assert (manifest["settings"]["mean"], manifest["settings"]["std"]) == (
        list(constants.mean),
        list(constants.std),
    )
    assert manifest["normalization"]["by"] == "clean accuracy"
    assert set(manifest["normalization"]["accuracies"]) == {"none", "half", "imagenet", "255"}
    said = f"NOTE: normalisation {name} (--mean"
    for text in (
        " ".join(done.out.split()),
        Path("run/table.md").read_text(),
        Path("run/report.html").read_text(),
    ):
        assert said in text.replace("\\", "")
    assert (
        command(
            f"{WORDS} --data-root {home}/test.npz --model {home}/own.py:make --checkpoint "
            f"{home}/{name}.pt --normalization {name} --out given"
        ).code
        == 0
    )
    given = json.loads(Path("given/run.json").read_text())
    assert run_hash(given) == run_hash(manifest)
    assert given["notes"] == []


def test_near_candidates_end_the_run_with_their_accuracies_and_the_options_to_write(
    home: Path, command: Command
) -> None:
    words = f"{WORDS} --data-root {home}/test.npz --model {home}/own.py:relu --checkpoint {home}/relu.pt"
    done = command(f"{words} --quiet")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "cannot be told: clean accuracy is half 9" in done.err
    assert "of 360 images; of the first " in done.err
    assert (
        "--normalization half (--mean 0.5 --std 0.5), or --normalization imagenet (--mean 0.485," in done.err
    )
    assert not Path("run").exists()
    assert command(f"{words} --normalization half").code == 0


def test_a_run_goes_on_and_is_verified_with_what_was_chosen(home: Path, command: Command) -> None:
    model = f"--model {home}/own.py:make"
    words = f"{WORDS} --data-root {home}/test.npz {model} --checkpoint {home}/half.pt --save-adversarial"
    assert command(words).code == 0
    manifest = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    again = command(words)
    assert again.code == 0
    assert "going on with an earlier start" in again.err
    done = command(f"verify run {model}")
    assert done.code == 0, done.out + done.err


def test_a_network_that_normalises_by_itself_says_so(home: Path, command: Command) -> None:
    words = f"{WORDS} --data-root {home}/test.npz --model {home}/own.py:scaled --checkpoint {home}/scaled.pt"
    assert command(words).code == 0
    manifest = json.loads(Path("run/run.json").read_text())
    assert manifest["normalization"] == {"by": "the network normalises by itself"}
    assert manifest["settings"]["mean"] == [0.0]


def test_a_network_that_no_constants_change_is_left_to_its_pixels(home: Path, command: Command) -> None:
    words = f"attack --dataset digits --first 20 --steps 1 --out run --model {home}/own.py:alone"
    done = command(f"{words} --checkpoint {home}/alone.pt")
    assert done.code == 0, done.err
    manifest = json.loads(Path("run/run.json").read_text())
    assert manifest["settings"]["mean"] == [0.0]
    assert "the network gives the same answers under every other" in manifest["notes"][0]


def test_a_network_at_chance_is_attacked_with_a_doubt(home: Path, command: Command) -> None:
    words = f"{WORDS} --data-root {home}/test.npz --model {home}/own.py:make --checkpoint {home}/untrained.pt"
    done = command(f"{words} --quiet --json")
    assert done.code == 0
    assert "note: clean accuracy is at chance under every normalisation" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--normalization half --mean 0 --std 1", "give --normalization or --mean and --std, not both."),
        ("--normalization halb", "'halb' is not one of"),
        ("--mean 0", "give --mean and --std together."),
        ("--classes a --class-index b", "give --classes or --class-index, not both."),
        ("--classes nowhere.txt", "--classes nowhere.txt cannot be read"),
        ("--class-index nowhere.json", "--class-index nowhere.json cannot be read"),
    ],
)
def test_words_that_do_not_fit_are_refused(words: str, said: str, command: Command) -> None:
    done = command(f"attack --first 4 --steps 1 --out run {words}")
    assert done.code == 2
    assert said in done.err
    assert not Path("run").exists()


def test_finetuned_weights_say_what_they_were_trained_with(home: Path, command: Command) -> None:
    words = f"finetune --model {home}/own.py:grey --dataset digits --normalization half --scratch"
    done = command(f"{words} --epochs 1 --train-limit 200 --limit 40 --quiet --out tuned")
    assert done.code == 0, done.err
    words = f"attack --model {home}/own.py:grey --checkpoint tuned/plain/last.safetensors --dataset digits"
    assert command(f"{words} --first 20 --steps 1 --out run").code == 0
    manifest = json.loads(Path("run/run.json").read_text())
    assert manifest["settings"]["mean"] == [0.5]
    assert manifest["normalization"] == {"by": "the checkpoint's notes"}


def test_training_that_goes_on_measures_and_says_so(home: Path, command: Command) -> None:
    words = (
        f"finetune --model {home}/own.py:make --checkpoint {home}/half.pt --dataset npz --train-split test"
    )
    words += f" --data-root {home} --epochs 1 --train-limit 100 --limit 20 --quiet --out tuned"
    done = command(words)
    assert done.code == 0, done.err
    assert "note: normalisation half (--mean 0.5 --std 0.5) was chosen by clean accuracy" in done.err
    assert json.loads(Path("tuned/run.json").read_text())["settings"]["mean"] == [0.5]


def test_a_plan_measures_nothing(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advbench.jobs.normalizing.measure", None)
    Path("plan.toml").write_text(
        f"[defaults]\nfirst = 4\nsteps = 1\nmodel = '{home}/own.py:make'\ncheckpoint = '{home}/half.pt'\n"
        f"dataset = 'npz'\ndata_root = '{home}/test.npz'\n"
    )
    done = command("sweep plan.toml --dry-run")
    assert done.code == 0, done.err
    assert "not known" not in done.out


def shown(folder: Path, order: list[str], count: int = 60) -> None:
    """Digits as a folder of grey pictures, a folder a class, in another order or with other names."""
    from PIL import Image  # noqa: PLC0415  # with torchvision

    images = load_dataset("digits", Place(root=folder, split="test"))
    for label, name in enumerate(order):
        if not name:
            continue
        (folder / name).mkdir(parents=True)
        for index in np.flatnonzero(images.labels == label)[: count // 10]:
            pixels = (images[int(index)][0][0] * 255).round().to(torch.uint8).numpy()
            Image.fromarray(pixels).convert("RGB").save(folder / name / f"{index}.png")


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A linear network on coloured pictures of digits, with twelve outputs of which ten are used."""
    folder = tmp_path_factory.mktemp("linear")
    (folder / "own.py").write_text(
        "from torch import nn\n\n\ndef make(num_classes=12):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(192, num_classes))\n"
    )
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 12))
    x, y = digits("train", 1)
    x = x.expand(-1, 3, -1, -1)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(200):
        optimizer.zero_grad()
        cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimizer.step()
    save_file(network.state_dict(), folder / "linear.safetensors")
    return f"--model {folder}/own.py:make --checkpoint {folder}/linear.safetensors --normalization none"


IN_ORDER = [f"{each}" for each in range(10)]
ONE_TO_TEN = [f"{each + 1}" for each in range(10)]
SCRAMBLED = ["f", "c", "j", "a", "h", "b", "i", "d", "g", "e"]
FOLDERS = "attack --dataset imagefolder --data-root pictures --steps 1 --eps 0.1 --out run"


@pytest.mark.parametrize(
    ("names", "limit", "said"),
    [
        (
            ONE_TO_TEN,
            60,
            "where they follow the numbers in their names. If that is right, give --classes FILE: "
            "one name a line: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10.",
        ),
        (ONE_TO_TEN, 10, "where they follow the numbers in their names."),
        (SCRAMBLED, 60, "one name a line: f, c, j, a, h, b, i, d, g, e."),
        ([*IN_ORDER[:4], "", *IN_ORDER[5:]], 54, "'index name': 0 0, 1 1, 2 2, 3 3, 5 5"),
    ],
)
def test_another_order_of_the_classes_ends_the_run(
    names: list[str], limit: int, said: str, linear: str, command: Command
) -> None:
    shown(Path("pictures"), names, 200)
    done = command(f"{FOLDERS} {linear} --limit {limit} --quiet")
    assert done.code == 2, done.out + done.err
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not Path("run").exists()
    lines = [f"{label} {name}" for label, name in enumerate(names) if name]
    Path("names.txt").write_text("\n".join(lines))
    Path("index.json").write_text(json.dumps({str(at): [name, "x"] for at, name in enumerate(names) if name}))
    for option in ("--classes names.txt", "--class-index index.json"):
        done = command(f"{FOLDERS} {linear} --limit {limit} --save-adversarial --overwrite {option}")
        assert done.code == 0, done.err
        assert "the checkpoint has 12 classes, the data set 10; its own head was built" in " ".join(
            done.out.split()
        )
        model = linear.partition(" --checkpoint")[0]
        assert command(f"verify run {model}").code == 0


def test_a_missing_class_is_asked_for_where_its_answers_do_not_tell(linear: str, command: Command) -> None:
    names = ["", *IN_ORDER[1:]]
    shown(Path("pictures"), names, 20)
    done = command(f"{FOLDERS} {linear} --limit 9")
    assert done.code == 2
    assert "--classes FILE" in done.err


def test_the_users_order_is_the_users_word_where_images_bear_it_out(linear: str, command: Command) -> None:
    shown(Path("pictures"), IN_ORDER, 200)
    Path("names.txt").write_text("\n".join([*IN_ORDER[:8], "9", "8"]))
    done = command(f"{FOLDERS} {linear} --classes names.txt")
    assert done.code == 0, done.err
    assert "NOTE: the classes of the data set are in another order" in " ".join(done.out.split())
    Path("names.txt").write_text("\n".join([*IN_ORDER[1:], "0"]))
    done = command(f"{FOLDERS} {linear} --classes names.txt --out other")
    assert done.code == 2
    assert "Correct the file of --classes or --class-index; label -> output:" in done.err
