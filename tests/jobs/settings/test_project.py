"""A project's settings file: where it is looked for, what may stand in it, and who wins."""

import os
from pathlib import Path
from typing import Any

import pytest

from advbench.errors import InputError
from advbench.jobs.settings.commands import COMMANDS
from advbench.jobs.settings.option import settings_of
from advbench.jobs.settings.project import FromFile, ProjectFile, find_project_file, of_start


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder three levels deep."""
    folder = tmp_path / "home" / "project" / "sub"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def found(home: Path | None = None, variable: str | None = None) -> ProjectFile | None:
    return find_project_file(Path(), variable, home)


def taken(text: str, *typed: str, command: str = "attack", name: str = "advbench.toml") -> FromFile | None:
    """What a start takes from a file in the working folder."""
    Path(name).write_text(text)
    return of_start(found(), command, frozenset(typed))


def values(text: str, *typed: str, command: str = "attack") -> dict[str, Any]:
    source = taken(text, *typed, command=command)
    return {} if source is None else {name: value.given for name, value in source.values.items()}


def refusal(text: str, name: str = "advbench.toml") -> str:
    with pytest.raises(InputError) as caught:
        taken(text, name=name)
    return str(caught.value)


def test_without_a_file_there_are_no_defaults(here: Path) -> None:
    assert found() is None
    assert of_start(None, "attack", frozenset()) is None


@pytest.mark.parametrize("root", [".git", ".hg"])
def test_a_file_is_found_up_to_the_root_of_the_repository(here: Path, root: str) -> None:
    (here.parent / "advbench.toml").write_text("[attack]\nseed = 1\n")
    (here.parents[1] / "advbench.toml").write_text("[attack]\nseed = 2\n")
    assert found() is None  # in no repository and not below a home, nothing above is looked at
    (here.parents[1] / root).mkdir()
    file = found()
    assert file is not None
    assert str(file.path) == "../advbench.toml"  # the nearest one
    (here.parent / "advbench.toml").unlink()
    assert str((found() or file).path) == "../../advbench.toml"
    (here.parent / ".git").write_text("gitdir: elsewhere\n")  # of a worktree: the root is nearer
    assert found() is None


def test_below_a_home_it_is_found_up_to_the_home(here: Path) -> None:
    (here.parents[2] / "advbench.toml").write_text("[attack]\nseed = 3\n")
    assert found(home=here.parents[1]) is None
    (here.parents[1] / "advbench.toml").write_text("[attack]\nseed = 2\n")
    file = found(home=here.parents[1])
    assert file is not None
    assert str(file.path) == "../../advbench.toml"


def test_its_own_file_wins_over_pyproject_and_says_so(here: Path) -> None:
    Path("pyproject.toml").write_text('[project]\nname = "x"\n[tool.advbench.attack]\nseed = 1\n')
    file = found()
    assert file is not None
    assert (file.heading, file.table("attack")) == ("tool.advbench.", "[tool.advbench.attack]")
    source = taken("[attack]\nseed = 2\n")
    assert source is not None
    assert source.values["seed"].given == 2
    assert "pyproject.toml beside it is not read" in source.sentence


@pytest.mark.parametrize("text", ["", "this is [no TOML", '[tool.ruff]\n# advbench\nx = "1"\n'])
def test_another_tools_pyproject_is_no_business_of_ours(here: Path, text: str) -> None:
    Path("pyproject.toml").write_text(text)
    assert found() is None


def test_the_environment_names_a_file_or_none(here: Path, tmp_path: Path) -> None:
    Path("advbench.toml").write_text("[attack]\nseed = 1\n")
    assert found(variable="") is None
    assert found(variable=" ") is None
    other = tmp_path / "other.toml"
    other.write_text('[attack]\nmodel = "net.py:make"\ncheckpoint = "a.pt"\ndefense = "d.py:f+round"\n')
    file = found(variable=str(other))
    assert file is not None
    given = {name: value.given for name, value in file.tables["attack"].items()}
    assert given == {
        "model": f"{tmp_path}/net.py:make",
        "checkpoint": f"{tmp_path}/a.pt",
        "defenses": [f"{tmp_path}/d.py:f+round"],
    }
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        found(variable=str(tmp_path / "none.toml"))


def test_values_are_those_of_the_command_line(here: Path) -> None:
    text = """
[attack]
eps = 0.1
step-size = "1/255"
batch_size = 8
bpda = true
fast = false
defense = ["round", "jpeg:quality=75"]
columns = ["defense", "bpda"]
mean = [0.1, 0.2, 0.3]
min-robust = 0.5
norm = "l2"
[finetune]
lr = 1
"""
    assert values(text) == {
        "eps": "0.1",
        "step_size": "1/255",
        "batch_size": "8",
        "bpda": True,
        "fast": False,
        "defenses": ["round", "jpeg:quality=75"],
        "columns": "defense,bpda",
        "mean": "0.1,0.2,0.3",
        "min_robust": 0.5,
        "norm": "l2",
    }
    assert values(text, command="finetune") == {"lr": 1.0}
    assert values(text, command="report") == {}


def test_words_of_a_file_make_the_same_settings(here: Path) -> None:
    source = taken('[attack]\nfast = false\nbpda = true\ndefense = ["round", "jpeg"]\neps = 0.25\n')
    assert source is not None
    words = source.words()
    assert words == ["--no-fast", "--bpda", "--defense", "round", "--defense", "jpeg", "--eps", "0.25"]


def test_paths_are_seen_from_the_file(here: Path) -> None:
    (here.parent / ".git").mkdir()
    (here.parent / "advbench.toml").write_text(
        '[attack]\ndata_root = "data"\nmember = ["a.pt", "/b.pt"]\ncheckpoint = "~/c.pt"\n'
    )
    file = found()
    assert file is not None
    given = {name: value.given for name, value in file.tables["attack"].items()}
    assert given == {
        "data_root": "../data",
        "members": ["../a.pt", "/b.pt"],
        "checkpoint": str(Path.home() / "c.pt"),
    }


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("steps", {"limit", "eps", "model", "mean", "checkpoint"}),
        ("limit", {"steps", "eps", "model", "mean", "checkpoint"}),
        ("first", {"steps", "eps", "model", "mean", "checkpoint"}),
        ("norm", {"steps", "limit", "model", "mean", "checkpoint"}),
        ("normalization", {"steps", "limit", "eps", "model", "checkpoint"}),
        ("model", {"steps", "limit", "eps"}),
    ],
)
def test_what_is_typed_holds_and_what_described_the_rest_gives_way(
    here: Path, typed: str, left: set[str]
) -> None:
    text = '[attack]\nsteps = 1\nlimit = 3\neps = 0.1\nmodel = "digits-cnn"\nmean = 0.5\ncheckpoint = "a"\n'
    assert set(values(text, typed)) == left


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[attack]\nepz = 1\n",
            "advbench.toml, line 2: [attack] there is no option 'epz'. Did you mean 'eps'",
        ),
        ("[atack]\n", "advbench.toml, line 1: there is no command 'atack'. Did you mean 'attack'?"),
        ("eps = 1\n", "advbench.toml, line 1: 'eps' belongs into a command's table, as [attack]."),
        ("attack = 3\n", "advbench.toml, line 1: attack must be a table, got 3."),
        (
            "[attack]\n\nsteps = 0\n",
            "toml, line 3: [attack] steps: it must be a whole number from 1 to 1,000,000,000, got 0.",
        ),
        ("[attack]\nsteps = true\n", "steps: it must be a whole number from 1 to 1,000,000,000, got True."),
        ("[attack]\nbpda = 1\n", "bpda: it must be true or false, got 1."),
        ('[attack]\nnorm = "l3"\n', "norm: it must be one of linf, l2, l1, got 'l3'."),
        ("[attack]\ncheckpoint = 3\n", "checkpoint: it must be a path, got 3."),
        ('[attack]\nout = ""\n', "out: it must be a path, got ''."),
        ('[attack]\ndefense = [""]\n', "defense: one of its texts is empty."),
        ('[attack]\nmin-robust = "a"\n', "min-robust: it must be a number, got 'a'."),
        ('[attack]\nbatch-size = "x"\n', "batch-size: --batch-size must be auto or a whole number"),
        ("[attack]\nbatch-size = 1\nbatch_size = 1\n", "batch_size is there twice, with a hyphen and"),
        (
            "[attack]\neps = {a = 1}\n",
            "eps: it must be a text, a number, or a list of numbers, got {'a': 1}.",
        ),
        ("[attack]\noverwrite = true\n", "overwrite is said on each command line, by --overwrite, and in no"),
        ("[attack]\ntrust-program = true\n", "trust-program is said on each command line"),
        ('[report]\nruns = ["a"]\n', "[report] there is no option 'runs'."),
        ("[finetune]\nevil = 1\n", "[finetune] there is no option 'evil'."),
        ("[attack\n", "advbench.toml is no TOML: "),
        ("a." * 60 + "b = 1\n", "advbench.toml is no settings file: a key has more than 50 parts."),
    ],
)
def test_what_no_command_can_be_told_is_refused_in_one_line(here: Path, text: str, message: str) -> None:
    assert message in refusal(text)
    assert "\n" not in refusal(text)


def test_a_fault_in_pyproject_is_told_with_its_line(here: Path) -> None:
    text = "[tool.x]\na = 1\n[tool.advbench.attack]\nepz = 1\n"
    assert refusal(text, "pyproject.toml").startswith(
        "pyproject.toml, line 4: [tool.advbench.attack] there is no option 'epz'. Did you mean 'eps'"
    )
    assert "tool.advbench must be a table" in refusal("[tool]\nadvbench = 1\n", "pyproject.toml")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("model", "net.py:make"),
        ("model", "package.module:make"),
        ("model", "module:make:depth=3"),
        ("defense", "round+own.py:f@layer1"),
        ("defense", "purify:net=own.py:f"),
        ("surrogate", "own.py:soft"),
        ("detector", "own:score@refuse"),
        ("attack", "own.py:Attack"),
        ("substitute", "own.py:f"),
        ("head", "own.py:head@layer2"),
        ("source", "x : y"),
    ],
)
def test_a_file_that_is_only_found_names_no_code(here: Path, key: str, text: str) -> None:
    assert f"[attack] {key} names code, " in refusal(f'[attack]\n{key} = "{text}"\n')
    assert f"Type --{key}, or name the file: ADVBENCH_SETTINGS=advbench.toml." in refusal(
        f'[attack]\n{key} = "{text}"\n'
    )


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("model", "timm:resnet18"),
        ("model", "hf:owner/name"),
        ("defense", "jpeg:quality=75+bit-depth:bits=3@layer2"),
        ("attack", "foolbox:LinfPGD:steps=3"),
        ("attack", "apgd:loss=dlr"),
        ("judge", "any:3"),
        ("checkpoint", "C:x/a.pt"),
    ],
)
def test_names_of_what_is_installed_are_no_code(here: Path, key: str, text: str) -> None:
    assert key.rstrip("s") in {name.rstrip("s") for name in values(f'[attack]\n{key} = "{text}"\n')}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_regular_file_is_refused_and_not_waited_for(here: Path) -> None:
    os.mkfifo("advbench.toml")
    with pytest.raises(
        InputError, match=r"advbench\.toml cannot be read: it is a pipe, not a file\. --no-sett"
    ):
        found()
    Path("advbench.toml").unlink()
    Path("advbench.toml").mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        found()
    Path("advbench.toml").rmdir()
    Path("advbench.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="no text in UTF-8"):
        found()
    Path("advbench.toml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(InputError, match="has more than 1,048,576 bytes"):
        found()


def test_blame_falls_on_the_file_only_for_what_it_has_set(here: Path) -> None:
    source = taken("[attack]\neps = 8\nsteps = 3\n")
    assert source is not None
    assert source.blamed("eps must lie in (0, 1].").endswith("(--eps is eps of advbench.toml, line 2)")
    assert source.blamed("--steps fits none.").endswith("(--steps is steps of advbench.toml, line 3)")
    assert source.blamed("--step-size and epsilon are wrong.") == "--step-size and epsilon are wrong."


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_option_of_every_command_has_a_key(here: Path, command: str) -> None:
    """A text for each option is either taken, or refused for what it is, and never unknown."""
    known = settings_of(COMMANDS[command]).values()
    for setting in known:
        if setting.option.argument:
            continue
        text = f"[{command}]\n{setting.key} = true\n"
        if setting.kind == "flag" and setting.name not in ("overwrite", "trust_program", "no_limit", "debug"):
            assert values(text, command=command) == {setting.name: True}
        else:
            assert "there is no option" not in refusal(text)


def test_a_key_is_of_one_option_alone() -> None:
    for settings_class in COMMANDS.values():
        keys = [setting.key for setting in settings_of(settings_class).values()]
        assert len(keys) == len(set(keys))


def test_a_data_set_may_have_its_place_seen_from_the_file(here: Path) -> None:
    assert values('[attack]\ndataset = "csv:lists/a.csv"\n') == {"dataset": "csv:lists/a.csv"}
    assert values('[attack]\ndataset = "hf:owner/name"\n') == {"dataset": "hf:owner/name"}  # of the hub
    (here / "advbench.toml").unlink()
    (here.parent / ".git").mkdir()
    (here.parent / "pets").mkdir()
    (here.parent / "advbench.toml").write_text('[attack]\ndataset = "hf:pets"\n')
    source = of_start(found(), "attack", frozenset())
    assert source is not None
    assert source.values["dataset"].given == "hf:../pets"


@pytest.mark.parametrize(
    ("typed", "gone"),
    [
        ("model", 'black_box = true\nblack_box_form = "nhwc"\nreject_class = "3"\n'),
        ("dataset", 'image_column = "a"\nlabel_column = "b"\n'),
    ],
)
def test_what_describes_another_model_or_data_set_gives_way(here: Path, typed: str, gone: str) -> None:
    assert values(f"[attack]\n{gone}seed = 2\n", typed) == {"seed": 2}
