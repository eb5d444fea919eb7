"""The options that `attack` and `finetune` share: what they work on, and where and how they speak."""

from pathlib import Path
from typing import Annotated

import typer

from advbench.cli import complete
from advbench.cli.options import NormalizationWord

MODEL = "Model"
DATA = "Data"
OUTPUT = "Output"

Model = Annotated[
    str | None,
    typer.Option(
        help="NAME, package.module:factory or file.py:factory.",
        rich_help_panel=MODEL,
        autocompletion=complete.complete_model,
        show_default="digits-cnn",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Which of several networks in the checkpoint: model_ema, state_dict.0, module.teacher.",
        rich_help_panel=MODEL,
        show_default="the first that fits",
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        help="Normalisation inside the model, a number a channel: a,b,c.",
        rich_help_panel=MODEL,
        show_default="what the weights need, if one wins clearly",
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        help="As --mean; --mean 0 --std 1 for none.", rich_help_panel=MODEL, show_default="likewise"
    ),
]
Normalization = Annotated[
    NormalizationWord | None,
    typer.Option(
        help="The same by name: none (pixels in [0, 1]), the data set's usual constants, half (0.5 and 0.5), "
        "ImageNet's, or 255 (pixels from 0 to 255).",
        rich_help_panel=MODEL,
        show_default="likewise",
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        help="The classes in the order of the model's outputs: a file with one name a line, or 'index name'.",
        rich_help_panel=DATA,
        show_default="the data set's order",
    ),
]
ClassIndex = Annotated[
    Path | None,
    typer.Option(
        help="Likewise, ImageNet's JSON of synsets: imagenet_class_index.json.",
        rich_help_panel=DATA,
        show_default="likewise",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="Data set to take images from.",
        rich_help_panel=DATA,
        autocompletion=complete.complete_dataset,
        show_default="digits",
    ),
]
DataRoot = Annotated[Path, typer.Option(help="Folder that holds it.", rich_help_panel=DATA)]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch it if it is missing.", rich_help_panel=DATA)
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Resize and centre-crop images to this side.",
        rich_help_panel=DATA,
        show_default="as they are",
    ),
]
Channels = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Read pictures in 1 (grey) or 3 (RGB).",
        rich_help_panel=DATA,
        show_default="3, or 1 where they are grey and the network takes 1",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=OUTPUT)]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace another run in --out.", rich_help_panel=OUTPUT)
]
Json = Annotated[bool, typer.Option("--json", help="Print the table's rows as JSON.", rich_help_panel=OUTPUT)]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print the table and nothing else.", rich_help_panel=OUTPUT)
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show a traceback if something fails.", rich_help_panel=OUTPUT)
]
