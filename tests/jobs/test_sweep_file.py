"""What a sweep's file may say, what its cells are, and what is said about a fault: line and reason."""

import json
import shlex
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advbench import cli
from advbench.attacks import APGD, PGD, Square, autoattack
from advbench.cli import runs
from advbench.errors import InputError
from advbench.jobs.settings.option import settings_of
from advbench.jobs.settings.run import RunSettings, file_settings, settings_from, words_of
from advbench.jobs.sweep.cells import Cell, make_cells, make_runs
from advbench.jobs.sweep.estimate import spoken
from advbench.jobs.sweep.file import Grid, read_grid
from advbench.jobs.sweep.schema import schema
from advbench.speed.attack_cost import gradient_passes

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "sweeps").glob("*.toml"))


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def file_of(text: str) -> Grid:
    Path("sweep.toml").write_text(text)
    return read_grid(Path("sweep.toml"))


def cells_of(text: str) -> list[Cell]:
    return make_cells(file_of(text))


VALUES: dict[str, Any] = {
    "checkpoint": "weights.pt",
    "model": "resnet20",
    "weights": "model_ema",
    "mean": [0.5, 0.25],
    "std": "1,1",
    "normalization": "half",
    "trust_program": True,
    "dataset": "mnist",
    "data_root": "data/mnist",
    "split": "train",
    "download": True,
    "image_size": 32,
    "channels": 1,
    "classes": "names.txt",
    "class_index": "imagenet_class_index.json",
    "limit": 30,
    "first": 20,
    "defense": ["round", "none"],
    "bpda": True,
    "ladder": True,
    "rungs": "static,worst",
    "gradient_free": "square:queries=9",
    "substitute": "smooth",
    "calibration": 20,
    "attack": "fgsm",
    "norm": "l2",
    "eps": 0.5,
    "steps": 7,
    "step_size": "2/255",
    "restarts": 3,
    "random_start": False,
    "eot": 4,
    "judge_draws": 5,
    "fast": False,
    "precision": "bf16",
    "compile": True,
    "seed": 0,
    "batch_size": 16,
    "device": "cpu",
    "save_adversarial": True,
    "successful_only": True,
    "format": "json",
}


def test_every_option_of_attack_is_a_setting() -> None:
    own = {"out", "overwrite", "fail_on", "min_robust", "json", "quiet", "debug"}
    own |= {"columns", "sort", "percent", "digits"}
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


def test_the_grid_is_the_product_in_the_order_of_the_table() -> None:
    cells = cells_of("""
        threats = ["8/255", "l2 0.5"]
        defenses = ["round", "bit-depth:bits=3+round@logits"]
        attacks = ["pgd", "square"]
        models = ["digits-cnn", { name = "again", model = "digits-cnn", seed = 1 }]
    """)
    assert len(cells) == 2 * 2 * 3 * 2
    assert [(cell.defense, cell.attack) for cell in cells[:6]] == [
        (defense, attack)
        for defense in ("none", "round", "bit-depth:bits=3+round@logits")
        for attack in ("pgd", "square")
    ]
    assert [cell.threat.norm for cell in cells[:12:6]] == ["linf", "l2"]
    assert [cell.threat.text for cell in cells[:12:6]] == ["8/255", "0.5"]
    assert [cell.model for cell in cells[::12]] == ["digits-cnn", "again"]
    assert [(each.defenses, each.attacks) for each in make_runs(cells)] == [
        (("round", "bit-depth:bits=3+round@logits"), ("pgd", "square"))
    ] * 4


def test_an_empty_file_is_the_default_attack() -> None:
    (cell,) = cells_of("")
    assert (cell.model, cell.defense, cell.attack, cell.threat.text) == ("digits-cnn", "none", "pgd", "0.15")
    (run,) = make_runs([cell])
    assert run.words(Path("runs"))[:4] == ["advbench", "attack", "--attack", "pgd"]


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


def test_cells_with_settings_of_their_own_run_apart_and_nothing_runs_twice() -> None:
    cells = cells_of("""
        defenses = ["round", { defense = "bit-depth", eot = 2 }, "round:step=0.5"]
        attacks = ["pgd", { attack = "square", eot = 2 }]
    """)
    runs = make_runs(cells)
    filled = [(cell.key, run.values.get("eot")) for run in runs for cell in run.cells]
    assert sorted(key for key, _ in filled) == sorted(cell.key for cell in cells)
    for run in runs:
        wanted = {(cell.defense, cell.attack) for cell in run.cells}
        assert {(defense, attack) for defense in run.defenses for attack in run.attacks} <= wanted


def test_how_it_is_run_does_not_change_what_a_cell_is() -> None:
    (one,), (other,) = cells_of("[defaults]\nseed = 1"), cells_of("[defaults]\nseed = 1\nbatch_size = 4")
    (third,) = cells_of("[defaults]\nseed = 2")
    assert one.identity == other.identity != third.identity


FAULTS: list[tuple[str, int, str]] = [
    ('\nmodels = "digits-cnn"', 2, "models must be a list"),
    ("a = 1\n", 1, "a sweep has no 'a'. Known:"),
    ("\n\nsteps = 3", 3, "a sweep has no 'steps'. It belongs into [defaults]."),
    ("[defaults]\nseed = 1\nstep = 3", 3, "there is no setting 'step'. Did you mean 'steps'"),
    ("[defaults]\ndata-root = 'x'", 2, "Did you mean 'data_root'"),
    ("[defaults]\nquiet = true", 2, "there is no setting 'quiet'"),
    ("[defaults]\nsteps = 'many'", 2, "steps: it must be a whole number from 1 to 1,000,000,000, got 'many'"),
    ("[defaults]\nsteps = true", 2, "steps: it must be a whole number"),
    ("[defaults]\nsteps = 0", 2, "steps: it must be a whole number from 1 to 1,000,000,000, got 0"),
    ("[defaults]\nbpda = 'yes'", 2, "bpda: it must be true or false"),
    ("[defaults]\nmodel = ['a', 'b']", 2, "model: it must be a text, a number, or a list of numbers"),
    ("[defaults]\ndefense = 'round'", 2, 'defense stands in a list of its own: defenses = ["..."]'),
    ("[defaults]\nnorm = 'linf2'", 2, "norm: it must be one of linf, l2, l1"),
    ("threats = [\n '0.1',\n 'l3 0.1']", 3, "norm: it must be one of"),
    ("threats = [\n '0.1',\n '8']", 3, "eps: eps must lie in (0, 1] for linf, got 8. Did you mean 8/255?"),
    ("threats = []", 1, "threats must be a list of texts and tables, got []"),
    ("defenses = ['none',\n 'rond']", 2, "defense: there is no defense called 'rond'. Did you mean 'round'"),
    ("defenses = ['round',\n 'bit-depth:bits=99']", 2, "bits"),
    ("defenses = ['round', 3]", 1, "an entry of defenses must be a text or a table, got 3"),
    ("defenses = [{ eot = 3 }]", 1, 'an entry of defenses must say which: defense = "..."'),
    ("[[defenses]]\neot = 3\ndefense = ['a']", 3, "defense: it must be a text"),
    ("attacks = ['pgd',\n'pdg']", 2, "attack: there is no attack called 'pdg'"),
    ("attacks = ['pgd:steps=x']", 1, "attack: pgd: steps must be a whole number"),
    ("attacks = ['pgd@logits']", 1, "an attack has no place"),
    ("attacks = ['square']\n[defaults]\nsteps = 3", 3, "steps fits none of the attacks"),
    ("[defaults]\nlimit = 3\nfirst = 3", 2, "give --limit or --first, not both"),
    ("[defaults]\nseed = 1\nmean = [0]", 3, "give --mean and --std together"),
    ("[defaults]\nbatch_size = 'big'", 2, "--batch-size must be auto or a whole number"),
    ("[defaults]\nsuccessful_only = true", 2, "give both"),
    ("[defaults]\nformat = 'pdf'", 2, "there is no format 'pdf'"),
    ("[defaults]\ndevice = 'gpu'", 2, "--device gpu cannot be used"),
    ("[defaults]\ndataset = 'digit'", 2, "there is no dataset called 'digit'"),
    ("[defaults]\ndataset = 'mnist'", 2, "there is no such folder; give --data-root"),
    (
        "[[models]]\n[[models]]\nmodel = 'resnet21'\ndataset = 'digits'",
        3,
        "there is no model called 'resnet21'",
    ),
    ("models = ['lenet5']", 1, "name the data set of your model"),
    ("[[models]]\nmodel = './none.py:make'\ndataset = 'digits'", 2, "there is no file './none.py'"),
    ("[[models]]\nseed = 1\ncheckpoint = 'none.pt'\ndataset = 'digits'", 3, "there is no checkpoint none.pt"),
    ("[[models]]\nname = 3", 2, "name must be a text"),
    ("[[models]]\ndefenses = ['rond']", 2, "there is no defense called 'rond'"),
    ("[[models]]\n[[models]]\nseed = 1", 2, "two rows of digits-cnn, none, pgd, linf 0.15. Give one"),
    ("defenses = ['round',\n'round']", 2, "two rows of digits-cnn, round"),
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
        (b"#" * ((1 << 20) + 1), "longer than"),
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


def test_passes_are_those_of_the_attacks() -> None:
    assert gradient_passes(PGD(steps=40, restarts=2)) == 80
    assert gradient_passes(APGD(steps=10, targets=9)) == 90
    assert gradient_passes(Square(queries=300)) == pytest.approx(100)
    both = gradient_passes(autoattack(steps=10, queries=30))
    assert both == pytest.approx(10 + 90 + 90 + 10)
    assert gradient_passes(lambda *_: None) is None  # type: ignore[arg-type]  # an attack of one's own
    assert [spoken(each) for each in (0.123, 45, 200, 9000, 1e6)] == ["0.1 s", "45 s", "3 min", "2 h", "12 d"]


def accepts(rule: Mapping[str, Any], value: Any) -> bool:
    """What the JSON schema of a sweep says about a value: the few words of the standard that it uses."""
    if "$ref" in rule:
        found: Any = schema()
        for key in rule["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        return accepts(found, value)
    kinds: dict[str, Callable[[Any], bool]] = {
        "string": lambda each: isinstance(each, str),
        "boolean": lambda each: isinstance(each, bool),
        "integer": lambda each: isinstance(each, int) and not isinstance(each, bool),
        "number": lambda each: isinstance(each, int | float) and not isinstance(each, bool),
        "array": lambda each: isinstance(each, list),
        "object": lambda each: isinstance(each, dict),
    }
    allowed = rule.get("type", [])
    allowed = [allowed] if isinstance(allowed, str) else allowed
    inner = rule.get("properties", {})
    return all(
        [
            not allowed or any(kinds[each](value) for each in allowed),
            "anyOf" not in rule or any(accepts(each, value) for each in rule["anyOf"]),
            "enum" not in rule or value in rule["enum"],
            "minimum" not in rule or (isinstance(value, int) and value >= rule["minimum"]),
            not isinstance(value, str | list) or len(value) >= rule.get("minLength", rule.get("minItems", 0)),
            not isinstance(value, list) or all(accepts(rule.get("items", {}), each) for each in value),
            not isinstance(value, dict)
            or (
                all(accepts(inner.get(key, {}), each) for key, each in value.items())
                and (rule.get("additionalProperties", True) or value.keys() <= inner.keys())
                and value.keys() >= set(rule.get("required", []))
            ),
        ]
    )


def agrees(text: str) -> bool:
    """Whether the schema accepts a file; where jsonschema is installed, it must think so too."""
    found = accepts(schema(), tomllib.loads(text))
    try:
        import jsonschema  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: PLC0415
    except ModuleNotFoundError:
        return found
    jsonschema.Draft7Validator.check_schema(schema())
    assert jsonschema.Draft7Validator(schema()).is_valid(tomllib.loads(text)) == found
    return found


def test_the_published_schema_is_that_of_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", "--schema"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == schema()
    kept = (ROOT / "sweeps/schema.json").read_text()
    assert kept == printed, "make it anew: advbench sweep --schema > sweeps/schema.json"


def test_the_schema_accepts_every_setting_and_the_sweeps_of_the_repository() -> None:
    for path in SWEEPS:
        assert agrees(path.read_text()), path
    for key, value in VALUES.items():
        if key not in ("defense", "attack"):
            assert agrees(f"[defaults]\n{key} = {json.dumps(value)}"), key
    assert agrees('models = ["a", { name = "b", defenses = ["round"], threats = [{ norm = "l2" }] }]')
    assert agrees('defenses = ["none", { defense = "round", eot = 3 }]')


OF_SHAPE = ("must be", "must say", "no setting", "a sweep has", "list of its own")
OF_VALUE = ("eps must", "pgd: steps", "--batch-size", "l3 0.1")


@pytest.mark.parametrize(
    "text",
    [
        text
        for text, _, message in FAULTS
        if any(word in message for word in OF_SHAPE)
        and not any(word in message or word in text for word in OF_VALUE)
    ],
)
def test_the_schema_refuses_faults_of_shape(text: str) -> None:
    assert not agrees(text)


@pytest.mark.parametrize("path", SWEEPS, ids=[each.stem for each in SWEEPS])
def test_the_sweeps_of_the_repository_name_what_there_is(path: Path, shared: Path) -> None:
    for name in ("checkpoints", "data"):
        Path(name).symlink_to(shared / name)
    np.save("bank.npy", np.zeros((20, 3, 5, 5), dtype=np.float32))  # which the file says how to make
    cells = make_cells(read_grid(path))
    assert all(shlex.join(run.words(Path("x"))) for run in make_runs(cells))
