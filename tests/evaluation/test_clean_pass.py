"""The clean images: what is remembered of them, and that they stay the same."""

import pytest
import torch

from advbench.data.batches import read_batch
from advbench.errors import InputError
from advbench.evaluation.clean_pass import check_unchanged, clean_pass, fingerprint, image_digests
from tests.evaluation.models import plan_of


def test_clean_images_are_judged_behind_every_defense_and_must_stay_as_they_are() -> None:
    plan = plan_of({"half": lambda x: x / 2.0})
    clean = clean_pass(plan, range(4), {})
    assert clean.samples["none"]["robust"].tolist() == [True] * 4
    assert clean.samples["half"]["robust"].tolist() == [True, True, False, False]
    batch = read_batch(plan.dataset, [0, 2])
    check_unchanged(clean, batch)
    with pytest.raises(InputError, match="gives other images when read again"):
        check_unchanged(clean, batch._replace(x=batch.x + 0.1))


def test_the_order_of_images_does_not_matter_to_their_fingerprint() -> None:
    plan = plan_of()
    forward, back = (image_digests(read_batch(plan.dataset, order)) for order in ([0, 1], [1, 0]))
    assert fingerprint(forward) == fingerprint(back)
    assert fingerprint(forward) != fingerprint({0: forward[0]})
    assert torch.is_tensor(read_batch(plan.dataset, [0]).x)
