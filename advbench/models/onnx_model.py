"""A classifier in an ONNX file: onnxruntime judges with the very file, a twin in torch gives the gradient."""

from typing import Any, Final, Self

import numpy as np
import torch
from torch import Tensor, nn

from advbench.defended.backward import BPDA
from advbench.errors import CheckpointError, ModelError, first_line, printable
from advbench.models.libraries import load_library
from advbench.models.onnx_file import EXTRA, OnnxFile
from advbench.models.onnx_interface import Interface, interface_of

CPU: Final = "CPUExecutionProvider"
_CUDA: Final = "CUDAExecutionProvider"
_SILENT: Final = 4  # onnxruntime's level for what is fatal; errors come as exceptions too


class Judge(nn.Module):
    """The very file under onnxruntime: pixels `(n, c, h, w)` in [0, 1] to logits `(n, k)`; no gradient.

    Args:
        file: as it was read.
        device: where torch has the images; onnxruntime computes there if it has a provider for it.
        output: the output that holds the logits; None to choose it.

    Raises:
        InputError: onnxruntime is not installed or cannot load the file, or it is no classifier of images.
    """

    def __init__(self, file: OnnxFile, device: torch.device, output: str | None = None) -> None:
        super().__init__()
        self.session = start_session(file, device)
        self.interface: Interface = interface_of(
            self.session.get_inputs(), self.session.get_outputs(), output
        )

    @property
    def provider(self) -> str:
        """The execution provider that computes."""
        return str(self.session.get_providers()[0])

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`, in the type of the images.

        Raises:
            ModelError: the file does not take images of this shape.
        """
        given = self.interface.as_levels(self.interface.given(x.detach().cpu()))
        logits = self.interface.in_its_batches(self._called, given)
        return logits.to(device=x.device, dtype=x.dtype)

    def _called(self, given: Tensor) -> Tensor:
        names = [self.interface.output_name], {self.interface.input_name: given.contiguous().numpy()}
        try:
            (logits,) = self.session.run(*names)
        except Exception as error:  # onnxruntime's own, or of its bindings
            raise ModelError(
                f"onnxruntime failed on a batch of shape {tuple(given.shape)}: {printable(first_line(error))}"
            ) from error
        return torch.from_numpy(np.array(logits))


class OnnxModel(nn.Module):
    """The file's answers, bit for bit, with the gradient of its twin.

    Both are kept out of the module tree: a defense at a layer of the twin would not act on the file.

    Args:
        judge: the file under onnxruntime.
        twin: the same function in torch; None where there is none, and then there is no gradient.
        device: where the images are.
    """

    anchor: Tensor

    def __init__(self, judge: Judge, twin: nn.Module | None, device: torch.device) -> None:
        super().__init__()
        self._parts = (judge, twin)
        self.register_buffer("anchor", torch.zeros((), device=device), persistent=False)

    @property
    def pixel_levels(self) -> int | None:
        """Steps between black and white of the pixels that the file takes; None for any number."""
        return 255 if self._parts[0].interface.dtype == torch.uint8 else None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy that shares the session, of which there is nothing to change."""
        return type(self)(*self._parts, self.anchor.device)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`."""
        judge, twin = self._parts
        if twin is None or not (torch.is_grad_enabled() and x.requires_grad):
            logits: Tensor = judge(x)
            return logits
        along: Tensor = BPDA(judge, twin)(x)
        return along


def start_session(file: OnnxFile, device: torch.device, *, prepared_as: str | None = None) -> Any:
    """A session of onnxruntime on a file.

    Args:
        file: as it was read.
        device: where torch computes.
        prepared_as: write the graph there, constants folded and identities taken out, in standard operators.

    Raises:
        InputError: onnxruntime is not installed, or cannot load the file.
    """
    runtime = load_library(EXTRA, "onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads = torch.get_num_threads()
    if prepared_as is not None:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = prepared_as
    there = runtime.get_available_providers()
    providers = [_CUDA, CPU] if device.type == "cuda" and _CUDA in there else [CPU]
    source = str(file.path) if file.external else file.contents
    try:
        return runtime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # onnxruntime's own
        reason = printable(first_line(error)).removeprefix("[ONNXRuntimeError] : ")
        raise CheckpointError(f"onnxruntime cannot load {file.path}: {reason[:300]}") from error
