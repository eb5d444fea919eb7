"""ONNX files in whole runs: attacked along their twin or without gradients, recorded, and judged again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import advbench
from advbench.errors import InputError, ModelError
from advbench.jobs.onnx_model import _halves
from advbench.models.onnx_file import read_onnx
from advbench.models.onnx_model import Judge
from tests.onnx_files import digits_file, linear_file, onnx_or_skip

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)


def attacked(model: Path | str, out: Path | None = None, **words: Any) -> Any:
    return advbench.run(model=str(model), data="digits", first=16, normalization="none", out=out, **words)


def test_a_run_counts_what_the_torch_network_counts_and_is_verified(tmp_path: Path) -> None:
    path = digits_file(tmp_path / "net.onnx", dynamic=False, images=4)
    run = attacked(path, tmp_path / "run", save_adversarial=True)
    own = advbench.run(model="digits-cnn", data="digits", first=16)
    for rung in ("clean", "shattered"):
        assert run.rows[0].rates[rung].count == own.rows[0].rates[rung].count
    record = json.loads((tmp_path / "run" / "run.json").read_text())["checkpoint"]
    assert record["onnx"]["provider"] == "CPUExecutionProvider"
    assert record["onnx"]["gradient"] == "twin by onnx2pytorch"
    assert {"opset", "producer", "onnxruntime"} <= record["onnx"].keys()
    assert len(record["sha256"]) == 64
    checks = {check.what: check.holds for check in advbench.verify(tmp_path / "run")}
    assert checks["checkpoint"]
    assert all(checks.values())


def test_a_changed_file_is_found(tmp_path: Path) -> None:
    path = digits_file(tmp_path / "net.onnx")
    attacked(path, tmp_path / "run", save_adversarial=True)
    onnx = onnx_or_skip()
    model = onnx.load(str(path))
    model.doc_string = "another"
    onnx.save(model, str(path))
    last = list(advbench.verify(tmp_path / "run"))[-1]
    assert (last.what, last.holds) == ("checkpoint", False)


def test_a_file_without_a_twin_is_attacked_without_gradients_and_the_table_says_so(tmp_path: Path) -> None:
    onnx = onnx_or_skip()
    path = digits_file(tmp_path / "net.onnx")
    model = onnx.load(str(path))
    relu = next(node for node in model.graph.node if node.op_type == "Gemm")
    name = relu.output[0]
    relu.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("QuickGelu", ["before"], [name], domain="com.microsoft"))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, str(path))
    run = attacked(path, attacks=["fgsm"], gradient_free="square:queries=50")
    assert set(run.rows[0].rates) >= {"clean", "gradient_free"}
    table = run.table("markdown")
    assert "the ONNX file has no gradient" in table
    assert "QuickGelu" in table
    assert "without gradients alone" in table


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"checkpoint": "x.pt"}, "checkpoint= does not go with it"),
        ({"weights": "ema"}, "weights= does not go with it"),
    ],
)
def test_options_of_other_models_are_refused(tmp_path: Path, words: dict[str, Any], message: str) -> None:
    path = digits_file(tmp_path / "net.onnx")
    with pytest.raises(InputError, match=message):
        attacked(path, **words)


def test_other_parameters_outputs_and_sizes_are_refused(tmp_path: Path) -> None:
    path = digits_file(tmp_path / "net.onnx")
    for parameters, message in (("input=x", "no parameter 'input'"), ("output=y", "no output 'y'")):
        with pytest.raises(InputError, match=message):
            attacked(f"{path}:{parameters}")
    with pytest.raises(ModelError, match="takes images of 1 x 2 x 2"):
        attacked(linear_file(tmp_path / "small.onnx", shape=("n", 1, 2, 2)))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    onnx_or_skip()
    with pytest.raises(InputError, match="there is no file"):
        attacked(tmp_path / "none.onnx")
    shutil.copy(__file__, tmp_path / "text.onnx")
    with pytest.raises(InputError, match="no ONNX model"):
        attacked(tmp_path / "text.onnx")
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(("between", "is_told"), [((), False), (("Neg", "Neg"), True)])
def test_a_file_that_computes_in_float16_is_told_to_be_computed_in_float32(
    between: tuple[str, ...], is_told: bool, tmp_path: Path
) -> None:
    """A conversion there and back does round; with an operator between, onnxruntime 1.32 rounds nothing."""
    onnx = onnx_or_skip()
    make, kind = onnx.helper.make_node, onnx.TensorProto
    nodes = [make("Cast", ["x"], ["half0"], to=kind.FLOAT16)]
    nodes += [make(name, [f"half{i}"], [f"half{i + 1}"]) for i, name in enumerate(between)]
    nodes += [make("Cast", [f"half{len(between)}"], ["back"], to=kind.FLOAT)]
    nodes += [make("Flatten", ["back"], ["flat"])]
    file = read_onnx(linear_file(tmp_path / "net.onnx", nodes))
    assert file.computes_in_half is is_told
    x = torch.full((1, 1, 2, 2), 2049.0)
    rounded = x.half().float().flatten(1)
    weights = torch.arange(12.0).reshape(4, 3) / 10 - 0.5
    judge = Judge(file, torch.device("cpu"))
    same = torch.allclose(judge(x), rounded @ weights, rtol=1e-6)
    assert same is not is_told, "onnxruntime has changed: the note is to go"
    remarks = _halves(file, judge)
    assert bool(remarks) is is_told
    assert all("computes it in float32 on the CPU" in remark for remark in remarks)
