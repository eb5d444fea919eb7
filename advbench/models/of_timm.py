"""Models of timm (Wightman 2019), by name or from a folder, with their own preprocessing."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from advbench.errors import CheckpointError, ModelError, SpecError, first_line, nearest, printable
from advbench.models.hub import PICKLED, SAFE, cache_of, commit_of, is_folder, snapshot, weights_in
from advbench.models.libraries import Described, attempted, load_library, member_of
from advbench.models.preparation import Preparation, picture_of
from advbench.models.registry import Normalization
from advbench.names.conversion import convert
from advbench.names.grammar import Spec
from advbench.regular_files import open_regular

_EXTRA: Final = "timm"
_LARGEST: Final = 8 << 20  # bytes of a configuration
_NOT_FROM_A_FILE: Final = frozenset(
    {
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "checkpoint_path",
        "cache_dir",
        "features_only",
    }
)
"""Arguments of `timm.create_model` that say where weights come from, which a folder has no say in."""

_READ: Final = ("interpolation", "crop_pct", "crop_mode", "mean", "std", "input_size")


class _Model(NamedTuple):
    """A model as timm knows it.

    Args:
        architecture: its name, with the tag of its weights.
        config: its `pretrained_cfg`.
        arguments: what `timm.create_model` is called with beside it.
        folder: it comes from; None for a name that timm knows.
    """

    architecture: str
    config: dict[str, Any]
    arguments: dict[str, Any]
    folder: Path | None


def described(spec: Spec, *, download: bool, own_weights: bool) -> Described:
    """A model that timm knows by its name, or one in a folder that timm has saved.

    Raises:
        InputError: timm is not installed, has no such model, or its files are not on this machine.
    """
    timm = load_library(_EXTRA, "timm")
    data = load_library(_EXTRA, "timm.data")
    name = member_of(spec, "num_classes", "img_size")
    options = {key: convert(text, int, f"{spec.name}: {key}") for key, text in spec.parameters.items()}
    if any(number < 1 for number in options.values()):
        raise SpecError(f"{spec}: a number must be at least 1.")
    model = _of_folder(name, download=download) if "/" in name or is_folder(name) else _of_name(timm, name)
    side = options.pop("img_size", None)
    if side is not None:
        model.arguments["img_size"] = side
    classes = options.get("num_classes")
    outputs = classes or int(model.config.get("num_classes") or 1000)
    weights, missing = _weights(model, download=download) if own_weights else (None, "")

    def build(count: int | None) -> nn.Module:
        arguments = {**model.arguments, "num_classes": classes or count or outputs}
        network: nn.Module = attempted(
            f"timm cannot make {name!r}",
            lambda: timm.create_model(
                model.architecture, pretrained=False, pretrained_cfg=model.config or None, **arguments
            ),
        )
        return network

    return Described(
        library=f"timm {timm.__version__}",
        preparation=_preparation(data, name, model.config, side),
        labels=_labels(data, model.config, outputs),
        outputs=outputs,
        revision=commit_of(model.folder) if model.folder else "",
        build=build,
        weights=weights,
        missing=missing,
    )


def _of_name(timm: Any, name: str) -> _Model:
    if not timm.is_model(name):
        raise SpecError(f"timm has no model called {name!r}. {nearest(name, timm.list_models())}")
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        known = timm.list_models(f"{name.partition('.')[0]}.*", pretrained=True)
        hint = nearest(name, known) if known else ""
        raise SpecError(f"timm: {printable(first_line(error)).rstrip('.')}. {hint}".rstrip()) from error
    return _Model(name, dict(config.to_dict()) if config is not None else {}, {}, None)


def _of_folder(name: str, *, download: bool) -> _Model:
    """A model whose folder says what it is: `config.json`, as timm and its hub write it."""
    folder = (
        Path(name).expanduser()
        if is_folder(name)
        else snapshot(name, _EXTRA, revision=None, download=download)
    )
    file = folder / "config.json"
    try:
        with open_regular(file) as stream:
            values: Any = json.loads(stream.read(_LARGEST))
    except OSError as error:
        raise ModelError(f"{folder} holds no model of timm: there is no config.json in it.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is damaged.") from error
    architecture = values.get("architecture") if isinstance(values, Mapping) else None
    if not isinstance(architecture, str):
        kind = values.get("model_type") if isinstance(values, Mapping) else None
        hint = f" It is of transformers: --model hf:{name}." if isinstance(kind, str) else ""
        raise ModelError(f"{file} describes no model of timm: it has no architecture.{hint}")
    inner = values.get("pretrained_cfg")
    config = dict(inner if isinstance(inner, Mapping) else values)
    for key in ("num_classes", "label_names", "label_descriptions"):
        if key in values:
            config[key] = values[key]
    arguments = values.get("model_args")
    given = dict(arguments) if isinstance(arguments, Mapping) else {}
    refused = sorted(_NOT_FROM_A_FILE & given.keys())
    if refused:
        raise ModelError(f"{file} gives {refused[0]} to timm.create_model, which a folder has no say in.")
    for key in ("url", "file", "state_dict", "hf_hub_id", "source", "custom_load"):
        config.pop(key, None)  # weights come out of the folder alone
    return _Model(architecture.partition(".")[0], config, given, folder)


def _weights(model: _Model, *, download: bool) -> tuple[Path | None, str]:
    """The file of a model's own weights, or where it was looked for."""
    if model.folder is not None:
        file = weights_in(model.folder)
        if file is None or file.name.endswith(".json"):
            return None, f"there is no model.safetensors or pytorch_model.bin in {model.folder}"
        return file, ""
    if model.config.get("custom_load"):
        return None, "timm reads their file with code of its own, so that they have to be given"
    places = (
        _in_hub_cache(model.config, download=download),
        _in_torch_cache(model.config, download=download),
    )
    file = next((place for place in places if isinstance(place, Path)), None)
    looked = " and ".join(place for place in places if isinstance(place, str))
    return file, f"{looked}; add --download to fetch them" if looked else "timm knows no weights of it"


def _in_hub_cache(config: Mapping[str, Any], *, download: bool) -> Path | str | None:
    """A model's weights in the hub's cache, or words on where they are not; None where they are elsewhere."""
    repository = str(config.get("hf_hub_id") or "")
    if not repository:
        return None
    hub = load_library(_EXTRA, "huggingface_hub")
    wanted = config.get("hf_hub_filename")
    for name in [str(wanted)] if wanted else [SAFE, PICKLED]:
        cached = hub.try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    if download:
        fetched = weights_in(snapshot(repository, _EXTRA, revision=None, download=True))
        if fetched is not None:
            return fetched
    return f"{repository} is not in the cache {cache_of(_EXTRA)}"


def _in_torch_cache(config: Mapping[str, Any], *, download: bool) -> Path | str | None:
    """As `_in_hub_cache`, of weights that have an address of their own."""
    address = str(config.get("url") or "")
    if not address:
        return None
    file = Path(torch.hub.get_dir()) / "checkpoints" / address.rpartition("/")[2]
    if file.is_file():
        return file
    if download and not config.get("hf_hub_id"):
        return _fetched(address, file)
    return f"{file.name} is not in {file.parent}"


def _fetched(address: str, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(address, str(file), progress=False)
    except Exception as error:  # of the network's and of the disk's
        raise CheckpointError(f"{address} cannot be fetched: {printable(first_line(error))}") from error
    return file


def _preparation(data: Any, name: str, config: Mapping[str, Any], side: int | None) -> Preparation:
    chosen = {} if side is None else {"input_size": (3, side, side)}
    what = f"timm's preprocessing of {name!r}"
    settings = attempted(what, lambda: data.resolve_data_config(chosen, pretrained_cfg=dict(config)))
    if settings["input_size"][0] != 3:
        raise ModelError(f"{name!r} takes {settings['input_size'][0]} channels; timm's pictures have 3.")
    steps = attempted(what, lambda: list(data.create_transform(**settings, is_training=False).transforms))
    if type(steps[-1]).__name__ != "Normalize" or not type(steps[-2]).__name__.endswith("ToTensor"):
        raise ModelError(f"{what} ends in other steps than ToTensor and Normalize.")
    geometry, every = _following(steps[:-2]), _following(steps)
    defaults = tuple(key for key in _READ if not config.get(key) and not (key == "input_size" and side))
    return Preparation(
        config=_plain(settings),
        defaults=defaults,
        normalization=Normalization(tuple(settings["mean"]), tuple(settings["std"])),
        flipped=False,
        size_bytes=lambda x: _tensor_of(geometry(picture_of(x))),
        size=geometry,
        whole=lambda x: every(picture_of(x)),
    )


def _following(steps: list[Any]) -> Callable[[Any], Any]:
    """One step after another."""

    def run(image: Any) -> Any:
        for step in steps:
            image = step(image)
        return image

    return run


def _tensor_of(picture: Any) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in sorted(settings.items())
    }


def _labels(data: Any, config: Mapping[str, Any], outputs: int) -> tuple[tuple[str, int], ...]:
    """The names of the classes, where timm knows them: those of the folder, or ImageNet's synsets."""
    names = config.get("label_names")
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        pairs = list(zip(names, range(outputs), strict=False))
        more = config.get("label_descriptions")
        if isinstance(more, Mapping):
            pairs += [(str(more[name]), number) for name, number in list(pairs) if name in more]
        return tuple(dict.fromkeys(pairs))
    if outputs != int(config.get("num_classes") or 0):
        return ()
    try:
        known = data.ImageNetInfo(data.infer_imagenet_subset(dict(config)))
        return tuple((name, number) for number, name in enumerate(known.label_names()))
    except Exception:  # another data set than ImageNet
        return ()
