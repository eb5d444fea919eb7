"""Reports: records in, text out. Nothing here sees a model, so any table can be redrawn without one."""

from typing import TYPE_CHECKING

from advbench.lazy import lazy_names

if TYPE_CHECKING:
    from .formats import markdown as markdown
    from .formats import render as render
    from .frame import table_frame as table_frame
    from .terminal import print_table as print_table
    from .training import print_training as print_training

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "markdown": ".formats",
        "render": ".formats",
        "table_frame": ".frame",
        "print_table": ".terminal",
        "print_training": ".training",
    },
)
