"""What `purify` asks of a denoiser: a word or a function becomes one, and each of its answers is checked."""

import copy
import hashlib
import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from advbench.defended.backward import name_of
from advbench.defended.own_functions import made_by, needs_an_argument
from advbench.errors import AdvbenchError, DefenseError, SpecError, first_line, ran_out_of_memory
from advbench.names.user_code import line_of, load_object, names_user_code

from .digits_denoiser import digits_denoiser

BUNDLED: Final = ""
"""The word for the denoiser that comes with the package."""


@dataclass(frozen=True)
class Denoiser:
    """A denoiser whose answers keep the shape of what it is given.

    Args:
        function: `(x, sigma) -> denoised x`; a module of our own, frozen and in evaluation mode, which moves
            to the images.
        name: what messages call it.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    name: str

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """The denoised images, of the shape, the type and the device of `x`.

        Args:
            x: images with noise, `(n, c, h, w)`.
            sigma: the noise's deviation, in pixel units.

        Raises:
            DefenseError: the denoiser fails, or returns something else.
        """
        if isinstance(self.function, nn.Module) and _place_of(self.function) not in (None, x.device):
            self.function.to(x.device)
        # A copy, which it may work on in place; a tensor of no dimension, which no shape of images spoils.
        given = x.clone(), torch.tensor(sigma, dtype=x.dtype, device=x.device)
        if x.requires_grad:  # of images that it has denoised before: what fails now is its derivative
            y: Any = self.function(*given)
        else:
            y = self._answer(*given)
        if not isinstance(y, Tensor) or y.shape != x.shape:
            got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise DefenseError(
                f"purify: denoiser {self.name} must return images of the shape that it is given, "
                f"{tuple(x.shape)}, got {got}."
            )
        return y.to(x)

    def _answer(self, x: Tensor, sigma: Tensor) -> Any:
        try:
            return self.function(x, sigma)
        except AdvbenchError:
            raise
        except Exception as error:  # a user's denoiser may raise anything
            if ran_out_of_memory(error):
                raise
            raise DefenseError(
                f"purify: denoiser {self.name} failed on images {tuple(x.shape)} with noise "
                f"{float(sigma):.3g}: {type(error).__name__}: {first_line(error)}{line_of(error)}"
            ) from error

    @property
    def digest(self) -> str:
        """A hash of a module's tensors, which tells its weights from others; empty of a plain function."""
        if not isinstance(self.function, nn.Module):
            return ""
        whole = hashlib.blake2b(digest_size=16)
        for name, tensor in self.function.state_dict().items():
            values = tensor.detach().cpu().contiguous().flatten()
            whole.update(f"{name} {values.dtype} {tuple(tensor.shape)}".encode())
            whole.update(values.view(torch.uint8).numpy().tobytes())
        return whole.hexdigest()


def find_denoiser(given: str | Callable[..., Tensor]) -> Denoiser:
    """The denoiser that a word stands for, or that is given as an object.

    Args:
        given: `file.py:net` or `package.module:net`: a module, a function with an argument, or what makes
            one when it is called without; the same as an object; empty for the bundled one.

    Raises:
        SpecError: another word, or something that cannot be called.
        InputError: a file or a name that is not there, or an error while it is imported.
    """
    if given == BUNDLED:
        return Denoiser(digits_denoiser(), "of digits")
    if not isinstance(given, str):
        return Denoiser(_own_copy(given), name_of(given))
    if not names_user_code(given):
        raise SpecError(f"purify: denoiser must be file.py:net or package.module:net, got {given!r}.")
    named = load_object(given)
    makes = inspect.isclass(named) or (_is_plain_function(named) and not needs_an_argument(named))
    function = made_by(named, given, "purify: denoiser") if makes else named
    return Denoiser(_own_copy(function), given.rpartition(":")[2])


def _place_of(module: nn.Module) -> torch.device | None:
    """Where a module's tensors are; None where it has none."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), None)


def _is_plain_function(thing: Any) -> bool:
    return inspect.isroutine(thing) or isinstance(thing, partial)


def _own_copy(function: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """What is called: of a module a copy, so that the caller's keeps its mode, its place and its gradients.

    Raises:
        SpecError: nothing that can be called.
    """
    if not callable(function) or inspect.isclass(function):
        raise SpecError(
            f"purify: a denoiser is a function or a module (x, sigma) -> denoised x, got {function!r:.60}."
        )
    if isinstance(function, nn.Module):
        return copy.deepcopy(function).eval().requires_grad_(False)
    return function  # type: ignore[no-any-return]  # a caller's function may return anything
