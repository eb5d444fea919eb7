"""`--attack auto`: the model is asked what it gives, once, before the run begins."""

from collections.abc import Collection
from dataclasses import replace
from typing import Final, get_args

import torch
from torch import Tensor, nn

from advbench.attacks.auto import CANNOT, Gives
from advbench.defended.left_as_found import prepared
from advbench.defended.model import network_of
from advbench.errors import ModelError
from advbench.jobs.settings.run import RunSettings
from advbench.names.grammar import Spec, parse_spec

AUTO: Final = "auto"


def resolved(
    options: RunSettings, model: nn.Module, x: Tensor, own: Collection[str] = ()
) -> tuple[RunSettings, tuple[str, ...]]:
    """The settings whose `auto` says what the model gives, and what the rows are to say of it.

    Args:
        options: as they were given.
        model: pixels to logits, normalisation inside.
        x: an image to look with, `(1, c, h, w)`.
        own: the names of attacks that are objects, which stay what they are.

    Raises:
        ModelError: a model that says of itself that it gives what there is not.
    """
    specs = [
        parse_spec(text) if text.startswith(AUTO) and text not in own else None for text in options.attacks
    ]
    open_ones = [spec is not None and spec.name == AUTO and "gives" not in spec.parameters for spec in specs]
    if not any(open_ones):
        return options, ()
    gives = given_by(model, x)
    if gives == "gradients":
        return options, ()
    attacks = tuple(
        str(Spec(AUTO, {"gives": gives, **spec.parameters})) if is_open and spec is not None else text
        for text, spec, is_open in zip(options.attacks, specs, open_ones, strict=True)
    )
    return replace(options, attacks=attacks), (f"--attack auto: {CANNOT[gives]}",)


def given_by(model: nn.Module, x: Tensor) -> Gives:
    """What a model gives: what its own network says in an attribute `gives`, else what autograd makes of it.

    A network whose outputs are cut from its input gives scores; whether these are of use is not looked at,
    and neither are defenses, which `--bpda` is for.

    Args:
        model: pixels to logits.
        x: an image, `(1, c, h, w)`.

    Raises:
        ModelError: an attribute that says something else.
    """
    own_word = getattr(network_of(model), "gives", None)
    if isinstance(own_word, str):
        if own_word not in get_args(Gives):
            raise ModelError(f"a model gives {', '.join(get_args(Gives))}; this one says {own_word!r:.40}.")
        return own_word  # type: ignore[return-value]  # it is one of them
    with prepared(model), torch.enable_grad():
        try:
            logits = model(x.detach().clone().requires_grad_())
        except Exception:  # NumPy inside takes no tensor with a gradient
            with torch.no_grad():
                model(x)  # a model that always fails says so itself
            return "scores"
    if not isinstance(logits, Tensor):  # which the clean pass will say
        return "gradients"
    return "gradients" if logits.requires_grad and logits.grad_fn is not None else "scores"
