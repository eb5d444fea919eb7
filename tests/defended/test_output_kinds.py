"""Numbers that are no logits: what they are taken for, and that a wrong guess does not pass in silence."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from advbench.defended.gradient import loss_and_gradient
from advbench.defended.logits import logits_alone
from advbench.defended.model import network_of
from advbench.defended.output_kinds import Kind, ReadAs, kind_of
from advbench.errors import ModelError
from advbench.threat.losses import cross_entropy

X = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
Z = torch.tensor([[3.0, -1.0, 0.5], [0.0, 2.0, 1.0]])


class Behind(nn.Module):
    """Logits `gain * W x` of three classes, or less of them."""

    def __init__(self, head: Callable[[Tensor], Tensor], gain: float = 1.0) -> None:
        super().__init__()
        self.head = head
        generator = torch.Generator().manual_seed(2)
        self.weight = nn.Parameter(gain * torch.randn(3, 4, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1) @ self.weight.T)


KINDS: dict[str, tuple[Tensor, Kind | None]] = {
    "logits": (Z, None),
    "probabilities": (Z.softmax(1), "probabilities"),
    "in 16 bits": (Z.softmax(1).half(), "probabilities"),
    "log-probabilities": (Z.log_softmax(1), None),
    "one logit": (Z[:, :1], "logit"),
    "a flat logit": (Z[:, 1], "logit"),
    "one probability": (Z[:, :1].sigmoid(), "probability"),
    "scores in [0, 1]": (Z.sigmoid(), None),
    "labels": (Z.argmax(1), None),
    "one-hot labels": (nn.functional.one_hot(Z.argmax(1), 3).float(), None),
    "NaN": (Z * torch.nan, None),
    "a picture": (Z[:, :, None].sigmoid(), None),
    "an image too few": (Z[:1, :1], None),
}


@pytest.mark.parametrize(("output", "kind"), KINDS.values(), ids=KINDS.keys())
def test_numbers_show_what_they_are(output: Tensor, kind: Kind | None) -> None:
    assert kind_of(output, 2) == kind


def test_one_number_decides_as_its_sign_or_its_half_says() -> None:
    for head, kind in ((lambda z: z[:, 0], "logit"), (lambda z: z[:, :1].sigmoid(), "probability")):
        network = Behind(head, gain=3.0)
        model, (word,) = logits_alone(network, X[:1], lambda: X)
        assert isinstance(model, ReadAs)
        assert model.kind == kind
        assert network_of(model) is network
        assert "one number an image" in word
        z = Behind(lambda z: z[:, 0], gain=3.0)(X)
        torch.testing.assert_close(model(X).softmax(1)[:, 1], z.sigmoid())
        assert torch.equal(model(X).argmax(1), (z > 0.0).long())


def test_attacks_on_saturated_probabilities_follow_the_gradient_of_the_logits() -> None:
    """Of the cross-entropy of logits it is `p_j`, and `-sum p_j` for the label, times the weights."""
    network = Behind(lambda z: z.softmax(1), gain=60.0)
    model, (word,) = logits_alone(network, X[:1], lambda: X)
    assert "probabilities: attacks and records see their logarithms" in word
    assert torch.equal(model(X).argmax(1), network(X).argmax(1))
    with torch.no_grad():
        weight = network.weight.double()
        p = (X.double().flatten(1) @ weight.T).softmax(1)
    y = p.argmax(1)
    sure = p.gather(1, y[:, None])[:, 0] > 1.0 - 1e-7
    others = p.scatter(1, y[:, None], 0.0)
    slopes = others.scatter(1, y[:, None], -others.sum(1, keepdim=True))
    expected = (slopes @ weight).reshape_as(X).float()[sure]
    led, plain = (
        loss_and_gradient(seen, X, lambda z, rows: cross_entropy(z, y[rows])).grad[sure]
        for seen in (model, network)
    )
    assert len(led) == 4
    torch.testing.assert_close(led, expected, rtol=1e-3, atol=0.0)
    assert not torch.equal(plain.sign(), expected.sign()), "the softmax of probabilities has lost it"


@pytest.mark.parametrize("head", [lambda z: z[:, :1], lambda z: torch.cat([z[:, :1], 1.0 - z[:, :1]], 1)])
def test_scores_that_were_taken_for_probabilities_are_refused_where_they_leave_0_to_1(
    head: Callable[[Tensor], Tensor],
) -> None:
    network = Behind(head)
    network.weight.data = torch.full((3, 4), 0.2)
    model, _ = logits_alone(network, X[:1], lambda: X)
    assert bool(model(X).isfinite().all())
    with pytest.raises(ModelError, match="now one does not: they are scores"):
        model(X + 5.0)


def test_in_python_numbers_are_left_as_they_are() -> None:
    network = Behind(lambda z: z.softmax(1))
    assert logits_alone(network, X) == (network, ())
