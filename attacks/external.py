"""What attacks of other libraries have in common: how they are found, run, and kept from doing harm."""

import contextlib
import importlib
import importlib.metadata
import io
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from advbench.defended.gradient import Model
from advbench.defended.left_as_found import prepared
from advbench.draws.batch_seed import global_draws
from advbench.draws.draws import Draws
from advbench.errors import (
    AdvbenchError,
    InputError,
    RunError,
    SpecError,
    first_line,
    nearest,
    printable,
    ran_out_of_memory,
)
from advbench.threat.attack import Attempt
from advbench.threat.threat import Threat

from .watched import Watched


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library whose attacks can be named.

    Args:
        name: before the colon, and of the extra that installs it.
        module: that holds the attacks.
        distribution: what it is called where packages are installed from.
    """

    name: str
    module: str
    distribution: str

    def load(self, module: str = "") -> ModuleType:
        """Import a module of the library, by default the one that holds the attacks.

        Raises:
            InputError: it is not installed, or cannot be imported.
        """
        try:
            with quiet():
                return importlib.import_module(module or self.module)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == self.name:
                message = f"{self.name} is not installed: pip install 'advbench[{self.name}]'"
                raise InputError(message) from None
            raise InputError(f"{self.name} cannot be imported: {printable(first_line(error))}") from error

    @property
    def version(self) -> str:
        """Its version, on which results depend."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "unknown"


class Case(NamedTuple):
    """What an attack of another library is to work on: copies, which it may change."""

    model: Watched
    x: Tensor
    y: Tensor
    threat: Threat
    seed: int


def pick(library: str, name: str, offered: Mapping[str, type], others: Collection[str]) -> type:
    """The class of an attack.

    Args:
        library: its library.
        name: the class's name.
        offered: every attack that can be run, by name.
        others: whatever else the library has.

    Raises:
        SpecError: no such attack; the message suggests the nearest ones.
    """
    if name in offered:
        return offered[name]
    hint = nearest(name, offered)
    if name in others:
        raise SpecError(f"{library}:{name} is no attack that finds images in a ball by itself. {hint}")
    raise SpecError(f"{library} has no attack called {name!r}. {hint}")


def check_norm(label: str, norms: Collection[str], threat: Threat) -> None:
    """Refuse an attack whose perturbations are small in another norm than the threat's.

    Raises:
        SpecError: it is.
    """
    if threat.norm not in norms:
        raise SpecError(f"{label} is an attack in {' or '.join(norms)}, and this run is in {threat.norm}.")


def step_share(settings: Mapping[str, Any], defaults: Mapping[str, Any], step: str, steps: str) -> float:
    """The step that an attack takes where the user gives none, as a share of eps.

    2.5 / steps, as PGD's; where there is no number of steps, the share that the library's own defaults
    have.

    Args:
        settings: what the user gave.
        defaults: the defaults of the library, among them `eps`.
        step: how the library calls the step.
        steps: how it calls the number of steps.
    """
    if steps in defaults:
        return 2.5 / max(1.0, float(settings.get(steps, defaults[steps])))
    return float(defaults[step]) / float(defaults["eps"])


def attempt(
    label: str,
    perturb: Callable[[Case], object],
    *,
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    draws: Draws,
) -> Attempt:
    """Run an attack of another library on a batch.

    Global generators are seeded from `draws` and put back, what the attack prints or warns is dropped, and
    the model is left as it was.

    Args:
        label: the attack's name in error messages.
        perturb: gives examples for the images, as a tensor or an array.
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        x: clean images in [0, 1], `(n, c, h, w)`.
        y: labels, `(n,)`.
        threat: the ball that the harness will hold the examples to.
        draws: the images' streams.

    Raises:
        RunError: the library raised something, or returned something else than images.
    """
    watched = Watched(model, x)
    kept = prepared(model) if isinstance(model, nn.Module) else contextlib.nullcontext()
    here = torch.cuda.device(x.device) if x.device.type == "cuda" else contextlib.nullcontext()
    try:
        with kept, here, global_draws(draws) as seed, quiet(), torch.enable_grad():
            case = Case(watched, x.clone(), y.clone(), threat, seed)
            x_adv = torch.as_tensor(perturb(case)).detach().to(x)
    except Exception as error:
        # What is ours has its sentence already, and a batch that was too large is run again in halves.
        if isinstance(error, AdvbenchError) or ran_out_of_memory(error):
            raise
        reason = printable(first_line(error))
        raise RunError(f"{label} failed in its library: {type(error).__name__}: {reason}") from error
    finally:
        watched.let_go()
    if x_adv.shape != x.shape:
        raise RunError(f"{label} returned {tuple(x_adv.shape)}, not images {tuple(x.shape)}.")
    return Attempt(x_adv, watched.steps, watched.queries, watched.flat)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what a library prints out of our results, and its warnings from being taken for ours."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@torch.no_grad()
def class_count(model: Model, x: Tensor) -> int:
    """How many classes the model tells apart: a query of each image."""
    return int(model(x).shape[1])
