"""Black boxes in whole runs: by command, from Python, behind a local endpoint."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import advbench
from advbench.cli import main
from advbench.errors import InputError, ModelError, StoppedError

_FILE = """
import numpy as np
import torch
import advbench

network = advbench.load_model("digits-cnn").eval()
COUNT = [0]

def scores(images):
    COUNT[0] += len(images)
    assert images.ndim == 4 and images.shape[-1] == 1
    x = torch.from_numpy(images.transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        return network(x / 255 if images.dtype == np.uint8 else x).numpy()

def labels(images):
    return scores(images).argmax(1).tolist()

def floats(images):
    assert images.dtype == np.float32
    return scores(images)

def one(image):
    assert image.ndim == 3 and image.dtype == np.float32 and image.shape[2] == 1
    return scores(image[None])[0]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boxes.py").write_text(_FILE)
    return tmp_path


class Digits:
    """The bundled network on float arrays, which counts its images."""

    def __init__(self) -> None:
        self.network, self.images, self.fails_at = advbench.load_model("digits-cnn").eval(), 0, -1

    def __call__(self, images: Any) -> Any:
        before, self.images = self.images, self.images + (len(images) if images.ndim == 4 else 1)
        if images.dtype != np.float32 or images.ndim != 4 or images.shape[-1] != 1:
            raise TypeError("float32 (n, h, w, 1)")
        if before <= self.fails_at < self.images:
            raise ConnectionError("HTTP 429: too many requests")
        with torch.no_grad():
            return self.network(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


def _run(function: Any, out: Path, **settings: Any) -> Any:
    usual: dict[str, Any] = {"attacks": "square:queries=20", "first": 10, "batch_size": 5, "retry_wait": 0}
    given = usual | settings
    return advbench.run(model={"digits": function}, black_box=True, data="digits", out=out, **given)


def _shown(out: Path) -> int:
    return sum(json.loads((out / "run.json").read_text())["shown"].values())


def test_a_function_gives_the_clean_count_of_its_network_and_every_image_is_counted(tmp_path: Path) -> None:
    function = Digits()
    run = _run(function, tmp_path / "box")
    network = advbench.run(
        model="digits-cnn", attacks="square:queries=20", first=10, out=tmp_path / "network"
    )
    assert run.rows[0].rates["clean"].count == network.rows[0].rates["clean"].count
    assert _shown(tmp_path / "box") == function.images
    shown = json.loads((tmp_path / "box" / "run.json").read_text())["shown"]
    assert shown["attack"] == run.samples["queries"].sum()
    assert "takes images (n, h, w, c) with float32 pixels" in " ".join(run.rows[0].notes)


def test_repeated_calls_are_counted_apart(tmp_path: Path) -> None:
    function = Digits()
    function.fails_at = 200
    _run(function, tmp_path / "box")
    shown = json.loads((tmp_path / "box" / "run.json").read_text())["shown"]
    assert shown["repeated"] > 0
    assert sum(shown.values()) == function.images


def test_a_run_stops_at_its_bound_keeps_everything_and_goes_on(tmp_path: Path) -> None:
    whole = _run(Digits(), tmp_path / "whole", seed=3)
    function = Digits()
    with pytest.raises(StoppedError, match=r"--max-queries|max_queries"):
        _run(function, tmp_path / "box", seed=3, max_queries=250)
    assert function.images <= 250
    assert json.loads((tmp_path / "box" / "run.json").read_text())["status"] == "interrupted"
    assert _shown(tmp_path / "box") == function.images
    with pytest.raises((StoppedError, ModelError)):  # what is left does not do for the clean images
        _run(function, tmp_path / "box", seed=3, max_queries=250)
    assert function.images <= 250
    run = _run(function, tmp_path / "box", seed=3, max_queries=2500)
    assert run.samples["robust"].tolist() == whole.samples["robust"].tolist()
    assert run.samples["queries"].tolist() == whole.samples["queries"].tolist()


def test_an_endpoint_that_fails_in_the_middle_is_gone_on_with(tmp_path: Path) -> None:
    function = Digits()
    function.fails_at = 250
    with pytest.raises(StoppedError, match="HTTP 429") as stopped:
        _run(function, tmp_path / "box", retries=0)
    assert stopped.value.exit_code == 1
    assert _run(function, tmp_path / "box", retries=0).rows[0].n == 10


def test_one_that_fails_at_once_writes_nothing(tmp_path: Path) -> None:
    def unreachable(_images: Any) -> Any:
        raise ConnectionRefusedError("connection refused")

    with pytest.raises(ModelError, match="connection refused") as error:
        _run(unreachable, tmp_path / "box", retries=1)
    assert error.value.exit_code == 2
    assert not (tmp_path / "box").exists()


@pytest.mark.parametrize(
    ("name", "form", "note"),
    [
        ("floats", "", "images (n, h, w, c) with float32"),
        ("one", "", "one image (h, w, c) at a time with float32"),
        ("scores", "uint8", "8-bit pixels (0 to 255) and gives scores"),
        ("labels", "float", "gives labels"),
    ],
)
def test_what_it_takes_is_found_out(here: Path, name: str, form: str, note: str) -> None:
    beside: dict[str, Any] = {"black_box_form": form} if form else {}
    beside |= {"surrogate": "distill", "attacks": "pgd:steps=2"} if name == "labels" else {}
    attacks = {"attacks": "square:queries=3"} | beside
    run = advbench.run(model=f"boxes.py:{name}", black_box=True, data="digits", first=5, **attacks)
    assert note in " ".join(run.rows[0].notes)


def test_labels_alone_are_attacked_by_labels(here: Path) -> None:
    run = advbench.run(
        model="boxes.py:labels", black_box=True, black_box_form="float", data="digits", first=5, eps=0.15
    )
    row = run.rows[0]
    assert row.attack == "hard-label:queries=500"
    assert any(note.startswith("pgd follows a gradient, which a black box has not") for note in row.notes)
    assert row.rates["shattered"].count < row.rates["clean"].count


def test_readings_that_are_near_each_other_are_listed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["attack", "--model", "boxes.py:scores", "--black-box", "--dataset", "digits", "--first", "5"])
        == 2
    )
    error = capsys.readouterr().err
    assert "nhwc,float: 3" in error
    assert "nhwc,uint8: 3" in error
    assert not (here / "runs").exists()


def test_8_bit_examples_are_what_the_function_saw_and_are_judged_again(here: Path) -> None:
    words = ["--dataset", "digits", "--first", "10", "--eps", "0.1", "--attack", "square:queries=60"]
    box = ["--model", "boxes.py:scores", "--black-box-form", "nhwc,uint8,scores"]
    assert main(["attack", *words, *box, "--out", "box", "--save-adversarial", "-q"]) == 0
    for path in (here / "box" / "adversarial").iterdir():
        x_adv = load_file(path)["x_adv"]
        assert torch.equal((x_adv * 255).round() / 255, x_adv)
    assert main(["verify", "box", "--model", "boxes.py:scores"]) == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--max-queries", "5"], "--max-queries bounds what a --black-box is asked"),
        (["--black-box"], "--black-box asks a function of your own"),
        (["--model", "boxes.py:floats", "--black-box", "--mean", "0.5"], "--mean belongs to a network"),
        (
            ["--model", "boxes.py:labels", "--black-box-form", "float", "--attack", "square", "--black-box"],
            "gives labels alone",
        ),
        (["--model", "boxes.py:network", "--black-box"], "is a torch module"),
        (["--model", "forest.joblib"], "is a pickle, and reading one runs whatever program it holds"),
        (["--model", "boxes.py:floats", "--black-box", "--max-queries", "9"], "--max-queries 9 is reached"),
    ],
)
def test_bad_input_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    (here / "forest.joblib").write_bytes(b"\x80")
    assert main(["attack", "--dataset", "digits", "--first", "5", *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert why in error[-1]
    assert not (here / "runs").exists()


class _Endpoint(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        bright = np.asarray(body["images"]).reshape(len(body["images"]), -1).mean(1)
        answer = json.dumps({"scores": [[float(1 - b), float(b), *[0.0] * 8] for b in bright]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_words: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_an_endpoint_is_a_function(here: Path, address: str) -> None:
    (here / "endpoint.py").write_text(
        "import json, urllib.request\n"
        "def ask(images):\n"
        "    body = json.dumps({'images': images.tolist()}).encode()\n"
        f"    with urllib.request.urlopen({address!r}, body, timeout=10) as reply:\n"
        "        return json.load(reply)\n"
    )
    run = advbench.run(
        model="endpoint.py:ask",
        black_box_form="nhwc,float",
        data="digits",
        first=5,
        attacks="square:queries=3",
    )
    assert run.rows[0].n == 5


def test_estimators_on_pixels(here: Path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    data: Any = advbench.load_data("digits", split="train")
    x, y = zip(*data, strict=True)
    forest = linear.LogisticRegression(max_iter=200).fit(torch.stack(x).flatten(1).numpy(), y)
    usual: dict[str, Any] = {"data": "digits", "first": 20, "attacks": "square:queries=20"}
    usual["black_box_form"] = "float"  # as good with 255 times these numbers: the command asks
    run = advbench.run(model=forest, **usual)
    assert run.rows[0].rates["clean"].count >= 15
    joblib = pytest.importorskip("joblib")
    joblib.dump(forest, here / "linear.joblib")
    again = advbench.run(model="linear.joblib", trust_program=True, **usual)
    assert again.rows[0].rates == run.rows[0].rates


def test_what_needs_a_gradient_is_left_out_and_told(here: Path) -> None:
    run = advbench.run(
        model="boxes.py:floats", black_box=True, data="digits", first=5, attacks=["pgd", "square:queries=3"]
    )
    assert [row.attack for row in run.rows] == ["square:queries=3"]
    assert "pgd follows a gradient, which a black box has not" in " ".join(run.rows[0].notes)
    with pytest.raises(InputError, match="a black box must be"):
        advbench.run(model=3, black_box=True, data="digits")
