"""`run.json` is read as if it were forged, and what a run depends on is told from what it does not."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from advbench.errors import RunFolderError
from advbench.runs.manifest import differences, entry, keeps_examples, read_manifest, run_hash

RUN: dict[str, Any] = {
    "settings": {
        "model": "net",
        "eps": "0.1",
        "attacks": {"pgd": {"steps": 40}, "fgsm": {}},
        "defenses": {"round": {"step": 0.1}},
        "rungs": ["clean", "bpda"],
    },
    "checkpoint": {"sha256": "ab", "path": "a.pt"},
    "data": {"fingerprint": "cd", "n": 10},
    "status": "running",
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The run with another entry."""
    run = group = copy.deepcopy(RUN)
    *groups, last = path.split(".")
    for name in groups:
        group = group[name]
    group[last] = value
    return run


def test_what_was_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    assert read_manifest(tmp_path) == RUN


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (None, "is not a run's folder: there is no run.json in it"),
        (b"", "run.json is damaged"),
        (b'{"a": 1', "run.json is damaged"),
        (b"\xff\xfe", "run.json is damaged"),
        (b"[" * 100_000, "run.json is damaged"),
        (b'{"a": ' + b"9" * 5000 + b"}", "run.json is damaged"),
        (b"[]", "run.json describes no run"),
        (b"null", "run.json describes no run"),
    ],
)
def test_what_is_no_manifest_is_refused(contents: bytes | None, said: str, tmp_path: Path) -> None:
    if contents is not None:
        (tmp_path / "run.json").write_bytes(contents)
    with pytest.raises(RunFolderError, match=said):
        read_manifest(tmp_path)


def test_a_folder_in_the_place_of_the_manifest_is_none(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    with pytest.raises(RunFolderError, match="there is no"):
        read_manifest(tmp_path)


def reordered(run: dict[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in reversed(run)}


@pytest.mark.parametrize(
    "same",
    [
        lambda: copy.deepcopy(RUN),
        lambda: reordered(RUN),
        lambda: {**RUN, "settings": reordered(RUN["settings"])},
        lambda: {**RUN, "status": "done", "finished": "today"},
        lambda: changed("settings.rungs", ("clean", "bpda")),
        lambda: changed("settings.later", None),
        lambda: changed("checkpoint.path", "b.pt"),
        lambda: changed("data.n", 11),
    ],
)
def test_a_run_is_the_same_whatever_its_numbers_do_not_depend_on(same: Callable[[], dict[str, Any]]) -> None:
    assert run_hash(same()) == run_hash(RUN)
    assert differences(RUN, same()) == []


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("settings.eps", "0.2", 'eps was "0.1", now "0.2"'),
        ("settings.seed", 3, "seed was null, now 3"),
        ("settings.attacks.pgd.steps", 7, "attacks.pgd.steps was 40, now 7"),
        ("settings.defenses", {"jpeg": {}}, 'defenses was ["round"], now ["jpeg"]'),
        ("settings.attacks", {"pgd": {"steps": 40}}, 'attacks was ["pgd", "fgsm"], now ["pgd"]'),
        ("settings.rungs", ["clean"], 'rungs was ["clean", "bpda"], now ["clean"]'),
        ("checkpoint.sha256", "ef", 'checkpoint was "ab", now "ef"'),
        ("data.fingerprint", "ef", 'images was "cd", now "ef"'),
    ],
)
def test_a_run_is_another_by_each_thing_that_its_numbers_depend_on(path: str, value: Any, told: str) -> None:
    other = changed(path, value)
    assert run_hash(other) != run_hash(RUN)
    assert differences(RUN, other) == [told]


def test_the_order_of_the_rows_is_told_and_images_that_are_not_known_yet_are_not() -> None:
    turned = changed("settings.attacks", {"fgsm": {}, "pgd": {"steps": 40}})
    assert differences(RUN, turned) == ['attacks was ["pgd", "fgsm"], now ["fgsm", "pgd"]']
    unknown = {name: each for name, each in RUN.items() if name != "data"}
    assert differences(RUN, unknown) == []
    assert differences(unknown, RUN) == ['images was null, now "cd"']


@pytest.mark.parametrize("odd", [5, True, "pgd", ["pgd"], None, {}, [[1]]])
@pytest.mark.parametrize("group", ["attacks", "defenses"])
def test_whatever_stands_where_names_belong_is_another_run(group: str, odd: Any) -> None:
    other = changed(f"settings.{group}", odd)
    assert any(each.startswith(f"{group} was ") for each in differences(other, RUN))
    assert differences(other, other) == []


@pytest.mark.parametrize("group", [None, 3, "x", [], {}])
def test_an_entry_of_what_is_no_group_is_none(group: Any) -> None:
    assert entry({"settings": group}, "settings", "model") is None
    assert entry({}, "settings", "model") is None
    assert entry(RUN, "settings", "model") == "net"


def test_examples_are_kept_where_the_settings_say_so() -> None:
    assert not keeps_examples(RUN)
    assert keeps_examples(changed("settings.save_adversarial", "all"))
