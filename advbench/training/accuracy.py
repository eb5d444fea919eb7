"""Which images a model classifies correctly."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from advbench.data.batches import Batch, Images, batches
from advbench.defended.left_as_found import prepared
from advbench.threat.judge import predict

_AT_A_TIME = 256


def correct(
    model: nn.Module,
    images: Images,
    indices: Sequence[int],
    device: torch.device,
    view: Callable[[Batch], Tensor] = lambda batch: batch.x,
) -> Tensor:
    """Which images a model classifies correctly in evaluation mode, `(n,)` bool.

    Args:
        model: is left as it was found.
        images: the data set.
        indices: its images that are looked at.
        device: where the model is.
        view: what the model sees of a batch.
    """

    def right(batch: Batch) -> Tensor:
        return predict(model(view(batch).to(device))).cpu() == batch.y

    with prepared(model), torch.no_grad():
        masks = [right(batch) for batch in batches(images, indices, _AT_A_TIME)]
    return torch.cat([torch.zeros(0, dtype=torch.bool), *masks])
