"""Runs, sweeps and curves called from Python: words or objects, and what comes back."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Subset, TensorDataset

import advbench as ab
from advbench import cli
from advbench.attacks import PGD
from advbench.defenses import BitDepth, Round
from advbench.errors import InputError, KeywordError
from tests.notebook_cells import defined

QUICK: dict[str, Any] = {"first": 8, "steps": 2}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Net(nn.Module):
    """A linear network with a dropout, which is off when it is judged."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.linear = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.drop(x.flatten(1)))  # type: ignore[no-any-return]  # torch's modules are untyped


@pytest.fixture
def net() -> Net:
    generator = torch.Generator().manual_seed(0)
    net = Net()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net


@pytest.fixture
def pair(net: Net) -> tuple[Tensor, Tensor]:
    x = torch.rand(24, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, net.eval()(x).argmax(1)


def coarse(x: Tensor) -> Tensor:
    """Three levels a pixel."""
    return (x * 2).round() / 2


def test_a_run_returns_what_the_command_writes(untouched: None) -> None:
    run = ab.run(defenses=["round", "bit-depth:bits=3"], bpda=True, out="run", formats="csv,json", **QUICK)
    assert run.path == Path("run")
    assert run.table("csv") == Path("run/table.csv").read_text()
    assert run.table("json") == Path("run/table.json").read_text()
    assert [row.defense for row in run.rows] == ["none", "round", "bit-depth:bits=3"]
    assert list(run.frame["defense"]) == [row.defense for row in run.rows]
    assert len(run.samples) == 8 * (2 + 3 + 3)
    assert "<table" in run._repr_html_()
    assert repr(run) == "<Run run: digits-cnn, digits, linf eps 0.15, 3 rows>"
    assert run.figure("ladder", "svg").startswith(b"<?xml")
    with pytest.raises(InputError, match=r"no figure 'leader'\. Did you mean 'ladder'"):
        run.figure("leader")


def test_the_command_of_a_run_does_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    run = ab.run(defenses=["round"], eps=0.1, out="run", **QUICK)
    command = run.manifest["command"]
    assert command[:2] == ["advbench", "attack"]
    assert cli.main([*command[1:], "--overwrite", "--out", "other", "--quiet"]) == 0
    assert ab.open_run("other").manifest["hash"] == run.manifest["hash"]
    capfd.readouterr()


def test_the_same_call_goes_on_where_the_run_is(untouched: None) -> None:
    run = ab.run(out="run", **QUICK)
    parts = {path: path.stat().st_mtime_ns for path in Path("run/parts").iterdir()}
    assert ab.run(out="run", **QUICK).rows == run.rows
    assert {path: path.stat().st_mtime_ns for path in Path("run/parts").iterdir()} == parts
    with pytest.raises(InputError, match=r"already holds another run .* Give another out="):
        ab.run(out="run", first=8, steps=3)


def test_without_out_the_records_are_in_a_dated_folder(untouched: None) -> None:
    run = ab.run(**QUICK)
    assert run.path.parent == Path("runs")
    assert ab.open_run(run.path) == run


def test_objects_that_words_make_are_the_same_run_as_the_words(untouched: None) -> None:
    words = ab.run(
        defenses=["round:step=0.5", "bit-depth:bits=2@logits+round"], attacks="pgd:steps=2", first=8
    )
    chain = (ab.Placement(BitDepth(bits=2), at="logits"), Round())
    objects = ab.run(defenses=[Round(step=0.5), chain], attacks=PGD(steps=2), first=8)
    assert objects.manifest["hash"] == words.manifest["hash"]
    assert "objects" not in objects.manifest
    made = ab.run(
        defenses=[ab.defense("round:step=0.5"), ab.defense("bit-depth:bits=2@logits+round")],
        attacks=[ab.attack("pgd", steps=2)],
        first=8,
    )
    assert made.manifest["hash"] == words.manifest["hash"]


def test_a_module_on_tensors(net: Net, pair: tuple[Tensor, Tensor], untouched: None) -> None:
    net.train()
    net.linear.bias.requires_grad_(False)
    run = ab.run(
        model=net, data=pair, defenses={"coarse": coarse}, attacks=[PGD(steps=3)], eps=8 / 255, bpda=True
    )
    assert [(row.model, row.dataset, row.eps) for row in run.rows] == [("Net", "data", "8/255")] * 2
    assert [row.defense for row in run.rows] == ["none", "coarse"]
    assert run.rows[0].rates["clean"].accuracy == 1.0
    assert (net.training, net.drop.training) == (True, True)
    assert [parameter.requires_grad for parameter in net.parameters()] == [True, False]
    assert run.manifest["objects"] == ["model", "data", "defense coarse"]
    assert run.manifest["command"][0].startswith("advbench.run(model=Net, ")
    assert ab.open_run(run.path) == run


def test_a_run_of_objects_has_the_numbers_of_evaluate(net: Net, pair: tuple[Tensor, Tensor]) -> None:
    run = ab.run(model=net, data=pair, defenses=[coarse], attacks=[PGD(steps=3)], eps=0.1, bpda=True)
    found = ab.evaluate(
        net,
        TensorDataset(*pair),
        threat=ab.Threat("linf", 0.1),
        attacks={"pgd": PGD(steps=3)},
        defenses={"coarse": coarse},
    )
    assert [row.rates for row in run.rows] == [row.rates for row in found.rows]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda x, y: (x.numpy(), y.numpy()), "data"),
        (TensorDataset, "TensorDataset"),
        (lambda x, y: Subset(TensorDataset(x, y), range(24)), "Subset"),
        (lambda x, y: list(zip(x, y.tolist(), strict=True)), "data"),
        (lambda x, y: {"mine": (x, y)}, "mine"),
    ],
)
def test_images_in_any_form_are_the_same_images(
    make: Callable[[Tensor, Tensor], Any], name: str, net: Net, pair: tuple[Tensor, Tensor]
) -> None:
    usual = ab.run(model=net, data=pair, attacks=[PGD(steps=2)], limit=12)
    run = ab.run(model={"my net": net}, data=make(*pair), attacks=[PGD(steps=2)], limit=12)
    assert (run.rows[0].model, run.rows[0].dataset) == ("my net", name)
    assert run.rows[0].rates == usual.rows[0].rates
    assert run.manifest["data"] == usual.manifest["data"]


def test_another_object_of_the_same_name_is_another_run(net: Net, pair: tuple[Tensor, Tensor]) -> None:
    quick: dict[str, Any] = {"model": net, "data": pair, "attacks": [PGD(steps=1)], "out": "run"}
    ab.run(defenses={"mine": coarse}, **quick)
    with pytest.raises(InputError, match=r"already holds another run .defenses.mine was"):
        ab.run(defenses={"mine": lambda x: (x * 3).round() / 3}, **quick)
    with torch.no_grad():
        net.linear.bias.add_(1)
    with pytest.raises(InputError, match=r"already holds another run .*checkpoint was"):
        ab.run(defenses={"mine": coarse}, **quick)


def test_a_run_of_objects_verifies_with_the_objects_alone(
    net: Net, pair: tuple[Tensor, Tensor], untouched: None
) -> None:
    own: dict[str, Any] = {"model": net, "data": pair, "defenses": {"coarse": coarse}}
    ab.run(attacks=[PGD(steps=3)], bpda=True, save_adversarial=True, out="run", **own)
    with pytest.raises(InputError, match=r"objects that no word names \(model, data, defense coarse\)"):
        ab.verify("run")
    checks = ab.verify("run", **own)
    assert all(check.holds for check in checks), checks
    assert len(checks) > 6
    with torch.no_grad():
        net.linear.weight *= -1
    assert [check.what for check in ab.verify("run", **own) if not check.holds] == ["checkpoint"]


def test_the_command_says_that_a_run_of_objects_needs_them(
    net: Net, pair: tuple[Tensor, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    ab.run(model=net, data=pair, attacks=[PGD(steps=1)], save_adversarial=True, formats="html", out="run")
    assert cli.main(["verify", "run"]) == 2
    assert "objects that no word names (model, data)" in capsys.readouterr().err
    assert "</html>" in Path("run/report.html").read_text()


def test_a_curve_of_objects_goes_on_and_knows_other_objects(
    net: Net, pair: tuple[Tensor, Tensor], untouched: None
) -> None:
    own: dict[str, Any] = {"model": net, "data": pair, "attacks": [PGD(steps=2)], "out": "curve"}
    curve = ab.curve(defenses=[coarse], eps=[4 / 255, "1/255", float("inf")], **own)
    assert [(row.eps, row.defense) for row in curve.rows] == [
        (eps, defense) for eps in ("1/255", "4/255", "inf") for defense in ("none", "coarse")
    ]
    assert not curve.failed
    counts = [row.rates["shattered"].count for row in curve.rows if row.defense == "none"]
    assert counts == sorted(counts, reverse=True)
    assert len(curve.runs) == 3
    assert curve.table("csv") == Path("curve/table.csv").read_text()
    stamps = {path: path.stat().st_mtime_ns for path in Path("curve/runs").rglob("run.json")}
    assert ab.curve(defenses=[coarse], eps=[4 / 255, "1/255", float("inf")], **own).rows == curve.rows
    assert {path: path.stat().st_mtime_ns for path in Path("curve/runs").rglob("run.json")} == stamps
    with torch.no_grad():
        net.linear.weight *= -1
    other = ab.curve(defenses=[coarse], eps=[4 / 255, "1/255", float("inf")], **own)
    assert other.rows[0].rates["clean"] != curve.rows[0].rates["clean"]


def test_who_watches_is_told_and_may_end_the_run() -> None:
    class Stopper:
        """Asks the run to stop after its first batch."""

        def __init__(self) -> None:
            self.said: list[str] = []
            self.asked_to_stop = False

        def note(self, text: str) -> None:
            self.said.append(text)

        say = warn = pass_by = note

        def begin(self, task: str, total: int | None, done: int = 0) -> None:
            self.said.append(task)

        def advance(self, task: str, done: int) -> None:
            self.said.append(task)
            self.asked_to_stop = True

    watcher = Stopper()
    with pytest.raises(KeyboardInterrupt):
        ab.run(first=8, steps=2, batch_size=4, out="run", watcher=watcher)
    assert watcher.said[0] == "checking clean images"
    assert watcher.said[1].startswith("digits-cnn (state dict; no normalisation), 8 images of digits")
    assert json.loads(Path("run/run.json").read_text())["status"] == "interrupted"
    assert ab.run(first=8, steps=2, batch_size=4, out="run").rows[0].n == 8


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"modle": 1}, "advbench.run() has no keyword 'modle'. Did you mean 'model'?"),
        ({"quiet": True}, "advbench.run() has no keyword 'quiet'"),
        ({"fail_on": "masked"}, "advbench.run() has no keyword 'fail_on'"),
        ({"model": Net}, "model must be a name or a torch.nn.Module, got <class"),
        ({"model": nn.Linear(1, 1)}, "name the data set of your model: dataset= digits"),
        ({"model": nn.Identity(), "data": "digits", "checkpoint": "x"}, "checkpoint says nothing of a model"),
        ({"data": torch.rand(3)}, "does not give (image, label)"),
        ({"data": (torch.rand(3, 1, 8, 8), torch.rand(3))}, "labels must be whole numbers"),
        ({"data": (torch.rand(3, 8, 8), torch.zeros(3, dtype=torch.int64))}, "got shapes (3, 8, 8) and (3,)"),
        ({"data": iter([])}, "a pair (x, y) of tensors"),
        ({"data": [], "dataset": "digits"}, "data and dataset mean the same"),
        ({"data": [(torch.rand(1, 8, 8), 0)], "split": "train"}, "split says nothing of data"),
        ({"defenses": [Round]}, "a defense must be a word, a function on batches"),
        ({"defenses": [3]}, "a defense must be a word, a function on batches"),
        ({"defenses": [coarse, coarse]}, "defense 'coarse' is given twice; give {name: defense}"),
        ({"defenses": {"none": coarse}}, "a defense cannot be called 'none'"),
        ({"defenses": {"a@": coarse}}, "a defense cannot be called 'a@'"),
        ({"defenses": [ab.Placement(Round(), at="nowhere")]}, "nowhere"),
        ({"attacks": [PGD]}, "an attack must be a word or an advbench.Attack"),
        ({"attacks": [PGD(), PGD()]}, "attack 'pgd' is given twice; give {name: attack}"),
        ({"eps": [0.1, 0.2]}, "a run has one eps; advbench.curve takes several"),
        ({"eps": 8}, "eps must lie in (0, 1] for linf, got 8. Did you mean 8/255?"),
        ({"mean": 0.5}, "give mean= and std= together"),
        ({"steps": 0}, "steps: it must be a whole number from 1 to 1,000,000,000, got 0"),
        ({"attacks": [PGD()], "steps": 3}, "steps= fits none of the attacks pgd"),
    ],
)
def test_what_cannot_be_used_is_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        ab.run(**keywords)
    assert message in str(refused.value)
    assert not list(Path().iterdir())


def test_a_keyword_that_there_is_not_is_a_type_error_too() -> None:
    with pytest.raises(TypeError) as refused:
        ab.curve(eps=[0.1], moddel="digits-cnn")
    assert isinstance(refused.value, KeywordError)


def test_help_names_every_keyword() -> None:
    names = list(inspect.signature(ab.run).parameters)
    assert names[:6] == ["model", "data", "defenses", "attacks", "gradient_free", "watcher"]
    assert {"ladder", "bpda", "out", "eps", "save_adversarial"} <= set(names)
    assert "ladder: All rungs" in (ab.run.__doc__ or "")


def test_numbers_of_numpy_and_torch_are_numbers(net: Net, pair: tuple[Tensor, Tensor]) -> None:
    own: dict[str, Any] = {
        "model": net,
        "data": pair,
        "first": np.int64(8),
        "steps": np.int64(2),
        "device": torch.device("cpu"),
    }
    for eps, told in ((np.float64(8 / 255), "8/255"), (torch.tensor(0.25), "0.25"), (np.int64(1), "1")):
        assert ab.run(**own, eps=eps, out=told.replace("/", "-")).heading.eps == told


def test_two_images_with_labels_are_a_data_set_and_gradients_of_images_are_left_alone(net: Net) -> None:
    x = torch.rand(2, 1, 4, 4).requires_grad_()
    own: dict[str, Any] = {"model": net, "eps": 0.1, "steps": 2}
    two = ab.run(**own, data=[(x[0].detach(), 1), (x[1].detach(), 2)], out="two")
    same = ab.run(**own, data=TensorDataset(x, torch.tensor([1, 2])), out="same")
    assert two.samples.equals(same.samples)
    assert len(two.samples) == 2 * 2


def lazy() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))


@torch.inference_mode()
def of_inference() -> nn.Module:
    return Net()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"model": lazy}, "the model has lazy layers without weights yet"),
        ({"model": of_inference}, "the model was made under torch.inference_mode()"),
        ({"data": lambda: [(torch.rand(1, 4, 4), 0.5)]}, "labels must be whole numbers, got 0.5"),
        (
            {"data": lambda: ((torch.rand(1, 4, 4), 1), (torch.rand(1, 4, 4), 2))},
            "the images cannot be made a tensor",
        ),
        (
            {"attacks": lambda: [lambda model, x, y, threat, draws: x]},
            "must return an advbench.Attempt, got Tensor",
        ),
        ({"batch_size": lambda: 0}, "batch_size= must be auto"),
    ],
)
def test_objects_that_cannot_be_used_are_refused_in_a_line(
    made: dict[str, Callable[[], Any]], message: str, net: Net, pair: tuple[Tensor, Tensor]
) -> None:
    keywords = {name: make() for name, make in made.items()}
    with pytest.raises(InputError) as refused:
        ab.run(**{"model": net, "data": pair, "eps": 0.1, **keywords})
    assert message in str(refused.value)


def test_the_caller_s_autocast_changes_no_number(net: Net, pair: tuple[Tensor, Tensor]) -> None:
    seen: list[torch.dtype] = []
    net.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    threat, attacks = ab.Threat("linf", 0.1), {"pgd": PGD(steps=2)}
    plain = ab.evaluate(net, TensorDataset(*pair), threat=threat, attacks=attacks)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = ab.evaluate(net, TensorDataset(*pair), threat=threat, attacks=attacks)
        ab.run(model=net, data=pair, eps=0.1, steps=2, out="run")
        assert torch.is_autocast_enabled("cpu")
    assert set(seen) == {torch.float32}
    assert under.samples.equals(plain.samples)


def test_a_model_whose_code_has_changed_is_another_run(pair: tuple[Tensor, Tensor]) -> None:
    code = "class Model(nn.Sequential):\n    def forward(self, x): return super().forward({})"
    torch.manual_seed(1)
    layers = nn.Flatten(), nn.Linear(16, 3)
    for number, given in enumerate(("x", "(x * 4).round() / 4")):
        model = defined(code.format(given))["Model"](*layers)
        if number == 0:
            ab.run(model=model, data=pair, out="run", eps=0.1, **QUICK)
            ab.run(model=model, data=pair, out="run", eps=0.1, **QUICK)
        else:
            with pytest.raises(InputError, match="already holds another run"):
                ab.run(model=model, data=pair, out="run", eps=0.1, **QUICK)
