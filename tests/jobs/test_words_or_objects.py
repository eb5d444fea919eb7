"""What a caller gives, word or object, has the name that the table gives it."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import advbench as ab
from advbench.attacks import ATTACKS, PGD
from advbench.defenses import DEFENSES, BitDepth, Round
from advbench.errors import InputError
from advbench.jobs.words_or_objects import (
    data_of,
    defenses_of,
    is_worded,
    model_of,
    usable_name,
    written,
)

PAIR = (torch.rand(2, 1, 4, 4), torch.tensor([0, 1]))


def coarse(x: Tensor) -> Tensor:
    """Three levels a pixel."""
    return (x * 2).round() / 2


def test_a_model_is_a_word_or_a_module_with_a_name() -> None:
    net = nn.Flatten()
    assert model_of("lenet5") == ("lenet5", None)
    assert model_of(net) == ("Flatten", net)
    assert model_of({" mine ": net}) == ("mine", net)


def test_data_are_a_word_or_images_with_a_name() -> None:
    assert data_of("mnist") == ("mnist", None)
    for given, name in ((PAIR, "data"), (list(PAIR), "data"), (TensorDataset(*PAIR), "TensorDataset")):
        label, images = data_of(given)
        assert label == name
        assert images is not None
        assert data_of({"mine": images}) == ("mine", images)
        assert data_of(images) == ("data", images)


@pytest.mark.parametrize(
    ("given", "names", "objects"),
    [
        ((), (), 0),
        ("round", ("round",), 0),
        (("round", "none"), ("round", "none"), 0),
        (["jpeg+round@layer2"], ("jpeg+round@layer2",), 0),
        (Round(), ("round",), 1),
        ([Round(step=0.5), "round"], ("round:step=0.5", "round"), 1),
        ((BitDepth(bits=2), "round"), ("bit-depth:bits=2+round",), 1),
        ([("jpeg", Round())], ("jpeg+round",), 1),
        (ab.Placement(Round(), at="logits"), ("round@logits",), 1),
        ([coarse, Round()], ("coarse", "round"), 2),
        ({"mine": coarse, "words": "jpeg+round"}, ("mine", "words"), 2),
    ],
)
def test_rows_are_named_in_their_order(given: Any, names: tuple[str, ...], objects: int) -> None:
    found, made = defenses_of(given)
    assert found == names
    assert len(made) == objects
    assert set(made) <= set(names)


def test_a_name_that_makes_the_same_defense_needs_no_object() -> None:
    names, made = defenses_of([(BitDepth(bits=2), Round()), coarse, Round(step=0.25)])
    assert [is_worded(name, made[name]) for name in names] == [True, False, True]
    (renamed,) = defenses_of({"round": BitDepth()})[1].values()
    assert not is_worded("round", renamed)


@pytest.mark.parametrize(
    ("thing", "table", "kind", "words"),
    [
        (PGD(), ATTACKS, "attack", "pgd"),
        (PGD(steps=7, random_start=False), ATTACKS, "attack", "pgd:steps=7,random_start=False"),
        (BitDepth(bits=2), DEFENSES, "defense", "bit-depth:bits=2"),
        (coarse, DEFENSES, "defense", "coarse"),
        (nn.ReLU(), DEFENSES, "defense", "ReLU"),
        (partial(coarse), DEFENSES, "defense", "partial"),
    ],
)
def test_an_object_is_written_in_the_words_that_make_it(
    thing: Any, table: Any, kind: Any, words: str
) -> None:
    assert written(thing, table, kind) == words


@pytest.mark.parametrize("name", ["a", " a b ", "my-net:k=3", "ein Bär"])
def test_a_name_that_a_table_can_hold_is_taken(name: str) -> None:
    assert usable_name(name, "model") == name.strip()


@pytest.mark.parametrize("name", ["", "  ", "none", "a\n", "\x1b[1m", "a@", "a+", 3, None])
def test_a_name_that_no_command_line_could_say_is_refused(name: Any) -> None:
    with pytest.raises(InputError, match=r"a model cannot be called .*; choose another name"):
        usable_name(name, "model")


@pytest.mark.parametrize(
    ("read", "given", "said"),
    [
        (model_of, nn.ReLU, "model must be a name or a torch.nn.Module, got <class"),
        (model_of, nn.ReLU, "Call it to make one."),
        (model_of, 3, "model must be a name or a torch.nn.Module, got 3."),
        (model_of, {"a": "lenet5"}, "{'a': ...} names a module; of a word, give the word alone."),
        (model_of, {"a": nn.ReLU(), "b": nn.ReLU()}, "model must be one, or {name: model}, got 2 of them."),
        (data_of, {}, "data must be one, or {name: data}, got 0 of them."),
        (data_of, {"a": "mnist"}, "names images of your own; of a word, give the word alone."),
        (defenses_of, [3], "a defense must be a word, a function on batches, a Placement"),
        (defenses_of, [Round], "Call it to make one."),
        (defenses_of, [[]], "a defense must have an element; the undefended model is always there."),
        (defenses_of, ["round", Round()], "defense 'round' is given twice; give {name: defense}"),
    ],
)
def test_what_is_nothing_of_the_kind_is_refused(read: Any, given: Any, said: str) -> None:
    with pytest.raises(InputError) as refused:
        read(given)
    assert said in str(refused.value)
