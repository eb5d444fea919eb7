"""What the keywords of a call tell: the words of a command, and the objects that have no words."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advbench.attacks import PGD
from advbench.defenses import Round
from advbench.errors import InputError, KeywordError
from advbench.jobs.call_keywords import read_keywords
from advbench.jobs.objects import NO_OBJECTS
from advbench.jobs.settings.run import RunSettings

PAIR = (torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))


def coarse(x: Tensor) -> Tensor:
    """Three levels a pixel."""
    return (x * 2).round() / 2


def test_nothing_told_is_the_default_command() -> None:
    told, objects = read_keywords("run", {"model": None, "attacks": ("pgd",), "eps": None})
    assert objects == NO_OBJECTS
    assert told == RunSettings(command=("advbench", "attack", "--attack", "pgd"))


def test_words_are_those_of_the_command() -> None:
    told, objects = read_keywords(
        "run",
        {"model": "lenet5", "data": "mnist", "defenses": ["round"], "gradient_free": "square:queries=9"},
    )
    assert objects == NO_OBJECTS
    assert (told.model, told.dataset, told.defenses) == ("lenet5", "mnist", ("round",))
    assert told.gradient_free == "square:queries=9"
    assert "--dataset mnist" in " ".join(told.command)


def test_objects_have_their_names_among_the_words_and_no_command_does_the_same() -> None:
    net = nn.Flatten()
    given = {
        "model": net,
        "data": PAIR,
        "defenses": [coarse, Round()],
        "attacks": [PGD(steps=3)],
        "eps": 0.25,
    }
    told, objects = read_keywords("run", given)
    assert (told.model, told.dataset, told.defenses) == ("Flatten", "data", ("coarse", "round"))
    assert told.attacks == ("pgd:steps=3",)
    assert objects.model is net
    assert objects.images is not None
    assert objects.nameless == ("model", "data", "defense coarse"), "words make the others again"
    words = "model=Flatten, defenses=[coarse, round], attacks=[pgd:steps=3], eps=0.25, dataset=data"
    assert told.command == (f"advbench.run({words})",)


@pytest.mark.parametrize(
    ("eps", "words"),
    [
        (8 / 255, "8/255"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (0.2, "0.2"),
        (1, "1"),
        ("8/255", "8/255"),
        (float("inf"), "inf"),
        ([2 / 255, "4/255", 0.3, float("inf")], "2/255,4/255,0.3,inf"),
    ],
)
def test_a_radius_is_written_as_people_do(eps: Any, words: str) -> None:
    assert read_keywords("run", {"eps": eps})[0].eps == words
    if not isinstance(eps, str | list) and eps != float("inf"):
        numerator, _, denominator = words.partition("/")
        assert float(numerator) / float(denominator or 1) == eps, "to the last bit"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"data": PAIR, "dataset": "digits"}, "data and dataset mean the same; give one of them."),
        ({"data": PAIR, "channels": 1}, "channels says nothing of data that are objects."),
        ({"model": nn.Flatten(), "weights": "ema"}, "weights says nothing of a model that is an object."),
        ({"gradient_free": PGD}, "gradient_free must be a word or an advbench.Attack"),
        ({"eps": True}, "eps"),
    ],
)
def test_what_says_nothing_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refused:
        read_keywords("run", given)
    assert said in str(refused.value)


def test_a_keyword_that_there_is_not_is_refused_in_the_name_of_the_function() -> None:
    with pytest.raises(KeywordError, match=r"advbench\.curve\(\) has no keyword 'modle'"):
        read_keywords("curve", {"modle": 1})
