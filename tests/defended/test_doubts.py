"""Models whose answers are no function of the image: how often that is seen, and what it is called."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from advbench.defended.backward import Map
from advbench.defended.doubts import PASSES, doubts_about
from advbench.defended.model import DefendedModel, Placement
from tests.small import images


class Of(nn.Module):
    """A network that is a function of pixels and of whatever else."""

    def __init__(self, logits: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)


def plain(x: Tensor) -> Tensor:
    return x.flatten(1)[:, :4] * 10


def doubts(logits: Callable[[Tensor], Tensor], count: int = 20, defenses: tuple[Map, ...] = ()) -> list[str]:
    model = DefendedModel(Of(logits), [Placement(each) for each in defenses], lanes=8)
    x = images(count)
    with torch.no_grad():
        first = model(x)
    return doubts_about(model, x, plain(x).argmax(1), first)


class Coin:
    """Answers by one of two networks: heads until the toss that is said, then tails."""

    def __init__(self, tails_at: int) -> None:
        self.calls, self.tails_at = 0, tails_at

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        return plain(x) + (1.0 if self.calls >= self.tails_at else 0.0) * x.flatten(1)[:, 4:8]


@pytest.mark.parametrize("tails_at", [2, 3, 9, 2 + PASSES])
def test_a_coin_is_seen_whenever_it_first_falls_otherwise(tails_at: int) -> None:
    (told,) = doubts(Coin(tails_at))
    assert "two passes over the same images differ: the model is random" in told
    assert "BatchNorm" not in told


@pytest.mark.parametrize("count", [8, 20])
def test_a_model_that_counts_its_batch_is_seen_although_batches_are_filled_up(count: int) -> None:
    (told,) = doubts(lambda x: plain(x) * 8 / len(x), count)
    assert "an image's logits depend on its batch" in told


def test_a_model_of_one_batch_size_is_not_doubted() -> None:
    assert doubts(lambda x: plain(x.view(8, 1, 4, 4)), 8) == []


def test_a_model_that_answers_otherwise_under_autograd_is_told() -> None:
    (told,) = doubts(lambda x: plain(x) + (0.5 if x.requires_grad else 0.0) * x.flatten(1)[:, 4:8])
    assert "the model answers otherwise where a gradient is taken" in told


def test_an_own_layer_that_a_fused_kernel_passes_over_is_told() -> None:
    class Coarse(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.round())

    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True).eval()
    layer.linear1 = Coarse(4, 8)
    assert len(doubts(lambda x: layer(x.flatten(2).view(-1, 4, 4)).flatten(1))) == 1
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        assert doubts(lambda x: layer(x.flatten(2).view(-1, 4, 4)).flatten(1)) == []
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


def test_a_coin_is_missed_once_in_ten_thousand_runs() -> None:
    assert 2.0**PASSES > 10_000


def test_looking_ends_with_the_first_difference() -> None:
    coin = Coin(3)
    doubts(coin)
    looked = coin.calls
    patient = Coin(10_000)
    doubts(patient)
    assert looked <= 3
    assert patient.calls >= PASSES


def test_a_model_of_its_batch_is_told_with_the_batch_it_was_judged_in() -> None:
    # In the whole batch the right answer; among eight or alone something else.
    (told,) = doubts(lambda x: plain(x) if len(x) > 8 else -plain(x))
    assert "depend on its batch" in told
    assert "clean accuracy is 100 % in batches of 20, in which everything here is judged" in told
    assert "and 0 % in batches of 8" in told


def test_a_model_that_changes_itself_is_told_what_judges_it() -> None:
    class Drifting(torch.nn.Module):
        count: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1.0
            return plain(x) * self.count

    (told,) = doubts(Drifting())
    assert "the model changes itself when it answers (--episodic 64" in told


def test_the_order_of_a_batch_matters_too() -> None:
    def by_place(x: Tensor) -> Tensor:
        return plain(x) + torch.arange(len(x))[:, None] * x.flatten(1)[:, 4:8]

    (told,) = doubts(by_place)
    assert "depend on its batch" in told


def test_few_images_are_compared_with_each_alone() -> None:
    (told,) = doubts(lambda x: plain(x) - x.mean(0).flatten()[:4] * 50, count=6)
    assert "in batches of 6" in told
    assert "one by one" in told


def test_a_function_of_the_image_is_not_doubted() -> None:
    assert doubts(plain) == []
    assert doubts(plain, defenses=(torch.round,)) == []
    noise = 1e-7
    assert doubts(lambda x: plain(x) + noise * torch.rand(len(x), 4)) == [], "a device's order of sums"


def test_the_defense_that_draws_is_named_however_rarely_it_does() -> None:
    calls = [0]

    def sly(x: Tensor) -> Tensor:
        calls[0] += 1
        return x + (calls[0] % 3) * 0.1

    (told,) = doubts(plain, defenses=(torch.round, sly))
    assert "sly at input draws from a generator of the process" in told
    assert "round" not in told
