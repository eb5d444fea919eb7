"""A black box from its words: a function, an estimator or a pickle of one, as a classifier."""

import inspect
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from torch import nn

from advbench.data.batches import Images, Named, read_batch
from advbench.data.images import LabelledImages
from advbench.defended.black_box import BlackBox, Function, Meter, black_box_in
from advbench.defended.black_box_form import LEVELS, Array
from advbench.defended.estimators import is_estimator, scores_of, unfit_reason
from advbench.defended.own_functions import stands_for
from advbench.defended.surrogate import Function as GivenFunction
from advbench.errors import (
    CheckpointError,
    DefenseError,
    InputError,
    ModelError,
    SpecError,
    StoppedError,
    first_line,
)
from advbench.jobs.black_box_looks import form_of
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.subject import SubjectOptions
from advbench.models.hub import digest_of
from advbench.models.libraries import names_library
from advbench.names.grammar import parse_spec
from advbench.names.user_code import as_own_program, load_object, names_user_code
from advbench.regular_files import check_regular
from advbench.results.shown import read_shown
from advbench.runs.folder import SHOWN
from advbench.runs.manifest import MANIFEST, open_manifest

AT_ONCE: Final = 64
"""Images a call, where nobody says how many."""

PICKLES: Final = (".joblib", ".pkl", ".pickle")

_OF_A_NETWORK: Final = (
    ("mean", "--mean"),
    ("std", "--std"),
    ("normalization", "--normalization"),
    ("checkpoint", "--checkpoint"),
    ("weights", "--weights"),
    ("members", "--member"),
    ("smooth", "--smooth"),
    ("random_model", "--random-model"),
    ("reject_class", "--reject-class"),
    ("space", "--space"),
    ("untrained", "--scratch"),
)


def names_pickle(model: str | None) -> bool:
    """Whether a model's name is that of a pickle: reading one runs the program that it holds."""
    return model is not None and model.endswith(PICKLES)


def is_black_box(options: SubjectOptions) -> bool:
    """Whether the words ask for a model that is known by its answers alone."""
    return options.black_box or options.black_box_form is not None or names_pickle(options.model)


def load_box(
    options: SubjectOptions, images: LabelledImages, own: nn.Module | None, at_once: int | str
) -> tuple[BlackBox, LabelledImages, dict[str, Any], tuple[str, ...]]:
    """The black box that the words name, with the images as it can see them.

    Args:
        options: the words.
        images: the data set.
        own: a function or an estimator that was given in Python, in a module; None where a word names it.
        at_once: images a call, or `auto`.

    Returns:
        The black box; the images, in 256 levels where it takes these; where it comes from, for `run.json`;
        and what is said of it.

    Raises:
        InputError: nothing that can be asked, or words that belong to networks.
    """
    check_black_box(options)
    # No digest of what was given in Python: a counter or a connection that it holds changes as it is asked.
    thing, record = (own.function, {}) if isinstance(own, GivenFunction) else _named(options)
    function = function_of(thing, options.model or "the model")
    meter = Meter(
        most=options.max_queries,
        rate=options.max_rate,
        retries=options.retries,
        wait=float(options.retry_wait),
    )
    form = form_of(function, options.black_box_form or "", images, meter, options.seed)
    count = AT_ONCE if isinstance(at_once, str) else at_once
    classes = images.classes or [str(label) for label in range(int(images.labels.max()) + 1)]
    box = BlackBox(function, form, classes, 1 if form.takes.one_at_a_time else count, meter)
    notes: tuple[str, ...] = (form.in_words,)
    if box.levels is not None:
        pixels = read_batch(images, list(range(min(len(images), AT_ONCE)))).x * LEVELS
        is_moved = bool(((pixels - pixels.round()).abs() > 1e-3).any())
        images = replace(images, images=EightBit(images.images))
        beside = "; the images are rounded to these" if is_moved else ""
        notes = (f"{notes[0]}: examples are among the 256 levels of its pixels{beside}",)
    return box, images, record, notes


def check_black_box(options: SubjectOptions) -> None:
    """Refuse what says nothing of a black box.

    Raises:
        SpecError: such words.
    """
    given = [word for name, word in _OF_A_NETWORK if getattr(options, name)]
    if given:
        raise SpecError(f"{given[0]} belongs to a network, and a --black-box shows nothing but its answers.")


def _named(options: SubjectOptions) -> tuple[Any, dict[str, Any]]:
    """What a word names, made where it is a factory's."""
    name = options.model
    if name is None:
        raise SpecError("--black-box asks a function of your own: --model file.py:function.")
    if names_pickle(name):
        return _unpickled(Path(name), trusted=options.trust_program), {
            "sha256": digest_of(Path(name)),
            "source": "a pickle",
        }
    spec = parse_spec(name)
    if spec.place is not None:
        raise SpecError(f"a model has no place, got {name!r}.")
    if names_library(spec.name) or not names_user_code(spec.name):
        raise SpecError(
            f"--black-box asks a function of your own, file.py:function or a module's; got {name!r}."
        )
    thing = load_object(spec.name)
    is_made = is_estimator(thing) or not (
        inspect.isclass(thing) or inspect.isroutine(thing) or isinstance(thing, partial)
    )
    return stands_for(thing, spec, "model", is_made=is_made).function, {"source": spec.name}


def _unpickled(path: Path, *, trusted: bool) -> Any:
    """What a pickle holds.

    Raises:
        CheckpointError: it may not be read, or cannot.
    """
    try:
        check_regular(path)
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {str(path)!r}.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    if not trusted:
        raise CheckpointError(
            f"{path} is a pickle, and reading one runs whatever program it holds: give --trust-program if "
            "you made it, or a --model file.py:factory that returns the estimator."
        )
    try:
        import joblib  # type: ignore[import-untyped]  # noqa: PLC0415  # comes with scikit-learn
    except ModuleNotFoundError:
        raise CheckpointError(
            f"{path} is read by joblib, which is not installed: pip install joblib."
        ) from None
    try:
        with as_own_program(f"{path.resolve().parent / 'x.py'}:x"):
            return joblib.load(path)
    except Exception as error:  # a pickle's program may raise anything
        raise CheckpointError(
            f"{path} cannot be read: {type(error).__name__}: {first_line(error)}"
        ) from error


def function_of(thing: Any, name: str) -> Function:
    """What is asked: a function on arrays, or a fitted estimator's scores on pixels in rows.

    Raises:
        ModelError: neither.
    """
    if isinstance(thing, nn.Module):
        raise ModelError(
            f"{name} is a torch module, which shows more than its answers: leave --black-box out."
        )
    if is_estimator(thing):
        try:
            reason = unfit_reason(thing)
        except ModuleNotFoundError:  # an estimator of another library, without scikit-learn
            reason = ""
        if reason:
            raise ModelError(f"{type(thing).__name__} {reason}")
        return partial(_estimated, thing)
    if not callable(thing) or inspect.isclass(thing):
        raise ModelError(
            f"{name} must be a function on arrays or a fitted estimator, got {type(thing).__name__}."
        )
    function: Function = thing
    return function


def _estimated(estimator: Any, array: Array) -> Array:
    """An estimator's scores for images of any layout, whose pixels it takes in rows `(n, d)`."""
    rows = array.reshape(len(array), math.prod(array.shape[1:]))
    try:
        return scores_of(estimator, rows)
    except DefenseError as error:
        raise ModelError(f"{type(estimator).__name__} {error}") from error


class EightBit:
    """Images of which each pixel is one of 256 levels, as a black box on whole numbers sees them.

    Args:
        images: the images before.
    """

    def __init__(self, images: Images) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        """Image and label number `index`."""
        pixels, label = self.images[index]
        return (pixels.float() * LEVELS).round() / LEVELS, label

    def name_of(self, index: int) -> str:
        """The name of image number `index`; empty where it has none."""
        return self.images.name_of(index) if isinstance(self.images, Named) else ""


def box_begins(model: nn.Module, most: int | None, earlier: int) -> None:
    """The run's folder is open: what ends the run from here on can be gone on with.

    Args:
        model: that is attacked.
        most: how many images it may be shown in all starts together; None for any number.
        earlier: how many it was shown in earlier starts.
    """
    box = black_box_in(model)
    if box is not None:
        box.meter.most, box.meter.earlier, box.meter.begun = most, earlier, True


def black_box_settings(model: nn.Module) -> dict[str, Any]:
    """What a black box takes and gives, for `run.json`; nothing of any other model."""
    box = black_box_in(model)
    return {} if box is None else {"black_box": str(box.form)}


def refuse_several(options: SubjectOptions, processes: int) -> None:
    """Refuse a bound on queries where several processes ask.

    Raises:
        InputError: such a run.
    """
    if options.max_queries is not None and processes > 1:
        raise InputError("--max-queries counts what one process asks: start one.")


def left_of(settings: RunSettings) -> RunSettings:
    """The settings whose bound on queries is what earlier starts of the run have left of it.

    Raises:
        SpecError: a bound of what is no black box.
        StoppedError: nothing is left; nothing is asked now.
    """
    options, out = settings.subject, settings.out
    if not is_black_box(options):
        if options.max_queries is not None or options.max_rate is not None:
            word = "--max-queries" if options.max_queries is not None else "--max-rate"
            raise SpecError(f"{word} bounds what a --black-box is asked.")
        return settings
    if options.max_queries is None or out is None or settings.overwrite or not (out / MANIFEST).exists():
        return settings
    manifest = open_manifest(out)
    spent = sum(read_shown(manifest.values.get(SHOWN)).values())
    if not manifest.is_done and spent >= options.max_queries:
        raise StoppedError(
            f"--max-queries {options.max_queries} is reached: earlier starts showed {spent} images. The same "
            "command with more goes on."
        )
    return settings if manifest.is_done else replace(settings, max_queries=options.max_queries - spent)
