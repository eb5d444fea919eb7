"""Is it robust, or is only its gradient hidden? Attacks on image classifiers behind defenses, with BPDA."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from advbench.apart import APART as APART
    from advbench.backward import BPDA as BPDA
    from advbench.backward import bpda as bpda
    from advbench.backward import identity as identity
    from advbench.cli.bar import watched as watched
    from advbench.defended import DefendedModel as DefendedModel
    from advbench.defended import Placement as Placement
    from advbench.draws import Draws as Draws
    from advbench.errors import AdvbenchError as AdvbenchError
    from advbench.evaluation import Evaluation as Evaluation
    from advbench.evaluation import evaluate as evaluate
    from advbench.evaluation import merge as merge
    from advbench.examples import Examples as Examples
    from advbench.examples import read_examples as read_examples
    from advbench.interfaces import Attack as Attack
    from advbench.interfaces import Attempt as Attempt
    from advbench.jobs.calls import curve as curve
    from advbench.jobs.calls import run as run
    from advbench.jobs.calls import sweep as sweep
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
    from advbench.normalized import Normalized as Normalized
    from advbench.plugins import numpy_defense as numpy_defense
    from advbench.plugins import pil_defense as pil_defense
    from advbench.threat import Threat as Threat

__version__ = "0.1.0"

__all__ = [
    "APART",
    "BPDA",
    "AdvbenchError",
    "Attack",
    "Attempt",
    "DefendedModel",
    "Draws",
    "Evaluation",
    "Examples",
    "Normalized",
    "Placement",
    "Run",
    "Sweep",
    "Threat",
    "attack",
    "bpda",
    "curve",
    "defense",
    "evaluate",
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
    "sweep",
    "verify",
    "watched",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "APART": ".apart",
        "AdvbenchError": ".errors",
        "Attack": ".interfaces",
        "Attempt": ".interfaces",
        "BPDA": ".backward",
        "DefendedModel": ".defended",
        "Draws": ".draws",
        "Evaluation": ".evaluation",
        "Examples": ".examples",
        "Normalized": ".normalized",
        "Placement": ".defended",
        "Run": ".jobs.finished",
        "Sweep": ".jobs.sweep.finished",
        "Threat": ".threat",
        "attack": ".jobs.named",
        "bpda": ".backward",
        "curve": ".jobs.calls",
        "defense": ".jobs.named",
        "evaluate": ".evaluation",
        "finetune": ".jobs.finetune",
        "identity": ".backward",
        "load_data": ".jobs.named",
        "load_model": ".jobs.named",
        "merge": ".evaluation",
        "numpy_defense": ".plugins",
        "open_run": ".jobs.finished",
        "pil_defense": ".plugins",
        "read_examples": ".examples",
        "report": ".jobs.report",
        "run": ".jobs.calls",
        "sweep": ".jobs.calls",
        "verify": ".jobs.verify",
        "watched": ".cli.bar",
    },
)
