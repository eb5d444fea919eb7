"""The same attack as each library offers it, called as its documentation shows.

Every library is handed the network in evaluation mode, as a user hands it: that its parameters need no
gradients is for the library to know. Images come from the CPU and go back to it.
"""

import contextlib
import copy
import importlib
import importlib.metadata
import importlib.util
import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import advbench
from advbench import Attack, Hooks, evaluate
from advbench.attacks import APGD, PGD, Square, autoattack
from advbench.evaluation.attack_batch import RungDone
from benchmarks.peer_points import AttackName, Case, Work
from benchmarks.peer_table import ADVBENCH, LIMIT

Batch = int | Literal["auto"]
SIZES: tuple[Batch, ...] = (32, 64, 128, 256)


class Job(NamedTuple):
    """A work on a case, at one batch size."""

    case: Case
    work: Work
    batch: Batch
    seed: int

    def in_parts(self, perturb: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """What `perturb` makes of the images, a batch at a time, `(n, c, h, w)`."""
        assert isinstance(self.batch, int)
        parts = zip(torch.split(self.case.x, self.batch), torch.split(self.case.y, self.batch), strict=True)
        device = self.case.device
        return torch.cat([perturb(x.to(device), y.to(device)).detach().cpu() for x, y in parts])


Runner = Callable[[Job], Tensor | None]


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Somebody who can run some of the attacks.

    Args:
        name: in the table.
        runners: what runs each attack.
        module: that must be importable; empty where nothing must.
        distribution: what it is installed as, which tells its version.
        without: why an attack is not among the runners, where there is more to say than that it is not.
        sizes: batch sizes to choose from.
    """

    name: str
    runners: Mapping[AttackName, Runner]
    module: str = ""
    distribution: str = ""
    without: Mapping[AttackName, str] | None = None
    sizes: tuple[Batch, ...] = SIZES

    def absence(self, attack: AttackName) -> str:
        """Why it does not take part; nothing where it does."""
        if self.module and importlib.util.find_spec(self.module) is None:
            return "not installed"
        if attack not in self.runners:
            return (self.without or {}).get(attack, "has no such attack")
        return ""

    @property
    def version(self) -> str:
        """Its version; nothing where it has none."""
        if self.module == advbench.__name__:
            return advbench.__version__
        with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError):
            return importlib.metadata.version(self.distribution)
        return ""


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The generators of the process that libraries draw from, and none of their words."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # what ART draws from
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _ours(attack: Callable[[Work], Attack]) -> Runner:
    def run(job: Job) -> Tensor:
        x_adv = job.case.x.clone()

        def keep(done: RungDone) -> None:
            if done.x_adv is not None:
                x_adv[torch.tensor(done.samples["index"].to_numpy())] = done.x_adv.cpu()

        evaluate(
            job.case.model,
            TensorDataset(job.case.x, job.case.y),
            threat=job.work.threat,
            attacks={job.work.attack: attack(job.work)},
            rungs=(),
            seed=job.seed,
            batch_size=job.batch,
            observer=Hooks(keep=keep),
        )
        return x_adv

    return run


OURS: Mapping[AttackName, Runner] = {
    "pgd": _ours(lambda work: PGD(steps=work.steps, step_size=work.step_size)),
    "apgd": _ours(lambda work: APGD(steps=work.steps)),
    "square": _ours(lambda work: Square(queries=work.steps)),
    "autoattack": _ours(lambda work: autoattack(steps=work.steps, queries=work.queries)),
}


def _torchattacks(job: Job) -> Tensor:
    module: Any = importlib.import_module("torchattacks")
    work, model, eps = job.work, job.case.model, job.work.threat.eps
    ascent = {"eps": eps, "steps": work.steps, "seed": job.seed}
    square = {"eps": eps, "n_queries": work.queries, "seed": job.seed}
    match work.attack:
        case "pgd":
            attack = module.PGD(model, eps=eps, alpha=work.step_size, steps=work.steps)
        case "apgd":
            attack = module.APGD(model, **ascent)
        case "square":
            attack = module.Square(model, **square)
        case "autoattack":  # its own takes 10 steps where the protocol says 100
            classes = int(model(job.case.x[:1].to(job.case.device)).shape[1])
            many = {"n_classes": classes, **ascent}
            attack = module.MultiAttack(
                [
                    module.APGD(model, **ascent),
                    module.APGDT(model, **many),
                    module.FAB(model, multi_targeted=True, **many),
                    module.Square(model, **square),
                ]
            )
    return job.in_parts(attack)


def _foolbox(job: Job) -> Tensor:
    module: Any = importlib.import_module("foolbox")
    network = module.PyTorchModel(job.case.model, bounds=(0, 1), device=job.case.device)
    attack = module.attacks.LinfPGD(steps=job.work.steps, abs_stepsize=job.work.step_size)

    def perturb(x: Tensor, y: Tensor) -> Tensor:
        _, clipped, _ = attack(network, x, y, epsilons=job.work.threat.eps)
        return clipped  # type: ignore[no-any-return]  # no types here

    return job.in_parts(perturb)


def _art(job: Job) -> Tensor:
    evasion: Any = importlib.import_module("art.attacks.evasion")
    estimators: Any = importlib.import_module("art.estimators.classification")
    case, work, eps = job.case, job.work, job.work.threat.eps
    classifier = estimators.PyTorchClassifier(
        model=case.model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(case.x.shape[1:]),
        nb_classes=int(case.model(case.x[:1].to(case.device)).shape[1]),
        clip_values=(0.0, 1.0),
        device_type="gpu" if case.device.type == "cuda" else "cpu",
    )
    given: dict[str, Any] = {"norm": math.inf, "eps": eps, "batch_size": job.batch, "verbose": False}
    match work.attack:
        case "pgd":
            kind = evasion.ProjectedGradientDescent
            given |= {"eps_step": work.step_size, "num_random_init": 1}
        case "apgd":
            kind = evasion.AutoProjectedGradientDescent
            given |= {"eps_step": 2 * eps, "nb_random_init": 1}
        case _:
            kind = evasion.SquareAttack
    attack = kind(classifier, max_iter=work.steps, **given)
    return torch.from_numpy(attack.generate(x=case.x.numpy(), y=case.y.numpy()))


def _autoattack(job: Job) -> Tensor:
    module: Any = importlib.import_module("autoattack")
    work, case = job.work, job.case
    parts = {"apgd": ["apgd-ce"], "square": ["square"]}.get(work.attack, [])
    attack = module.AutoAttack(
        case.model,
        norm="Linf",
        eps=work.threat.eps,
        seed=job.seed,
        verbose=False,
        attacks_to_run=parts,
        version="custom" if parts else "standard",
        device=case.device,
    )
    attack.apgd.n_restarts = 1
    for leg in (attack.apgd, attack.apgd_targeted, attack.fab):
        leg.n_iter = work.steps
    attack.square.n_queries = work.queries
    x_adv: Tensor = attack.run_standard_evaluation(case.x, case.y, bs=job.batch)
    return x_adv


def _ascents(job: Job) -> None:
    """As many forward and input-only backward passes of the frozen network as there are steps."""
    frozen = copy.deepcopy(job.case.model).requires_grad_(False)

    def bare(x: Tensor, y: Tensor) -> Tensor:
        for _ in range(job.work.steps):
            point = x.detach().requires_grad_()
            torch.autograd.grad(F.cross_entropy(frozen(point), y, reduction="sum"), point)
        return x

    job.in_parts(bare)


@torch.no_grad()
def _queries(job: Job) -> None:
    """As many forward passes as there are queries."""

    def bare(x: Tensor, _: Tensor) -> Tensor:
        for _query in range(job.work.queries):
            job.case.model(x)
        return x

    job.in_parts(bare)


CONTESTANTS = (
    Contestant(
        name=LIMIT,
        runners={"pgd": _ascents, "apgd": _ascents, "square": _queries},
        without={"autoattack": "not known beforehand"},
    ),
    Contestant(name=ADVBENCH, runners=OURS, module="advbench"),
    Contestant(
        name=f"{ADVBENCH}, batch size auto",
        runners=OURS,
        module="advbench",
        sizes=("auto",),
    ),
    Contestant(
        name="torchattacks",
        runners=dict.fromkeys(("pgd", "apgd", "square", "autoattack"), _torchattacks),
        module="torchattacks",
        distribution="torchattacks",
    ),
    Contestant(name="foolbox", runners={"pgd": _foolbox}, module="foolbox", distribution="foolbox"),
    Contestant(
        name="ART",
        runners=dict.fromkeys(("pgd", "apgd", "square"), _art),
        module="art",
        distribution="adversarial-robustness-toolbox",
        without={"autoattack": "its AutoAttack is another ensemble"},
    ),
    Contestant(
        name="AutoAttack",
        runners=dict.fromkeys(("apgd", "square", "autoattack"), _autoattack),
        module="autoattack",
        distribution="autoattack",
    ),
)
