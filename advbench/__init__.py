"""Is it robust, or is only its gradient hidden? Attacks on image classifiers behind defenses, with BPDA."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names
from advbench.version import VERSION

if TYPE_CHECKING:
    from advbench.cli.bar import watched as watched
    from advbench.defended.backward import BPDA as BPDA
    from advbench.defended.backward import bpda as bpda
    from advbench.defended.backward import identity as identity
    from advbench.defended.detector import Detector as Detector
    from advbench.defended.features import features as features
    from advbench.defended.head import Head as Head
    from advbench.defended.members import Heads as Heads
    from advbench.defended.members import Members as Members
    from advbench.defended.model import DefendedModel as DefendedModel
    from advbench.defended.model import Placement as Placement
    from advbench.defended.normalized import Normalized as Normalized
    from advbench.defended.own_functions import numpy_defense as numpy_defense
    from advbench.defended.own_functions import pil_defense as pil_defense
    from advbench.defended.random_model import RandomModel as RandomModel
    from advbench.defended.smoothed import smoothed as smoothed
    from advbench.defended.surrogate import StandIns as StandIns
    from advbench.defended.surrogate import Surrogate as Surrogate
    from advbench.draws.draws import Draws as Draws
    from advbench.errors import AdvbenchError as AdvbenchError
    from advbench.evaluation.ladder import Evaluation as Evaluation
    from advbench.evaluation.ladder import evaluate as evaluate
    from advbench.evaluation.ladder import merge as merge
    from advbench.evaluation.observer import Hooks as Hooks
    from advbench.evaluation.observer import Observer as Observer
    from advbench.jobs.calls import curve as curve
    from advbench.jobs.calls import run as run
    from advbench.jobs.calls import sweep as sweep
    from advbench.jobs.export import export as export
    from advbench.jobs.finetune import finetune as finetune
    from advbench.jobs.finished import Run as Run
    from advbench.jobs.finished import open_run as open_run
    from advbench.jobs.named import attack as attack
    from advbench.jobs.named import defense as defense
    from advbench.jobs.named import load_data as load_data
    from advbench.jobs.named import load_model as load_model
    from advbench.jobs.report import report as report
    from advbench.jobs.sweep.finished import Sweep as Sweep
    from advbench.jobs.verify import verify as verify
    from advbench.results.judging import Judge as Judge
    from advbench.runs.examples import Examples as Examples
    from advbench.runs.examples import read_examples as read_examples
    from advbench.speed.working_copy import Copies as Copies
    from advbench.threat.attack import Attack as Attack
    from advbench.threat.attack import Attempt as Attempt
    from advbench.threat.threat import Threat as Threat
    from advbench.training.apart import APART as APART

__version__ = VERSION

__all__ = [
    "APART",
    "BPDA",
    "AdvbenchError",
    "Attack",
    "Attempt",
    "Copies",
    "DefendedModel",
    "Detector",
    "Draws",
    "Evaluation",
    "Examples",
    "Head",
    "Heads",
    "Hooks",
    "Judge",
    "Members",
    "Normalized",
    "Observer",
    "Placement",
    "RandomModel",
    "Run",
    "StandIns",
    "Surrogate",
    "Sweep",
    "Threat",
    "attack",
    "bpda",
    "curve",
    "defense",
    "evaluate",
    "export",
    "features",
    "finetune",
    "identity",
    "load_data",
    "load_model",
    "merge",
    "numpy_defense",
    "open_run",
    "pil_defense",
    "read_examples",
    "report",
    "run",
    "smoothed",
    "sweep",
    "verify",
    "watched",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "APART": ".training.apart",
        "AdvbenchError": ".errors",
        "Attack": ".threat.attack",
        "Attempt": ".threat.attack",
        "BPDA": ".defended.backward",
        "Copies": ".speed.working_copy",
        "DefendedModel": ".defended.model",
        "Detector": ".defended.detector",
        "Draws": ".draws.draws",
        "Evaluation": ".evaluation.ladder",
        "Examples": ".runs.examples",
        "Head": ".defended.head",
        "Heads": ".defended.members",
        "Hooks": ".evaluation.observer",
        "Judge": ".results.judging",
        "Members": ".defended.members",
        "Normalized": ".defended.normalized",
        "Observer": ".evaluation.observer",
        "Placement": ".defended.model",
        "RandomModel": ".defended.random_model",
        "Run": ".jobs.finished",
        "StandIns": ".defended.surrogate",
        "Surrogate": ".defended.surrogate",
        "Sweep": ".jobs.sweep.finished",
        "Threat": ".threat.threat",
        "attack": ".jobs.named",
        "bpda": ".defended.backward",
        "curve": ".jobs.calls",
        "defense": ".jobs.named",
        "evaluate": ".evaluation.ladder",
        "export": ".jobs.export",
        "features": ".defended.features",
        "finetune": ".jobs.finetune",
        "identity": ".defended.backward",
        "load_data": ".jobs.named",
        "load_model": ".jobs.named",
        "merge": ".evaluation.ladder",
        "numpy_defense": ".defended.own_functions",
        "open_run": ".jobs.finished",
        "pil_defense": ".defended.own_functions",
        "read_examples": ".runs.examples",
        "report": ".jobs.report",
        "run": ".jobs.calls",
        "smoothed": ".defended.smoothed",
        "sweep": ".jobs.calls",
        "verify": ".jobs.verify",
        "watched": ".cli.bar",
    },
)
