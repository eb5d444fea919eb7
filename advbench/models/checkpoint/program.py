"""TorchScript archives and exported programs: files that are programs, not data."""

import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from advbench.errors import CheckpointError, ModelError, first_line
from advbench.models.checkpoint.formats import Format, damaged
from advbench.regular_files import check_regular, open_regular


class Program(nn.Module):
    """A network that came as a program, with its mode and its parameters fixed.

    The program is kept out of the module tree: exported programs refuse `eval()`, and nothing inside a
    program can be hooked, so no place inside it can take a defense.

    Args:
        program: the loaded callable.
        device: where its weights are.
    """

    anchor: Tensor

    def __init__(self, program: nn.Module, device: torch.device) -> None:
        super().__init__()
        self._program = (program,)
        self.register_buffer("anchor", torch.zeros((), device=device), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`, as the program computes them."""
        try:
            logits: Tensor = self._program[0](x)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a program may raise anything
            raise ModelError(
                f"the program refused a batch of shape {tuple(x.shape)}: {first_line(error)}. If it was "
                "exported for one batch size, export it again with a dynamic batch dimension."
            ) from error
        return logits


def load_program(path: Path, form: Format, device: torch.device, *, trusted: bool) -> Program:
    """Load a TorchScript archive or a `torch.export` program.

    Args:
        path: the file.
        form: which of the two.
        device: where to put it.
        trusted: the user's word that the file may run code.

    Raises:
        CheckpointError: not trusted, or damaged.
    """
    if not trusted:
        raise CheckpointError(
            f"{path} is a {form.value} program: running the model runs whatever code the file holds. If you "
            "trust its origin, add --trust-program; otherwise ask for a state dict."
        )
    try:
        program = _load_script(path, device) if form is Format.TORCHSCRIPT else _load_exported(path, device)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a damaged program can make its reader raise anything
        raise CheckpointError(damaged(path)) from error
    for parameter in program.parameters():
        parameter.requires_grad_(False)
    return Program(program, device)


def _load_script(path: Path, device: torch.device) -> nn.Module:
    with warnings.catch_warnings():
        # TorchScript is deprecated; files in it exist all the same, and the user cannot change that.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        check_regular(path)
        program: nn.Module = torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]  # untyped in torch
    return program.eval()


def _load_exported(path: Path, device: torch.device) -> nn.Module:
    from torch.export.passes import move_to_device_pass  # noqa: PLC0415  # slow to import, and rarely needed

    reader = logging.getLogger("torch.export")
    level = reader.level
    reader.setLevel(logging.CRITICAL)  # it logs a traceback for what we report in one line
    try:
        with open_regular(path) as file, warnings.catch_warnings():  # a path would have to end in .pt2
            warnings.simplefilter("ignore", UserWarning)  # torch 2.10 on buffers that nobody writes to
            exported = torch.export.load(file)
    finally:
        reader.setLevel(level)
    if device.type != "cpu":
        exported = move_to_device_pass(exported, device)
    return exported.module()
