"""Options that several jobs have: what they work on, where they write, and how they speak."""

from typing import TYPE_CHECKING, Final

from .option import Option

if TYPE_CHECKING:
    from advbench.reports.style import Style

MODEL: Final = "Model"
DATA: Final = "Data"
OUTPUT: Final = "Output"
TABLES: Final = "Tables"

NAMED_MODEL: Final = Option(
    help="NAME, package.module:factory or file.py:factory.", panel=MODEL, shown="digits-cnn"
)
MEAN: Final = Option(
    help="Normalisation inside the model, a number a channel: a,b,c.",
    panel=MODEL,
    shown="what the weights need, if one wins clearly",
)
STD: Final = Option(help="As --mean; --mean 0 --std 1 for none.", panel=MODEL, shown="likewise")
NORMALIZATION: Final = Option(
    help="The same by name: none (pixels in [0, 1]), the data set's usual constants, half (0.5 and 0.5), "
    "ImageNet's, or 255 (pixels from 0 to 255).",
    panel=MODEL,
    shown="likewise",
)
MEMBERS: Final = Option(
    help="Another checkpoint of the same model beside --checkpoint; repeat it for more. An ensemble's logits "
    "are the mean of its members'; --defense ensemble-vote, ensemble-mean and ensemble-pick differ.",
    panel=MODEL,
    word="--member",
    shown="none",
)
SURROGATE: Final = Option(
    help="Take the gradients of --bpda, which it implies, from another model; this one is judged: "
    "file.py:soft_model or package.module:soft_model, distill for a network fitted to the model, or "
    "soft-steps for the model itself with soft steps in place of sign, round and comparisons.",
    panel=MODEL,
    shown="none",
)
SOURCE: Final = Option(
    help="Make the static rung's examples on another model, NAME[:checkpoint=FILE] or file.py:factory: for a "
    "defense inside the model, the one without it. none leaves the rung out.",
    panel=MODEL,
    shown="the surrogate, or the undefended model",
)
SPACE: Final = Option(
    help="Of a timm: or hf: model: whether the pixels under attack are the network's own, behind its "
    "resize and crop (input), or the picture's before them (image).",
    panel=MODEL,
    shown="input",
)
WEIGHTS: Final = Option(
    help="Which of several networks in the checkpoint: model_ema, state_dict.0, module.teacher.",
    panel=MODEL,
    shown="the first that fits",
)
TRUST_PROGRAM: Final = Option(
    help="Run TorchScript and .pt2 files, which may hold any code.", panel=MODEL, changes_numbers=False
)
DATASET: Final = Option(
    help="Data set to take images from: NAME, or NAME:PATH for --data-root PATH beside it.",
    panel=DATA,
    shown="digits",
)
DATA_ROOT: Final = Option(help="Folder or file that holds it.", panel=DATA, changes_numbers=False)
DOWNLOAD: Final = Option(help="Fetch it if it is missing.", panel=DATA, changes_numbers=False)
IMAGE_SIZE: Final = Option(
    help="Resize and centre-crop images to this side.", panel=DATA, least=1, shown="as they are"
)
CHANNELS: Final = Option(
    help="Read pictures in 1 (grey) or 3 (RGB).",
    panel=DATA,
    least=1,
    shown="3, or 1 where they are grey and the network takes 1",
)
IMAGE_COLUMN: Final = Option(
    help="Of a csv or hf data set, the column of pictures or their paths.",
    panel=DATA,
    shown="the one with a usual name: image, path, file_name, ...",
)
LABEL_COLUMN: Final = Option(help="Likewise, the column of labels.", panel=DATA, shown="label, class, ...")
CLASSES: Final = Option(
    help="The classes in the order of the model's outputs: a file with one name a line, or 'index name'.",
    panel=DATA,
    shown="the data set's order",
)
CLASS_INDEX: Final = Option(
    help="Likewise, ImageNet's JSON of synsets: imagenet_class_index.json.", panel=DATA, shown="likewise"
)
EPS_DEFAULT: Final = "usual for the data set"

DEVICE: Final = Option(help="auto, cpu, cuda, cuda:1 or mps.", panel=OUTPUT, changes_numbers=False)
OVERWRITE: Final = Option(help="Replace another run in --out.", panel=OUTPUT, in_files=False)
JSON: Final = Option(help="Print the table's rows as JSON.", panel=OUTPUT, in_files=False)
QUIET: Final = Option(help="Print the table and nothing else.", panel=OUTPUT, short="-q", in_files=False)
DEBUG: Final = Option(help="Show a traceback if something fails.", panel=OUTPUT, in_files=False)

COLUMNS: Final = Option(
    help="Columns for reading, comma-separated: model, dataset, threat, attack, defense, substitute, judge, "
    "clean, shattered, bpda and other rungs, gap. CSV and JSON have all.",
    panel=TABLES,
    shown="what says something",
    in_files=False,
)
SORT: Final = Option(
    help="Order the rows by a column; -NAME for the largest first.",
    panel=TABLES,
    shown="as they were run",
    in_files=False,
)
PERCENT: Final = Option(
    help="How to print accuracies. CSV and JSON have fractions.",
    panel=TABLES,
    word="--percent/--fraction",
    in_files=False,
)
DIGITS: Final = Option(
    help="Digits after the point. CSV and JSON have all.",
    panel=TABLES,
    shown="1; of fractions 3",
    in_files=False,
)


def style_of_words(
    columns: str | None,
    sort: str,
    *,
    percent: bool,
    digits: int | None,
    caption: str = "",
    label: str | None = None,
) -> "Style":
    """The style that the options ask for.

    Raises:
        SpecError: a column that there is not, or digits out of range.
    """
    from advbench.reports.style import PLAIN, Style  # noqa: PLC0415  # imports pandas; --help must not

    return Style(
        columns=tuple(name.strip() for name in (columns or "").split(",") if name.strip()),
        sort=sort.strip(),
        percent=percent,
        digits=digits,
        caption=caption,
        label=PLAIN.label if label is None else label,
    )
