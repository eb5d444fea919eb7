"""From a model's name to a classifier with its weights and its normalisation."""

from pathlib import Path
from typing import Any

from torch import nn

from advbench import registry
from advbench.errors import AdvbenchError, ModelError, SpecError, first_line
from advbench.models.registry import MODELS, ModelEntry, torchvision_models
from advbench.spec import Spec
from advbench.user_code import load_object, names_user_code

WEIGHTS = Path(__file__).parent / "weights"


def find_model(name: str) -> ModelEntry | None:
    """The entry of a built-in, torchvision or plug-in model; None for `module:factory` and `file.py:factory`.

    Raises:
        SpecError: no such name; the message suggests the nearest ones.
    """
    if names_user_code(name):
        return None
    if name in MODELS:
        return MODELS[name]
    entry = registry.find({**MODELS, **torchvision_models()}, name, "model")
    return (
        entry if isinstance(entry, ModelEntry) else ModelEntry(factory=entry.factory, summary=entry.summary)
    )


def build_network(spec: Spec, num_classes: int | None) -> nn.Module:
    """Make the network that a spec names, with untrained weights or whatever its factory loads.

    Args:
        spec: name and parameters.
        num_classes: how many classes the data set has; given to factories that take `num_classes`,
            unless the spec gives it.

    Raises:
        SpecError: an unknown name or parameter.
        ModelError: a factory that fails or does not return a module.
    """
    entry = find_model(spec.name)
    classes = spec.parameters.get("num_classes")
    if classes is not None and registry.convert(classes, int, f"{spec.name}: num_classes") < 1:
        raise SpecError(f"{spec.name}: num_classes must be at least 1, got {classes}.")
    given: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    if entry is None:
        return _call_user_factory(spec, given)
    if entry.factory.startswith("torchvision."):
        return _build_torchvision(spec, given)
    network: nn.Module = registry.build(entry.load(), spec, "model", **given)
    return network


def bundled_weights(spec: Spec) -> Path | None:
    """The checkpoint that comes with a model, if one does."""
    entry = find_model(spec.name)
    return WEIGHTS / entry.weights if entry and entry.weights else None


def _build_torchvision(spec: Spec, given: dict[str, Any]) -> nn.Module:
    import torchvision.models  # noqa: PLC0415  # as in the registry

    allowed = registry.Parameter(name="num_classes", annotation=int, default=1000)
    options = {**given, **registry.converted(spec, {"num_classes": allowed}, "model")}
    # These two initialise from a truncated normal, minutes of work that the checkpoint then overwrites.
    if spec.name in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    network: nn.Module = torchvision.models.get_model(spec.name, weights=None, **options)
    return network


def _call_user_factory(spec: Spec, given: dict[str, Any]) -> nn.Module:
    try:
        factory = load_object(spec.name)
        if isinstance(factory, nn.Module):
            raise ModelError(f"{spec.name} is a model, not a factory: name a function that returns one.")
        network = registry.build(factory, spec, "model", **given)
    except AdvbenchError:
        raise
    except Exception as error:  # the user's factory may raise anything
        raise ModelError(f"{spec.name} failed: {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{spec.name} must return a torch.nn.Module, got {type(network).__name__}.")
    return network
