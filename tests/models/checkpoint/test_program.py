"""Programs run where the user trusts them, answer as the network does, and say what they refuse."""

import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from advbench.errors import ModelError
from advbench.models.checkpoint.program import Program
from advbench.models.digits_cnn import DigitsCNN
from tests.checkpoints import distinct_network, load, refusal

X = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> DigitsCNN:
    return distinct_network()


@pytest.fixture(scope="module")
def programs(network: DigitsCNN, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The network as a TorchScript archive and as an exported program."""
    folder = tmp_path_factory.mktemp("programs")
    paths = {"TorchScript": folder / "script.pt", "torch.export": folder / "exported.pt2"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # saving is the test's business, and torch deprecates it
        script = torch.jit.trace(network, X)  # type: ignore[no-untyped-call]  # untyped in torch
        torch.jit.save(script, paths["TorchScript"])
        batch = {"x": {0: torch.export.Dim("n")}}
        torch.export.save(torch.export.export(network, (X,), dynamic_shapes=batch), paths["torch.export"])
    return paths


@pytest.mark.parametrize("form", ["TorchScript", "torch.export"])
@pytest.mark.parametrize("suffix", ["as saved", ".pth"])
def test_a_trusted_program_gives_the_networks_logits_and_input_gradients(
    form: str, suffix: str, programs: dict[str, Path], network: DigitsCNN, tmp_path: Path
) -> None:
    path = programs[form]
    if suffix != "as saved":
        path = tmp_path / f"program{suffix}"
        path.write_bytes(programs[form].read_bytes())
    loaded = load(path, trust=True)
    assert loaded.source == form
    assert not loaded.network(X).requires_grad, "its parameters should be frozen"
    x, x_own = X.clone().requires_grad_(), X.clone().requires_grad_()
    loaded.network.eval()(x).square().sum().backward()
    network(x_own).square().sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(loaded.network(X), network(X))
    torch.testing.assert_close(x.grad, x_own.grad)


@pytest.mark.parametrize("form", ["TorchScript", "torch.export"])
def test_a_program_is_refused_without_trust(form: str, programs: dict[str, Path]) -> None:
    message = refusal(programs[form])
    assert form in message
    assert "--trust-program" in message


@pytest.mark.parametrize(
    "member",
    [
        "models/model.json",
        "archive_format",
        "data/weights/weight_0",
        "data/weights/model_weights_config.json",
        "data/sample_inputs/model.pt",
    ],
)
def test_a_trusted_program_with_a_damaged_member_is_refused(
    member: str, programs: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "exported.pt2"
    with zipfile.ZipFile(programs["torch.export"]) as whole, zipfile.ZipFile(path, "w") as copy:
        for name in whole.namelist():
            copy.writestr(name, b"{}" if name.endswith(member) else whole.read(name))
    assert "truncated or damaged" in refusal(path, trust=True)


class Breaks(nn.Module):
    """A program that raises something."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise self.error


def test_what_a_program_raises_is_told_with_the_shape_of_the_batch() -> None:
    program = Program(Breaks(RuntimeError("expected 8 images\nsecond line")), torch.device("cpu"))
    with pytest.raises(ModelError) as caught:
        program(X)
    assert str(caught.value).startswith(
        "the program refused a batch of shape (3, 1, 8, 8): expected 8 images. If it was exported"
    )
    with pytest.raises(torch.OutOfMemoryError):
        Program(Breaks(torch.OutOfMemoryError("no more")), torch.device("cpu"))(X)


def test_nothing_inside_a_program_is_a_module_and_its_mode_is_its_own() -> None:
    inner = nn.Sequential(nn.Flatten(), nn.Dropout(0.5)).eval()
    program = Program(inner, torch.device("cpu"))
    assert list(program.modules()) == [program]
    assert not list(program.parameters())
    assert program.state_dict() == {}
    assert torch.equal(program.train()(X), X.flatten(1))
    assert program.anchor.device == torch.device("cpu")
