"""`--episodic` and `--stream` by real runs: the same however they are run, verified, and refused."""

import copy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

import advbench
from advbench.errors import InputError, ModelError, SpecError
from tests.adapting import AntiAdversary, BatchNormed, Counting, Entropy, Plain, Reaching

SMALL: dict[str, Any] = {"limit": 20, "data": "digits", "eps": "0.2", "normalization": "none"}
ATTACKS: dict[str, Any] = {
    "steps": 2,
    "gradient_free": "square:queries=3",
    "rungs": "static,bpda,gradient_free",
}


def trained(kind: type[nn.Module]) -> nn.Module:
    """A network of digits that is right about most of them, with a head fitted to a few hundred."""
    network = kind()
    inner: Any = next((module for module in network.children() if hasattr(module, "head")), network)
    data = advbench.load_data("digits")
    x, y = (torch.stack([torch.as_tensor(data[i][k]) for i in range(300)]) for k in (0, 1))
    inner.train()
    optimizer = torch.optim.Adam([*inner.body.parameters(), *inner.head.parameters()], lr=0.01)
    for parameter in inner.parameters():
        parameter.requires_grad_(True)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(inner(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    if kind is Entropy:
        network.zero_grad()
        inner.requires_grad_(False)
        inner.norm.requires_grad_(True)
    return network


@pytest.mark.parametrize(
    ("kind", "protocol"),
    [(BatchNormed, "episodic"), (Entropy, "stream"), (AntiAdversary, "episodic"), (Entropy, "episodic")],
)
def test_a_run_does_not_depend_on_how_it_is_run_and_is_verified(
    kind: type[nn.Module], protocol: str, tmp_path: Path
) -> None:
    network, word = trained(kind), dict[str, Any]({protocol: "8"})
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    run = advbench.run(
        model={"net": network}, out=tmp_path / "run", save_adversarial=True, **word, **SMALL, **ATTACKS
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    other = advbench.run(
        model={"net": network}, out=tmp_path / "other", batch_size=3, **word, **SMALL, **ATTACKS
    )
    row = f"{protocol}:batch=8"
    one, two = (part.samples[part.samples["defense"] == row] for part in (run, other))
    pd.testing.assert_frame_equal(one, two)
    assert run.manifest["settings"]["defenses"][row][0]["protocol"] == protocol
    assert any(note.startswith(f"{protocol}: ") for note in run.rows[1].notes)
    rates = run.rows[1].rates
    assert rates["clean"].count >= 15
    assert rates["bpda"].count < rates["clean"].count
    checks = advbench.verify(run.path, model={"net": network})
    assert all(check.holds for check in checks), [check for check in checks if not check.holds]


def test_a_tampered_example_is_found_in_its_batch(tmp_path: Path) -> None:
    run = advbench.run(episodic="8", out=tmp_path / "run", save_adversarial=True, steps=2, limit=16)
    samples = run.samples
    cell = samples["defense"].eq("episodic:batch=8") & samples["rung"].eq("shattered")
    fallen = samples[cell & ~samples["robust"]]
    assert len(fallen) > 0
    from advbench.evaluation.judge_again import Evidence, recheck  # noqa: PLC0415
    from advbench.jobs.build_subject import load_subject  # noqa: PLC0415
    from advbench.jobs.ranks import Ranks  # noqa: PLC0415
    from advbench.jobs.settings.run import RunSettings  # noqa: PLC0415
    from advbench.runs.examples import read_examples  # noqa: PLC0415

    subject = load_subject(RunSettings(episodic="8", limit=16).subject, Ranks())
    heading = run.records.heading
    evidence = Evidence(
        model=subject.classifier.model,
        dataset=subject.images,
        chains={"none": (), **subject.defenses.objects},
        threat=subject.threat,
        heading=heading,
        samples=samples,
        kept="all",
        batch_size=16,
        seed=0,
        judge_draws=1,
        order=subject.indices,
    )
    examples = [read_examples(path) for path in sorted((run.path / "adversarial").glob("*.safetensors"))]
    assert not any(finding.faults for finding in recheck(evidence, examples))
    clean = [part._replace(x_adv=torch.zeros_like(part.x_adv)) for part in examples]
    faults = [finding for finding in recheck(evidence, clean) if finding.faults]
    assert {finding.cell.defense for finding in faults} == {"none", "episodic:batch=8"}


def test_one_image_is_attacked_in_a_clean_batch(tmp_path: Path) -> None:
    run = advbench.run(
        stream="batch=8,attacked=one",
        out=tmp_path / "run",
        save_adversarial=True,
        steps=1,
        limit=12,
    )
    checks = advbench.verify(run.path)
    assert all(check.holds for check in checks), [check for check in checks if not check.holds]
    assert any("(inductive)" in note for note in run.rows[1].notes)


@pytest.mark.parametrize(
    ("kind", "told"), [(Counting, "from the same state|same batch finds it"), (Reaching, "for good")]
)
def test_a_model_that_changes_for_good_is_refused(kind: type[nn.Module], told: str, tmp_path: Path) -> None:
    network = kind()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ModelError, match=told):
        advbench.run(model={"net": network}, episodic="8", out=tmp_path / "run", steps=1, **SMALL)
    assert not (tmp_path / "run").exists()
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"random_model": True}, "do not go together with --random-model|random_model"),
        ({"defenses": ["jpeg+stream:batch=4"]}, "without another defense before it"),
        ({"episodic": "0"}, "needs the number of images in a batch"),
    ],
)
def test_bad_input_is_a_line(given: dict[str, Any], told: str, tmp_path: Path) -> None:
    words = {"episodic": "8", **given}
    with pytest.raises((SpecError, InputError), match=told):
        advbench.run(model={"net": Plain()}, out=tmp_path / "run", steps=1, **SMALL, **words)
    assert not (tmp_path / "run").exists()
