"""Is it robust, or is only its gradient hidden? Attacks on image classifiers behind defenses, with BPDA."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from advbench.apart import APART as APART
    from advbench.backward import BPDA as BPDA
    from advbench.backward import bpda as bpda
    from advbench.backward import identity as identity
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
    from advbench.jobs.finetune import finetune as finetune
    from advbench.jobs.report import report as report
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
    "Threat",
    "bpda",
    "evaluate",
    "finetune",
    "identity",
    "merge",
    "numpy_defense",
    "pil_defense",
    "read_examples",
    "report",
    "verify",
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
        "Threat": ".threat",
        "bpda": ".backward",
        "evaluate": ".evaluation",
        "finetune": ".jobs.finetune",
        "identity": ".backward",
        "merge": ".evaluation",
        "numpy_defense": ".plugins",
        "pil_defense": ".plugins",
        "read_examples": ".examples",
        "report": ".jobs.report",
        "verify": ".jobs.verify",
    },
)
