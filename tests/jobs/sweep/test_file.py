"""What a sweep's file may say, and what is said about a fault: line and reason."""

import tracemalloc
from pathlib import Path

import pytest

from advbench import cli
from advbench.cli import runs
from advbench.errors import InputError
from advbench.jobs.settings.in_files import file_settings, settings_from, words_of
from advbench.jobs.settings.option import settings_of
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.sweep.file import read_grid
from tests.jobs.sweep.files import FAULTS, VALUES, cells_of


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_option_of_attack_is_a_setting() -> None:
    own = {"out", "overwrite", "sign", "fail_on", "min_robust", "json", "quiet", "debug"}
    own |= {"columns", "sort", "percent", "digits", "detector", "head", "episodic", "stream"}
    assert {each.name for each in file_settings().values()} == set(settings_of(RunSettings)) - own
    assert set(VALUES) == set(file_settings()), "each has an example here"
    assert file_settings()["random_start"].negation == "--no-random-start"


def test_settings_mean_what_the_words_of_a_command_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[RunSettings] = []
    monkeypatch.setattr(runs, "run_attack", caught.append)
    known = file_settings()
    for keys in [[key] for key in known if key != "successful_only"] + [list(VALUES)]:
        values = {key: known[key].parse(VALUES[key]) for key in keys}
        assert cli.main(["attack", *words_of(values), "--out", "here"]) == 0
        assert settings_from(values, Path("here")) == caught.pop()
    assert settings_from({}, Path("here")).random_start


def test_the_nearest_word_counts() -> None:
    cells = cells_of("""
        threats = [{ eps = 0.1 }, { norm = "l2" }, { norm = "l1", eps = 3, limit = 5 }]
        attacks = [{ attack = "pgd", steps = 9 }, "pgd:steps=4", "square"]
        [defaults]
        eps = 0.2
        steps = 7
        first = 3
        seed = 1
        [[models]]
        seed = 2
    """)
    assert [cell.attack for cell in cells[:3]] == ["pgd:steps=9", "pgd:steps=4", "square"]
    assert [cell.threat.text for cell in cells[::3]] == ["0.1", "0.5", "3"]
    assert [{key: each.shared.get(key) for key in ("first", "limit", "seed")} for each in cells[::3]] == [
        {"first": 3, "limit": None, "seed": 2},
        {"first": 3, "limit": None, "seed": 2},
        {"first": None, "limit": 5, "seed": 2},
    ]


def test_a_model_may_have_lists_of_its_own() -> None:
    cells = cells_of("""
        defenses = ["round"]
        threats = ["0.1", "0.2"]
        [[models]]
        name = "one"
        [[models]]
        name = "two"
        defenses = ["none"]
        threats = ["0.3"]
    """)
    assert [(cell.model, cell.defense, cell.threat.text) for cell in cells] == [
        ("one", "none", "0.1"),
        ("one", "round", "0.1"),
        ("one", "none", "0.2"),
        ("one", "round", "0.2"),
        ("two", "none", "0.3"),
    ]


@pytest.mark.parametrize(("text", "line", "message"), FAULTS, ids=[each[2][:40] for each in FAULTS])
def test_a_fault_is_named_with_its_line(
    text: str, line: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sweep.toml").write_text(text)
    assert cli.main(["sweep", "sweep.toml", "--out", "here"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"advbench: error: sweep.toml, line {line}: ")
    assert message in err
    assert err.count("\n") == 1
    assert not Path("here").exists()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"a = \n", "sweep.toml is no TOML: Invalid value (at line 1, column 5)"),
        (b"\xff", "sweep.toml is no text in UTF-8"),
        (b"a = " + b"[" * 100_000, "it is nested too deeply"),
        (b"#" * ((1 << 20) + 1), "more than 1,048,576 bytes"),
        (None, "sweep.toml cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused(contents: bytes | None, message: str) -> None:
    if contents is not None:
        Path("sweep.toml").write_bytes(contents)
    with pytest.raises(InputError) as caught:
        read_grid(Path("sweep.toml"))
    assert message in str(caught.value)


def test_a_sweep_without_a_file_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep"]) == 2
    assert "name the sweep's file" in capsys.readouterr().err


def test_models_do_not_multiply_the_cells_that_are_made_before_they_are_counted(tmp_path: Path) -> None:
    axes = "threats = [" + ", ".join(f'"{n}/255"' for n in range(1, 200)) + "]\n"
    axes += "defenses = [" + ", ".join(f'"round:step={n}e-3"' for n in range(1, 200)) + "]\n"
    (path := tmp_path / "sweep.toml").write_text(axes + "[[models]]\nmodel = 'digits-cnn'\n" * 3000)
    grid = read_grid(path)
    tracemalloc.start()
    with pytest.raises(InputError, match="more than"):
        grid.drafts()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


@pytest.mark.parametrize("key", ["a." * 60 + "a", '"b" . ' * 60 + "b", "[" + "a." * 60 + "a]\nx"])
def test_a_key_of_many_parts_is_refused(key: str, tmp_path: Path) -> None:
    (path := tmp_path / "sweep.toml").write_text(f"{key} = 1\n")
    with pytest.raises(InputError, match="a key has more than 50 parts"):
        read_grid(path)
