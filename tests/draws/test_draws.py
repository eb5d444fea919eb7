"""Random numbers belong to images: nothing about a batch changes them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advbench.draws.draws import Draws, philox


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        # Known answers of Random123, the authors' own implementation (kat_vectors, philox4x32 10).
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    words = philox([torch.tensor([word]) for word in counter], key)
    assert tuple(int(word) for word in words) == expected


@given(st.permutations(range(12)), st.integers(1, 12), st.sampled_from([(), (5,), (3, 4, 4)]))
def test_order_and_batch_size_change_no_draw(order: list[int], size: int, shape: tuple[int, ...]) -> None:
    whole = Draws(7, torch.arange(12)).stream("bpda").stream(0)
    for start in range(0, 12, size):
        rows = torch.tensor(order[start : start + size])
        part = Draws(7, rows).stream("bpda").stream(0)
        assert torch.equal(part.uniform(shape), whole.uniform(shape)[rows])
        assert torch.equal(part.normal(shape), whole.normal(shape)[rows])


def test_taking_some_images_keeps_their_streams() -> None:
    draws = Draws(0, torch.tensor([5, 9, 2]))
    keep = torch.tensor([True, False, True])
    assert torch.equal(draws.take(keep).uniform((4,)), draws.uniform((4,))[keep])


@pytest.mark.parametrize(
    "other",
    [
        Draws(1, torch.arange(3), "/a"),
        Draws(0, torch.arange(3) + 3, "/a"),
        Draws(0, torch.arange(3) + (1 << 32), "/a"),
        Draws(0, torch.arange(3), "/b"),
        Draws(0, torch.arange(3), "/a").stream(0),
    ],
)
def test_another_seed_image_or_stream_draws_other_numbers(other: Draws) -> None:
    assert not (Draws(0, torch.arange(3), "/a").uniform((64,)) == other.uniform((64,))).all(1).any()


def test_asking_again_gives_the_same_and_no_global_generator_moves() -> None:
    before = torch.get_rng_state()
    draws = Draws(3, torch.arange(4))
    assert torch.equal(draws.uniform((9,)), draws.uniform((9,)))
    assert torch.equal(draws.normal((9,)), draws.normal((9,)))
    assert torch.equal(before, torch.get_rng_state())


def test_draws_have_the_moments_of_their_distributions() -> None:
    draws = Draws(0, torch.arange(1000))
    uniform, normal = draws.uniform((257,)), draws.normal((257,))
    assert uniform.min() >= 0.0
    assert uniform.max() < 1.0
    torch.testing.assert_close(uniform.mean(), torch.tensor(0.5), rtol=0.0, atol=3e-3)
    torch.testing.assert_close(uniform.var(), torch.tensor(1 / 12), rtol=0.01, atol=0.0)
    torch.testing.assert_close(normal.mean(), torch.tensor(0.0), rtol=0.0, atol=0.01)
    torch.testing.assert_close(normal.std(), torch.tensor(1.0), rtol=0.01, atol=0.0)
    torch.testing.assert_close((normal**4).mean(), torch.tensor(3.0), rtol=0.05, atol=0.0)


def test_neighbouring_images_and_pixels_are_uncorrelated() -> None:
    uniform = Draws(0, torch.arange(400)).uniform((400,)) - 0.5
    for shifted in (uniform.roll(1, 0), uniform.roll(1, 1)):
        assert (uniform * shifted).mean().abs() < 3 / 12 / 400
