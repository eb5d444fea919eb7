"""The columns of every file that a run writes; a test holds them against the files of real runs."""

from collections.abc import Mapping
from typing import Final

from advbench.results.indicators import MEANINGS
from advbench.results.records import LOSS_COLUMNS, LOSS_MARKS, SAMPLE_TYPES, Candidate
from advbench.results.shown import PURPOSES
from advbench.training.state import EpochRecord
from docs.made.docstrings import docstring_of
from docs.made.markdown import code, escaped, prose, table

ORIGIN: Final = {
    "seed": "the seed of every draw",
    "checkpoint_sha256": "SHA-256 of the weights",
    "data_fingerprint": "a hash of the images and labels that were used",
    "device": "the device and its name",
    "precision": "the precision of the judge",
    "versions": "versions of Python and of the packages that numbers depend on",
    "commit": "the git commit of advbench, where it runs from a checkout",
    "command": "the command as it was typed, with what a settings file added",
    "run": "the run's hash",
}
"""The last columns of every CSV file: where the file comes from."""

_SAMPLES: Final = {
    "index": "the image's index in the data set",
    "label": "its class",
    "rung": "`clean`, `static`, `shattered`, `bpda`, `gradient_free`, `label_only`",
    "defense": "the defense as it was written, or `none`",
    "attack": "the attack as it was written; empty on the clean rung",
    "clean_prediction": "the class that the defended model gives the clean image",
    "prediction": "the class that the defended model gives the example; -1 for none, -2 where it is refused",
    "robust": "whether the image stands: the prediction is the label, or the example is refused",
    "distance": "between example and image, in the threat's norm",
    "loss": "the cross-entropy that the judge found",
    "steps": "backward passes that the attack spent on the image",
    "queries": "forward passes that the attack spent on the image",
    "flat_gradient": "whether none of the image's gradients was of use: all were zero, NaN or infinite",
    "smallest": "the norm of the smallest perturbation known to fool, whatever the radius; NaN for none",
    "fooled_share": "of a random defense: the share of its draws that the example fools",
    "late_gain": "the share of the loss's whole rise that came in the attack's last 10 gradient steps",
    **{
        f"loss_{mark}": f"the attack's own loss at its best iterate after {mark} gradient passes, or NaN"
        for mark in LOSS_MARKS
    },
    "loss_end": "the attack's own loss at its best iterate in the end; NaN where the attack does not tell",
}

_TABLE: Final = {
    "model": "the model's name",
    "dataset": "the data set's name",
    "n": "images of the row; a wrongly classified clean image counts as not robust",
    "defense": "the defense as it was written, or `none`",
    "norm": "the threat's norm",
    "eps": "the threat's radius as it was written",
    "attack": "the attack as it was written",
    "<rung>_accuracy": "the fraction of all `n` images that stand on the rung; empty where it was not run",
    "<rung>_low": "lower end of the accuracy's 95 % Wilson interval",
    "<rung>_high": "upper end of the accuracy's 95 % Wilson interval",
    "<rung>_count": "how many images stand on the rung",
    "<rung>_draws_mean": "of a random defense: the mean accuracy over single draws",
    "<rung>_draws_std": "of a random defense: the standard deviation of the accuracy over single draws",
    "<rung>_median_distance": "the median norm of the smallest perturbations, where an attack looks for them",
    "masking_gap": "shattered minus BPDA accuracy",
    "substitute": "what stood in for the defense on the BPDA rung; the second attacked what the first left",
    "verdict": "the verdict with its evidence, after a ladder",
    "masking_gap_low": "lower end of the gap's 95 % score interval in pairs (Tango 1998)",
    "masking_gap_high": "upper end of the gap's 95 % score interval in pairs (Tango 1998)",
    "<rung>_p": "McNemar's exact p of the shattered rung and this rung, on the same images",
    "error": "why a row has no numbers at all",
    "<rung>_done": "in a table of a run under way: how many images of the rung are done",
    "<rung>_refused_count": "images whose example, on the clean rung which themselves, a detector refuses",
    "<rung>_accepted_accuracy": "right images among those that the detector accepts, a fraction",
    "<rung>_success_rate": "of images accepted and right when clean, the fraction made accepted and wrong",
    "judge": "by which rule the draws of a random defense count; empty for the majority",
    "<rung>_mean_accuracy": "the share of its draws in which an image stands, on average over all `n` images",
    "<rung>_mean_low": "lower end of the mean's 95 % Wilson interval, images as its unit",
    "<rung>_mean_high": "upper end of the mean's 95 % Wilson interval, images as its unit",
    "<rung>_any_accuracy": "the fraction of all `n` images that stand in every submission of their example",
    "<rung>_any_low": "lower end of that fraction's 95 % Wilson interval",
    "<rung>_any_high": "upper end of that fraction's 95 % Wilson interval",
    "<rung>_any_count": "how many images stand in every submission of their example",
    **ORIGIN,
}

_SUBSTITUTES: Final = {**docstring_of(Candidate).sections["Args"], **ORIGIN}

_INDICATORS: Final = {
    "defense": "behind which defense",
    "attack": "of which attack; empty where the indicator is about gradients or the model alone",
    "rung": "along whose gradient: `shattered` or `bpda`; `clean` for what is about the model alone",
    "name": "the indicator; see the table below",
    "part": "the images that show the sign, or a sum over them",
    "whole": "the images that were looked at, or what `part` is a share of",
    "value": "`part / whole`: a share, or a cosine",
    "threshold": "beyond which the indicator is tripped",
    "tripped": "whether the value lies beyond the threshold",
    "meaning": "what is wrong when the indicator is tripped",
    "advice": "what would mend it, or make sure",
    **ORIGIN,
}

_TRAITS: Final = ("model", "dataset", "defense", "norm", "eps", "attack")

_PAIRED: Final = {
    **{name: f"of the row: {_TABLE[name]}" for name in _TRAITS},
    **{f"baseline_{name}": f"of the row of the baseline: {_TABLE[name]}" for name in _TRAITS},
    "rung": "the rung that is compared",
    "n": "images that both have",
    "difference": "accuracy of the row minus accuracy of the baseline, a fraction",
    "low": "lower end of the difference's 95 % score interval (Tango 1998)",
    "high": "upper end of the difference's 95 % score interval (Tango 1998)",
    "both": "images that stand in both",
    "only_row": "images that stand in the row alone",
    "only_baseline": "images that stand in the baseline alone",
    "p": "McNemar's exact p, two-sided, not corrected for several comparisons",
    "reason": "why nothing is compared",
}

_TRAINING: Final = {
    "model": "`before`, `plain` or `apart`",
    "measure": "`clean`, `statistics`, `corruption` or `attack`",
    "setting": "the size of the noise, the corruption with its severity, or the attack",
    "n": "test images",
    "passes": "how often an image was judged: the draws of the noise",
    "count": "how many of the `n * passes` judgements were right",
    "accuracy": "`count / (n * passes)`",
    "low": "lower end of the accuracy's 95 % Wilson interval",
    "high": "upper end of the accuracy's 95 % Wilson interval",
    **ORIGIN,
}

_RUN: Final = {
    "status": "`running`, `done`, `interrupted` or `failed`",
    "started": "when the run began",
    "finished": "when the run ended",
    "command": "the command as it was typed, with what a settings file added, a list of words",
    "settings_file": "what of the command came from a settings file: its path, SHA-256, table and values",
    "settings": "all that the numbers depend on: model, data, threat, seed, attacks, defenses, surrogate",
    "execution": "what the numbers do not depend on: where data lie, batch size, processes",
    "checkpoint": "path, SHA-256 and format of the weights, and what in the file was left out",
    "normalization": "which normalisation the model has, and how that was decided",
    "data": "how many images, and their fingerprint",
    "versions": "versions of Python and of the packages",
    "commits": "the git commit of advbench, where it runs from a checkout",
    "machine": "device, platform, threads and precision",
    "notes": "how the model was understood, where that had to be found out",
    "earlier_starts": "versions and machines of earlier starts that the run goes on from",
    "hash": "of settings, checkpoint and data: what the folder is bound to",
    "shown": "how many images the model was given in forward passes, by purpose; see below",
    "heading": "what the table is about: substitutes, surrogate, rungs, indicators, doubts, rules",
    "candidates": "what the search found out about every substitute",
    "warnings": "what makes the numbers less than they seem",
    "tables": "how the tables that people read were asked to look",
    "files": "SHA-256 of every file that the run wrote",
    "seal": "SHA-256 of every file that a number rests on, and of all other entries; written last",
}

FILES: Final[Mapping[str, Mapping[str, str]]] = {
    "samples.parquet": _SAMPLES,
    "table.csv": _TABLE,
    "substitutes.csv": _SUBSTITUTES,
    "indicators.csv": _INDICATORS,
    "paired.csv": _PAIRED,
    "metrics.csv": docstring_of(EpochRecord).sections["Args"],
    "finetune/table.csv": _TRAINING,
    "run.json": _RUN,
}
"""Every file with what its columns, or entries, hold."""


def columns_of(file: str) -> str:
    """A table of the columns of a file; of `indicators` and `shown`, the literal table behind them.

    Args:
        file: a key of `FILES`, `indicators` or `shown`.
    """
    if file == "indicators":
        lines = [
            [
                code(name),
                escaped(meaning.words),
                f"{meaning.beyond} {meaning.threshold:g}",
                escaped(meaning.advice),
            ]
            for name, meaning in MEANINGS.items()
        ]
        return table(["name", "what is wrong when it is tripped", "tripped", "advice"], lines)
    if file == "shown":
        return table(
            ["purpose", "images in forward passes"],
            [[code(name), prose(meaning)] for name, meaning in PURPOSES.items()],
        )
    if file == "samples.parquet":
        rows = [
            [code(name), SAMPLE_TYPES[name], prose(meaning)] for name, meaning in _shortened(_SAMPLES).items()
        ]
        return table(["column", "type", "what"], rows)
    return table(["column", "what"], [[code(name), prose(meaning)] for name, meaning in FILES[file].items()])


def _shortened(columns: Mapping[str, str]) -> dict[str, str]:
    """The columns of losses in one line for the first and one for the end: the others say the same."""
    first, *_, last, end = LOSS_COLUMNS
    kept = {
        name: meaning for name, meaning in columns.items() if name not in LOSS_COLUMNS or name in (first, end)
    }
    others = f"likewise `loss_2`, `loss_4` and so on up to `{last}`"
    kept[first] = f"the attack's own loss at its best iterate after 1 gradient pass, or NaN; {others}"
    return kept
