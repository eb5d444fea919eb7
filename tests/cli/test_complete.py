"""After a Tab the shell is offered what there is, without an import that would take a second."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from advbench.attacks import ATTACKS
from advbench.cli.complete import complete_attack, complete_dataset, complete_defense, complete_model
from advbench.data.registry import DATASETS
from advbench.defenses import DEFENSES
from advbench.models.registry import MODELS


@pytest.mark.parametrize(
    ("complete", "names"),
    [
        (complete_attack, list(ATTACKS)),
        (complete_defense, list(DEFENSES)),
        (complete_model, list(MODELS)),
        (complete_dataset, list(DATASETS)),
    ],
)
def test_every_name_is_offered_and_each_beginning_those_that_begin_so(
    complete: Callable[[str], list[str]], names: list[str]
) -> None:
    assert complete("") == names
    for name in names:
        for length in range(1, len(name) + 1):
            offered = complete(name[:length])
            assert name in offered
            assert all(each.startswith(name[:length]) for each in offered)
    assert complete("no such name") == []


def test_the_last_element_of_a_chain_is_completed() -> None:
    assert complete_defense("jpeg:quality=50+rou") == ["jpeg:quality=50+round"]
    assert complete_defense("round@layer2+") == [f"round@layer2+{name}" for name in DEFENSES]
    assert complete_defense("round+none of them") == []


def test_what_is_offered_needs_no_torch() -> None:
    code = (
        "import sys; from advbench.cli.complete import *; from advbench.cli import complete as c; "
        "c.complete_attack('p'), c.complete_defense('r'), c.complete_model('l'), c.complete_dataset('m'); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
