"""One network in every form that `--model` takes: the same clean count, and what each form allows.

    OMP_NUM_THREADS=1 python -m benchmarks.one_network --first 100

The bundled CNN of digits is exported in every form whose libraries are installed, and attacked by one command
line. A form that no library here can make is left out with its reason. timm and transformers take pictures in
colour: their network is the same one behind the mean of three channels. A function and a server show their
answers alone, so that no attack follows a gradient there.
"""

import argparse
import contextlib
import importlib
import io
import json
import tempfile
import threading
import urllib.request
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import advbench
from advbench.models.digits_cnn import DigitsCNN
from advbench.models.network import bundled_weights
from advbench.names.grammar import parse_spec

Words = dict[str, object]

_RUNGS: Final = ("clean", "shattered", "gradient_free")


def network() -> nn.Module:
    """The bundled CNN with its weights."""
    weights = bundled_weights(parse_spec("digits-cnn"))
    assert weights is not None  # they are part of the package
    made = DigitsCNN().eval()
    made.load_state_dict(load_file(weights))
    return made


def _module(folder: Path) -> Words:
    weights = folder / "net.safetensors"
    save_file(network().state_dict(), weights)
    return {"model": "digits-cnn", "checkpoint": weights}


def _torchscript(folder: Path) -> Words:
    path = folder / "net.ts"
    torch.jit.script(network()).save(str(path))  # type: ignore[no-untyped-call]  # untyped in torch
    return {"checkpoint": path, "trust_program": True}


def _exported(folder: Path) -> Words:
    path = folder / "net.pt2"
    batch = torch.export.Dim("n")
    program = torch.export.export(network(), (torch.rand(2, 1, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    return {"checkpoint": path, "trust_program": True}


def _onnx(folder: Path) -> Words:
    path = folder / "net.onnx"
    axes = {"x": {0: "n"}}
    torch.onnx.export(
        network(), (torch.rand(2, 1, 8, 8),), str(path), dynamo=False, input_names=["x"], dynamic_axes=axes
    )
    return {"model": str(path)}


class _OfColour(nn.Module):
    """The network for pictures in three channels, as libraries of models want it."""

    def __init__(self, *_words: object, **_more: object) -> None:
        super().__init__()
        self.network = network()

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`, of pixels `(n, 3, 8, 8)`."""
        logits: Tensor = self.network(x.mean(1, keepdim=True))
        return logits


def _timm(folder: Path) -> Words:
    timm: Any = importlib.import_module("timm")

    def one_network(*_words: object, **_more: object) -> nn.Module:
        return _OfColour()

    one_network.__module__ = __name__
    timm.models.register_model(one_network)
    save_file(_OfColour().state_dict(), folder / "model.safetensors")
    config = {"input_size": [3, 8, 8], "crop_pct": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    config |= {"interpolation": "bicubic", "crop_mode": "center"}
    values = {"architecture": one_network.__name__, "num_classes": 10, "pretrained_cfg": config}
    (folder / "config.json").write_text(json.dumps(values))
    return {"model": f"timm:{folder}"}


def _transformers(folder: Path) -> Words:
    library: Any = importlib.import_module("transformers")
    library.logging.disable_progress_bar()
    outputs: Any = importlib.import_module("transformers.modeling_outputs")

    class Config(library.PreTrainedConfig):  # type: ignore[misc]  # of a library without types
        model_type = "one_network"

    class Classifier(library.PreTrainedModel):  # type: ignore[misc]  # likewise
        config_class = Config

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.inner = _OfColour()
            self.post_init()

        def forward(self, pixel_values: Tensor, **_more: Any) -> Any:
            return outputs.ImageClassifierOutput(logits=self.inner(pixel_values))

    library.AutoConfig.register("one_network", Config)
    library.AutoModelForImageClassification.register(Config, Classifier)
    classifier = Classifier(Config(num_labels=10))
    classifier.inner.load_state_dict(_OfColour().state_dict())  # post_init has drawn others
    classifier.save_pretrained(folder)
    library.ViTImageProcessor(do_resize=False, do_normalize=False).save_pretrained(folder)
    return {"model": f"hf:{folder}"}


@cache
def _kept() -> nn.Module:
    return network()


def _scores(images: Any) -> Any:
    """The network as a function on arrays `(n, h, w, c)`."""
    with torch.no_grad():
        return _kept()(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


_AS_A_BOX: Final[Words] = {
    "black_box": True,
    "black_box_form": "nhwc,float,scores",
    "attacks": ["tabu:queries=1000"],
    "normalization": None,
}


def _function(_: Path) -> Words:
    return {"model": _scores, **_AS_A_BOX}


class _Service(BaseHTTPRequestHandler):
    """Answers an array of images with an array of scores."""

    def do_POST(self) -> None:  # the library's name
        """Answer."""
        images = np.load(io.BytesIO(self.rfile.read(int(self.headers["Content-Length"]))))
        reply = io.BytesIO()
        np.save(reply, _scores(images))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(reply.getvalue())

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def _server(_: Path) -> Words:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def ask(images: Any) -> Any:
        body = io.BytesIO()
        np.save(body, images)
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}", body.getvalue()) as reply:
            return np.load(io.BytesIO(reply.read()))

    return {"model": ask, **_AS_A_BOX}


FORMS: Final[Mapping[str, Callable[[Path], Words]]] = {
    "torch module": _module,
    "TorchScript": _torchscript,
    "torch.export (.pt2)": _exported,
    "ONNX": _onnx,
    "timm": _timm,
    "transformers": _transformers,
    "NumPy function": _function,
    "HTTP server": _server,
}
"""Each form with what makes it, and gives the words of its run."""


def counts(words: Words, first: int) -> list[str]:
    """How many images each rung leaves, of the whole, and the attack of the shattered rung."""
    shared: Words = {"data": "digits", "first": first, "normalization": "none", "rungs": ["gradient_free"]}
    with contextlib.redirect_stderr(io.StringIO()):
        run = advbench.run(**{**shared, **words})  # type: ignore[arg-type]  # words of every kind
    rates = run.rows[0].rates
    cells = [f"{rates[rung].count}/{rates[rung].n}" if rung in rates else "–" for rung in _RUNGS]
    return [*cells, run.rows[0].attack]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--first", type=int, default=100, help="images, from the first on")
    first = parser.parse_args().first
    print("| form | " + " | ".join(_RUNGS) + " | attack of the shattered rung |")
    print("| --- |" + " --: |" * len(_RUNGS) + " :-- |")
    warnings.simplefilter("ignore")  # of exporters that torch has deprecated
    for form, make in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                words = make(Path(folder))
            except ImportError as error:
                print(f"| {form} | – ({error.name} is not installed) |" + " – |" * len(_RUNGS))
                continue
            print(f"| {form} | " + " | ".join(counts(words, first)) + " |", flush=True)


if __name__ == "__main__":
    main()
