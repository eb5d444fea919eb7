"""One network in every form that `--model` takes: the same clean count, and what each form allows.

    OMP_NUM_THREADS=1 python -m benchmarks.one_network --first 100

The bundled CNN of digits is exported in every form whose libraries are installed, and attacked by one command
line. A form that no library here can make is left out with its reason.
"""

import argparse
import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import nn

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


FORMS: Final[Mapping[str, Callable[[Path], Words]]] = {
    "torch module": _module,
    "TorchScript": _torchscript,
    "torch.export (.pt2)": _exported,
    "ONNX": _onnx,
}
"""Each form with what makes it, and gives the words of its run."""


def counts(words: Words, first: int) -> list[str]:
    """How many images each rung leaves, of the whole."""
    shared: Words = {"data": "digits", "first": first, "normalization": "none", "rungs": ["gradient_free"]}
    with contextlib.redirect_stderr(io.StringIO()):
        run = advbench.run(**{**shared, **words})  # type: ignore[arg-type]  # words of every kind
    rates = run.rows[0].rates
    return [f"{rates[rung].count}/{rates[rung].n}" if rung in rates else "–" for rung in _RUNGS]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--first", type=int, default=100, help="images, from the first on")
    first = parser.parse_args().first
    print("| form | " + " | ".join(_RUNGS) + " |")
    print("| --- |" + " --: |" * len(_RUNGS))
    warnings.simplefilter("ignore")  # of exporters that torch has deprecated
    for form, make in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                words = make(Path(folder))
            except ImportError as error:
                print(f"| {form} | – ({error.name} is not installed) |" + " – |" * (len(_RUNGS) - 1))
                continue
            print(f"| {form} | " + " | ".join(counts(words, first)) + " |", flush=True)


if __name__ == "__main__":
    main()
