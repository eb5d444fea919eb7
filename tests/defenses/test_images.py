"""What defenses of images share: a batch of another form is refused by name, half precision is widened."""

import pytest
import torch

from advbench.defenses.images import check_images, widened
from advbench.errors import DefenseError


@pytest.mark.parametrize("shape", [(), (4,), (2, 10), (3, 8, 8), (2, 3, 4, 8, 8)])
def test_what_is_no_batch_of_images_is_refused_by_its_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(DefenseError) as refused:
        check_images(torch.zeros(shape), "median")
    assert str(refused.value).startswith(f"median needs images of shape (n, c, h, w), got {shape};")


@pytest.mark.parametrize("shape", [(0, 1, 1, 1), (2, 3, 8, 8)])
def test_any_batch_of_images_is_taken(shape: tuple[int, ...]) -> None:
    check_images(torch.zeros(shape), "median")


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_sums_are_made_in_float32_at_least(given: torch.dtype, computed: torch.dtype) -> None:
    x = torch.tensor([0.1, 1.0, 3.0]).to(given)
    assert widened(x).dtype == computed
    assert torch.equal(widened(x).to(given), x), "the same numbers"
