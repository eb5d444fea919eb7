"""The settings of `advbench attack` as a sweep's file holds them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .option import Setting, made, settings_of
from .run import RunSettings


@cache
def file_settings() -> Mapping[str, Setting]:
    """Every setting that a sweep's file may hold, by its key, in the order of the options."""
    known = settings_of(RunSettings).values()
    return {setting.key: setting for setting in known if setting.option.in_files}


def settings_from(values: Mapping[str, Any], out: Path | None, *, overwrite: bool = False) -> RunSettings:
    """The settings that `advbench attack` would make of the same options.

    Args:
        values: by key, as `Setting.parse` returns them.
        out: the folder of the run.
        overwrite: whether another run there may be replaced.

    Raises:
        SpecError: settings that do not fit each other.
    """
    known = file_settings()
    words = [*words_of(values), "--out", str(out), *(["--overwrite"] if overwrite else [])]
    return made(
        RunSettings,
        {known[key].name: value for key, value in values.items()},
        out=out,
        overwrite=overwrite,
        command=("advbench", "attack", *words),
    )


def words_of(values: Mapping[str, Any]) -> list[str]:
    """The options of `advbench attack` that say what values of a file say."""
    known = file_settings().items()
    return [word for key, setting in known if key in values for word in setting.words(values[key])]


def values_of(settings: RunSettings) -> dict[str, Any]:
    """What settings say, by the keys of a file and as a file would hold it; nothing for what is not said."""
    values: dict[str, Any] = {}
    for key, setting in file_settings().items():
        value = getattr(settings, setting.name)
        # What is 0 or false unless told stays away, so that the folders of earlier curves are found again.
        if value in (None, ()) or (value == 0 and setting.default == 0):
            continue
        values[key] = setting.parse(_as_in_a_file(value))
    return values


def _as_in_a_file(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_as_in_a_file(item) for item in value]
    return str(value) if isinstance(value, Path) else value
