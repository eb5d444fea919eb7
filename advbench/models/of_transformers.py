"""Image classifiers of transformers (Wolf et al. 2020), from a folder or the hub's cache."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from advbench.errors import CheckpointError, ModelError, printable
from advbench.models.checkpoint.formats import detect_format
from advbench.models.checkpoint.read import read_state_dicts
from advbench.models.hub import PICKLED, commit_of, is_folder, snapshot, weights_in
from advbench.models.libraries import Described, Weights, attempted, load_library, member_of
from advbench.models.preparation import Preparation, picture_of
from advbench.models.registry import Normalization
from advbench.names.grammar import Spec
from advbench.regular_files import open_regular

_EXTRA: Final = "hf"
_LARGEST: Final = 64 << 20  # bytes of a configuration; ImageNet-21k has many labels
_PROCESSOR: Final = "preprocessor_config.json"
_SAFELY: Final = {"local_files_only": True, "trust_remote_code": False}
_DECIDING: Final = (
    *("do_resize", "size", "resample", "crop_pct", "do_center_crop", "crop_size", "do_pad", "pad_size"),
    *("do_rescale", "rescale_factor", "rescale_offset", "do_normalize", "image_mean", "image_std"),
    *("include_top", "do_flip_channel_order"),
)
"""What a processor's answer depends on; not what it takes for pictures, or returns beside them."""


def described(spec: Spec, *, download: bool, own_weights: bool) -> Described:
    """An image classifier in a folder, or in the cache of the hub.

    Raises:
        InputError: transformers is not installed, or there is no such classifier on this machine.
    """
    library = load_library(_EXTRA, "transformers")
    name = member_of(spec, "revision")
    if is_folder(name):
        folder = Path(name).expanduser()
    else:
        folder = snapshot(name, _EXTRA, revision=spec.parameters.get("revision"), download=download)
    config = _config(library, folder, name)
    weights = weights_in(folder) if own_weights else None
    labels = tuple((str(label), int(number)) for number, label in sorted(config.id2label.items()))

    def build(count: int | None) -> nn.Module:
        if count is not None and count != config.num_labels:
            config.num_labels = count
        return _built(library, config, name)

    return Described(
        library=f"transformers {library.__version__}",
        preparation=_preparation(library, folder, config),
        labels=labels,
        outputs=config.num_labels,
        revision=commit_of(folder),
        build=build,
        weights=weights,
        missing=f"there is no model.safetensors or pytorch_model.bin in {folder}",
        load=lambda: _loaded(library, folder, config, name),
    )


def _config(library: Any, folder: Path, name: str) -> Any:
    """The configuration of an image classifier, whose code is the library's."""
    values = _read(folder / "config.json")
    if values is None:
        raise ModelError(f"{folder} holds no model of transformers: there is no config.json in it.")
    if "architecture" in values:  # with or without transformers' wrapper, it would go to timm
        raise ModelError(f"{folder} is a model of timm: --model timm:{name}.")
    for file, entries in (("config.json", values), (_PROCESSOR, _read(folder / _PROCESSOR) or {})):
        if "auto_map" in entries:
            raise ModelError(f"{folder / file} asks for code of its own (auto_map), which is never run.")
    if "quantization_config" in values:
        raise ModelError(f"{folder} holds quantised weights, which are not read: save them as real numbers.")
    config = attempted(
        f"{folder} cannot be read", lambda: library.AutoConfig.from_pretrained(folder, **_SAFELY)
    )
    if type(config) not in library.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        raise ModelError(
            f"{folder} is a model of the type {printable(str(config.model_type))!r}, for which transformers "
            "has no image classifier."
        )
    return config


def _read(file: Path) -> Mapping[str, Any] | None:
    """What a configuration says; None where there is no such file."""
    if not file.is_file():
        return None
    try:
        with open_regular(file) as stream:
            values: Any = json.loads(stream.read(_LARGEST))
    except (ValueError, RecursionError, OSError) as error:
        raise ModelError(f"{file} is damaged.") from error
    if not isinstance(values, Mapping):
        raise ModelError(f"{file} is damaged.")
    return values


def _built(library: Any, config: Any, name: str) -> nn.Module:
    network: nn.Module = attempted(
        f"transformers cannot make {name!r}",
        lambda: library.AutoModelForImageClassification.from_config(config, trust_remote_code=False),
    )
    return network.float()


def _loaded(library: Any, folder: Path, config: Any, name: str) -> Weights:
    """The classifier with the folder's weights, none of which may be missing."""
    file = weights_in(folder)
    kind: Any = type(_built(library, config, name))
    if file is None or file.name.startswith(f"{PICKLED}.index"):
        raise CheckpointError(
            f"{folder} holds no model.safetensors: save the model again with save_pretrained."
        )
    where: Path | None = folder
    more: dict[str, Any] = {"use_safetensors": True}
    if file.name == PICKLED:  # read as data; transformers would unpickle it
        states = read_state_dicts(file, detect_format(file)).state_dicts
        where, more = None, {"state_dict": dict(states[0][1])}
    with _silent(library):
        network, loading = attempted(
            f"transformers cannot load {name!r}",
            lambda: kind.from_pretrained(
                where, config=config, local_files_only=True, output_loading_info=True, **more
            ),
        )
    for what, key in (("are not in it", "missing_keys"), ("have another shape in it", "mismatched_keys")):
        wrong = sorted(map(str, loading.get(key) or ()))
        if wrong:
            raise CheckpointError(
                f"{file} is not the weights of {kind.__name__}: {_few(wrong)} {what}, and would be random."
            )
    unused = sorted(map(str, loading.get("unexpected_keys") or ()))
    remarks = [f"{file.name}: {_few(unused)} left out, which {kind.__name__} does not have"] if unused else []
    halves = {str(tensor.dtype).removeprefix("torch.") for tensor in network.parameters()} - {"float32"}
    if halves:
        remarks.append(f"the weights are {', '.join(sorted(halves))}; they are computed with in float32")
    return Weights(network.float(), f"transformers, {file.name}", tuple(remarks))


@contextmanager
def _silent(library: Any) -> Iterator[None]:
    """While weights are loaded: no bars, and no report on what an exception or a remark says in a line."""
    level, bars = library.logging.get_verbosity(), library.logging.is_progress_bar_enabled()
    library.logging.set_verbosity(logging.CRITICAL)
    library.logging.disable_progress_bar()
    try:
        yield
    finally:
        library.logging.set_verbosity(level)
        if bars:
            library.logging.enable_progress_bar()


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _preparation(library: Any, folder: Path, config: Any) -> Preparation:
    processor, in_file = _processor(library, folder, config)
    values = processor.to_dict()
    settings = {key: _plain(values[key]) for key in _DECIDING if values.get(key) is not None}
    untouched = {"do_rescale": False, "do_normalize": False, "return_tensors": "pt"}
    untouched |= {key: False for key in ("include_top", "do_flip_channel_order") if hasattr(processor, key)}

    def size(x: Tensor) -> Tensor:
        answer: Tensor = processor(images=list(x), input_data_format="channels_first", **untouched)[
            "pixel_values"
        ]
        return answer

    return Preparation(
        config={
            "processor": type(processor).__name__,
            **settings,
        },
        defaults=tuple(key for key in settings if key not in in_file),
        normalization=_normalization(settings),
        flipped=bool(settings.get("do_flip_channel_order")),
        size_bytes=lambda x: _bytes_of(processor(images=picture_of(x), **untouched)["pixel_values"][0]),
        size=size,
        whole=lambda x: torch.as_tensor(
            processor(images=picture_of(x), return_tensors="pt")["pixel_values"][0]
        ),
    )


def _processor(library: Any, folder: Path, config: Any) -> tuple[Any, Mapping[str, Any]]:
    """The processor, and what a file says of it; one of defaults where there is no file."""
    values = _read(folder / _PROCESSOR)
    what = f"the image processor of {folder}"
    if values is not None:
        made = attempted(what, lambda: library.AutoImageProcessor.from_pretrained(folder, **_SAFELY))
        return made, values
    kinds = library.IMAGE_PROCESSOR_MAPPING.get(type(config), None)
    if isinstance(kinds, Mapping):
        kinds = kinds.get("torchvision") or kinds.get("pil")
    kind = next(filter(None, reversed(kinds)), None) if isinstance(kinds, tuple) else kinds
    if kind is None:
        raise ModelError(
            f"{folder} has no {_PROCESSOR}, and its type has no image processor in transformers."
        )
    return attempted(what, kind), {}


def _normalization(settings: Mapping[str, Any]) -> Normalization:
    """Rescaling `y = 255 f x - b` and normalising `(y - mean) / std`, as one of pixels `x` in [0, 1]."""
    factor = 255 * float(settings["rescale_factor"]) if settings.get("do_rescale") else 255.0
    if abs(factor - 1.0) < 1e-12:
        factor = 1.0
    offset = 1.0 if settings.get("do_rescale") and settings.get("rescale_offset") else 0.0
    normalizes = bool(settings.get("do_normalize"))
    std = _numbers(settings.get("image_std")) if normalizes or settings.get("include_top") else (1.0,)
    mean = _numbers(settings.get("image_mean")) if normalizes else (0.0,) * len(std)
    scale = std if normalizes else (1.0,) * len(std)
    if settings.get("include_top"):  # EfficientNet's divides by the deviation once more
        scale = tuple(one * again for one, again in zip(scale, std, strict=True))
    return Normalization(
        tuple((number + offset) / factor for number in mean), tuple(number / factor for number in scale)
    )


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, list | tuple) else (float(value),)


def _bytes_of(levels: Any) -> Tensor:
    """Levels from 0 to 255, which some processors return as floating-point numbers."""
    tensor = torch.as_tensor(np.asarray(levels))
    return tensor if tensor.dtype == torch.uint8 else tensor.round().clamp(0, 255).to(torch.uint8)


def _plain(value: Any) -> Any:
    """A setting as JSON holds it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool | str | float) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    return str(value)
