"""The table of attacks: every name can be made as it stands, and says what it asks the model for."""

import pytest
import torch
from torch import Tensor, nn

from advbench import Draws, Threat
from advbench.attacks import ATTACKS
from advbench.names.registry import ANY_NAME, parameters
from tests.attacks.fakes import named

OURS = [name for name in ATTACKS if not name.endswith(ANY_NAME)]


@pytest.mark.parametrize("name", [name for name in OURS if name != "auto"])  # asks as the model gives
def test_an_attack_asks_for_what_its_entry_says(name: str, linear_model: nn.Sequential) -> None:
    short = {"queries": "20", "steps": "3"}
    known = parameters(ATTACKS[name].load())
    given = ",".join(f"{each}={number}" for each, number in short.items() if each in known)
    text = f"{name}:{given}" if given else name
    asked: set[str] = set()

    def model(x: Tensor) -> Tensor:
        asked.add("gradient" if x.requires_grad else "scores")
        logits: Tensor = linear_model(x)
        return logits

    x = torch.full((2, 1, 4, 4), 0.5)
    y = linear_model(x).argmax(1)
    named(text)(model, x, y, Threat("linf", 1e-4), Draws(0, torch.arange(2)))
    assert ("gradient" in asked) == ("gradient" in ATTACKS[name].needs)
    if "gradient" not in ATTACKS[name].needs:
        assert asked == {"scores"}


def test_every_entry_tells_its_cost_and_its_source() -> None:
    assert all(each.cost and each.source and each.summary and each.needs for each in ATTACKS.values())
    words = {word for name in OURS for word in parameters(ATTACKS[name].load())}
    for name in OURS:
        for word in ("restarts", "targets"):
            assert word not in ATTACKS[name].cost or word in parameters(ATTACKS[name].load()), name
    assert {"steps", "queries"} <= words
