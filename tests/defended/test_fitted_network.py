"""A file of a fitted network is read as the kind that it says it is."""

import torch

from advbench.defended.distilled import Distilled
from advbench.defended.fitted_network import Fitted
from advbench.defended.learned import Imitation, pack_network, read_fitted, read_network
from advbench.defended.learned_head import HeadImitation

CPU = torch.device("cpu")


def test_each_kind_has_a_name_of_its_own() -> None:
    kinds: list[type[Fitted]] = [Imitation, HeadImitation, Distilled]
    assert len({kind.kind for kind in kinds}) == len(kinds)


def test_a_network_is_read_as_what_its_file_says() -> None:
    head, whole = HeadImitation((3,), (2,)), Distilled((1, 8, 8), (10,))
    assert type(read_network(pack_network(head, {}), CPU)) is HeadImitation
    assert type(read_fitted(pack_network(whole, {}), CPU, Distilled)) is Distilled
    assert read_fitted(pack_network(head, {}), CPU, Distilled) is None
    assert read_network(pack_network(whole, {}), CPU) is None
