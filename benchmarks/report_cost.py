"""What a report of 100,000 records costs: processor seconds and peak memory, each in a fresh process.

    python -m benchmarks.report_cost

`samples` counts 100,000 records of 25,000 images into a table and renders it in every format and as a page;
`rows` renders a table of 100,000 rows in one format.
"""

import argparse
import subprocess
import sys
import time

import numpy as np
import pandas as pd

from advbench.reports.charts import ladder
from advbench.reports.formats import FILE_NAMES, render
from advbench.reports.page import Page, page
from advbench.results.records import SAMPLE_TYPES, Rate, Row
from advbench.results.table import Heading, rows_of
from benchmarks.peak import peak_of_this_process

RECORDS = 100_000
KINDS = ("samples", "rows csv", "rows markdown", "rows latex", "rows json")


def main() -> None:
    """Measure every kind in a process of its own, or one of them here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", choices=KINDS, help="measure this one in this process")
    chosen = parser.parse_args().one
    if chosen:
        print(line_of(chosen))
        return
    for kind in KINDS:
        words = [sys.executable, "-m", "benchmarks.report_cost", "--one", kind]
        print(subprocess.run(words, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def line_of(kind: str) -> str:
    """Measure one kind; the imports are part of it, the making of the records is not."""
    imported = time.process_time()
    if kind == "samples":
        samples = make_samples()
        began = time.process_time()
        size = render_samples(samples)
    else:
        rows = make_rows()
        began = time.process_time()
        size = render_rows(rows, kind.removeprefix("rows "))
    seconds = imported + time.process_time() - began
    peak = peak_of_this_process() / 1e6
    return f"{kind:14}  {seconds:5.2f} s  {peak:5.0f} MB at most  {size / 1e3:8.0f} kB of text"


def make_samples() -> pd.DataFrame:
    """Records of 25,000 images: the clean rung and three others."""
    generator, n = np.random.default_rng(0), RECORDS // 4
    label = generator.integers(0, 10, n)
    parts = []
    for defense, attack, rung, share in (
        ("none", "", "clean", 0.95),
        ("none", "pgd", "shattered", 0.1),
        ("round", "", "clean", 0.94),
        ("round", "pgd", "shattered", 0.9),
    ):
        robust = generator.random(n) < share
        part = pd.DataFrame({"index": np.arange(n), "label": label, "robust": robust})
        parts.append(part.assign(defense=defense, attack=attack, rung=rung))
    samples = pd.concat(parts, ignore_index=True)
    for name, kind in SAMPLE_TYPES.items():
        if name not in samples:
            samples[name] = np.zeros(len(samples), kind)
    return samples[list(SAMPLE_TYPES)]


def render_samples(samples: pd.DataFrame) -> int:
    """Count the table, render it in every format and as a page; returns the length of the texts."""
    heading = Heading(
        model="net",
        dataset="data",
        norm="linf",
        eps="8/255",
        attacks=("pgd",),
        substitutes={"none": "", "round": ""},
        rungs=("shattered",),
    )
    rows = rows_of(samples, heading)
    chart = ladder(rows)
    assert chart is not None
    texts = [render(rows, form) for form in FILE_NAMES]
    return sum(map(len, [*texts, page(Page(title="net", rows=rows, charts=[chart]))]))


def make_rows() -> list[Row]:
    """A table of 100,000 rows with three rungs each."""
    return [
        Row(
            model="net",
            dataset="data",
            n=1000,
            defense=f"bit-depth:bits={number}",
            norm="linf",
            eps="8/255",
            attack="pgd",
            rates={"clean": Rate(950, 1000), "shattered": Rate(number % 1000, 1000), "bpda": Rate(3, 1000)},
            substitute="identity",
        )
        for number in range(RECORDS)
    ]


def render_rows(rows: list[Row], form: str) -> int:
    """Render the rows in a format; returns the length of the text."""
    (chosen,) = [name for name in FILE_NAMES if name == form]
    return len(render(rows, chosen))


if __name__ == "__main__":
    main()
