"""The ladder: attack every image on every rung, judge it afresh, write one record."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from .ladder import Evaluation as Evaluation
    from .ladder import evaluate as evaluate
    from .ladder import merge as merge

__all__ = ["Evaluation", "evaluate", "merge"]

__getattr__, __dir__ = lazy_names(
    __name__, {"Evaluation": ".ladder", "evaluate": ".ladder", "merge": ".ladder"}
)
