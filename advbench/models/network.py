"""From a model's name to a classifier with its weights and its normalisation."""

from pathlib import Path
from typing import Any

from torch import nn

from advbench.errors import AdvbenchError, ModelError, SpecError
from advbench.models.libraries import describe_model, names_library
from advbench.models.onnx_file import names_onnx
from advbench.models.registry import MODELS, ModelEntry, torchvision_models
from advbench.names import registry
from advbench.names.conversion import convert
from advbench.names.grammar import Spec
from advbench.names.user_code import as_own_program, failure_sentence, load_object, names_user_code

WEIGHTS = Path(__file__).parent / "weights"


def find_model(name: str) -> ModelEntry | None:
    """The entry of a built-in, torchvision or plug-in model; None for those of libraries, files and users.

    Raises:
        SpecError: no such name; the message suggests the nearest ones.
    """
    if names_library(name) or names_onnx(name) or names_user_code(name):
        return None
    if name in MODELS:
        return MODELS[name]
    entry = registry.find({**MODELS, **torchvision_models()}, name, "model")
    return (
        entry if isinstance(entry, ModelEntry) else ModelEntry(factory=entry.factory, summary=entry.summary)
    )


def build_network(spec: Spec, num_classes: int | None, received: dict[str, Any] | None = None) -> nn.Module:
    """Make the network that a spec names, with untrained weights or whatever its factory loads.

    Args:
        spec: name and parameters.
        num_classes: how many classes the data set has; given to factories that take `num_classes`,
            unless the spec gives it.
        received: is filled with what the factory is called with.

    Raises:
        SpecError: an unknown name or parameter.
        ModelError: a factory that fails or does not return a module.
    """
    network: nn.Module
    entry = find_model(spec.name)
    classes = spec.parameters.get("num_classes")
    if classes is not None and convert(classes, int, f"{spec.name}: num_classes") < 1:
        raise SpecError(f"{spec.name}: num_classes must be at least 1, got {classes}.")
    given: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    received = {} if received is None else received
    if names_library(spec.name):
        network = describe_model(spec, own_weights=False).build(num_classes)
        received |= given
        return network
    if entry is None:
        return _call_user_factory(spec, given, received)
    if entry.factory.startswith("torchvision."):
        return _build_torchvision(spec, given, received)
    factory = entry.load()
    received |= registry.arguments(factory, spec, "model", **given)
    network = factory(**received)
    return network


def bundled_weights(spec: Spec) -> Path | None:
    """The checkpoint that comes with a model, if one does; a library's is where that keeps it."""
    if names_library(spec.name):
        return describe_model(spec).weights
    if names_onnx(spec.name):
        return Path(spec.name).expanduser()
    entry = find_model(spec.name)
    return WEIGHTS / entry.weights if entry and entry.weights else None


def _build_torchvision(spec: Spec, given: dict[str, Any], received: dict[str, Any]) -> nn.Module:
    import torchvision.models  # noqa: PLC0415  # as in the registry

    allowed = registry.Parameter(name="num_classes", annotation=int, default=1000)
    options = {**given, **registry.converted(spec, {"num_classes": allowed}, "model")}
    received |= options
    # These two initialise from a truncated normal, minutes of work that the checkpoint then overwrites.
    if spec.name in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    network: nn.Module = torchvision.models.get_model(spec.name, weights=None, **options)
    return network


def _call_user_factory(spec: Spec, given: dict[str, Any], received: dict[str, Any]) -> nn.Module:
    factory = load_object(spec.name)
    if isinstance(factory, nn.Module):
        raise ModelError(f"{spec.name} is a model, not a factory: name a function that returns one.")
    try:
        received |= registry.arguments(factory, spec, "model", **given)
        with as_own_program(spec.name):
            network = factory(**received)
    except AdvbenchError:
        raise
    except (Exception, SystemExit) as error:  # the user's factory may raise anything
        raise ModelError(f"{spec.name} failed: {failure_sentence(error, spec.name)}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{spec.name} must return a torch.nn.Module, got {type(network).__name__}.")
    return network
