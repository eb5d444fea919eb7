"""Networks that adapt at test time, for tests: small, and of the kinds that papers have."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_seen: list[int] = []


class BatchNormed(nn.Module):
    """A network of digits whose layer takes its statistics from the batch, and learns them on the way."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.norm, self.head = nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.body(x.flatten(1))).relu())
        return logits


class Plain(nn.Module):
    """A network of digits that adapts to nothing."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x.flatten(1)).relu())
        return logits


class Entropy(nn.Module):
    """TENT's way: steps of an optimiser on the entropy, with the logits of before the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.model = BatchNormed().requires_grad_(False)
        self.model.norm.requires_grad_(True)
        self.optimizer = torch.optim.Adam(self.model.norm.parameters(), lr=0.05)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()
        entropy.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad()
        return logits


class AntiAdversary(nn.Module):
    """A layer that moves images towards the class that they seem to have."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Plain()

    def forward(self, x: Tensor) -> Tensor:
        label = self.network(x).argmax(1).detach()
        moved = x.detach().clone().requires_grad_()
        loss = F.cross_entropy(self.network(moved), label, reduction="sum")
        (grad,) = torch.autograd.grad(loss, moved)
        logits: Tensor = self.network(x - 0.1 * grad.sign())
        return logits


class Counting(Plain):
    """Remembers how many images it has seen where no copy of it can forget."""

    def forward(self, x: Tensor) -> Tensor:
        _seen.append(len(x))
        return super().forward(x) + float(sum(_seen))


class Reaching(Plain):
    """Changes a network that it closes over, and not itself."""

    def __init__(self) -> None:
        super().__init__()
        weight = self.head.weight
        self.change: Any = lambda: weight.data.mul_(1.01)

    def forward(self, x: Tensor) -> Tensor:
        self.change()
        return super().forward(x)
