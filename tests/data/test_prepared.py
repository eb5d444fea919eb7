"""Images behind a model's own resize and crop."""

import torch
from torch.utils.data import TensorDataset

from advbench.data.batches import Named
from advbench.data.prepared import PreparedImages
from advbench.models.preparation import Preparation
from advbench.models.registry import PIXELS


def halved(x: torch.Tensor) -> torch.Tensor:
    return x[..., ::2, ::2]


def test_pictures_are_sized_and_keep_their_labels() -> None:
    made = Preparation(
        config={},
        defaults=(),
        normalization=PIXELS,
        flipped=False,
        size_bytes=halved,
        size=halved,
        whole=halved,
    )
    x = torch.randint(0, 256, (2, 3, 6, 4), generator=torch.Generator().manual_seed(0)).float() / 255
    images = PreparedImages(images=TensorDataset(x, torch.tensor([4, 7])), preparation=made)
    assert len(images) == 2
    resized, label = images[1]
    assert int(label) == 7
    assert torch.allclose(resized, x[1, :, ::2, ::2])
    assert isinstance(images, Named)
    assert images.name_of(0) == ""
