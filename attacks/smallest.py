"""What attacks for the smallest perturbation share: how iterates are ranked, and the search at the end."""

import torch
from torch import Tensor

from advbench.defended.attacked_as import showing
from advbench.defended.gradient import Model
from advbench.threat.judge import fooled, predict
from advbench.threat.losses import margin
from advbench.threat.threat import Threat

from .best import Best
from .images import Images

_HALVINGS = 10  # to a thousandth of the perturbation


def offer_smallest(
    best: Best, images: Images, x_adv: Tensor, logits: Tensor, threat: Threat, *, grad: Tensor | None = None
) -> Tensor:
    """Take the iterates that are smaller than what is there, and book their forward pass.

    An example that fits the threat ranks 2, another one 1, both by how small they are; what fools nobody
    ranks 0, by its margin.

    Args:
        best: what was found so far.
        images: the images, `(m, c, h, w)`.
        x_adv: iterates, `(m, c, h, w)`.
        logits: there, `(m, k)`.
        threat: the norm, and the radius that counts as fitting.
        grad: the gradients there, if that pass took them too.

    Returns:
        Which iterates are misclassified, `(m,)` bool.
    """
    fell = fooled(predict(logits), images.y)
    rank = fell.long() + (fell & threat.contains(x_adv, images.x)).long()
    loss = torch.where(fell, -threat.distance(x_adv, images.x), margin(logits, images.y))
    best.offer(images.rows, x_adv, rank, loss, grad)
    return fell


@torch.no_grad()
def search_back(model: Model, images: Images, threat: Threat, best: Best) -> None:
    """Bisect between each image and the perturbation that was found for it; the smaller end is kept.

    The last step of Croce, Hein 2020, "Minimally distorted adversarial examples", section 2.5. Differs from
    the paper, which interpolates three times: because plain halving needs no margins, and costs ten passes
    of hundreds.

    Args:
        model: pixels to logits.
        images: all of the batch, `(n, c, h, w)`.
        threat: the norm.
        best: what was found; takes what is found here.
    """
    images = images.take((best.rank > 0) & (best.rank < best.goal))
    if len(images.rows) == 0:
        return
    far, model = best.x_adv[images.rows], showing(model, images.rows)
    low, high = (torch.full(far.shape[:1], bound, device=far.device) for bound in (0.0, 1.0))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        x_adv = images.x + middle.view(-1, 1, 1, 1) * (far - images.x)
        fell = offer_smallest(best, images, x_adv, model(x_adv), threat)
        low, high = torch.where(fell, low, middle), torch.where(fell, middle, high)
