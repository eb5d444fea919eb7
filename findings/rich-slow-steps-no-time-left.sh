#!/usr/bin/env bash
# A rich progress bar whose steps take longer than 30 seconds never tells the time left, however many are done.
#
# Versions: rich 15.0.0
# Guess: as in tqdm, the time left is the rest of the steps by the mean pace since the start; slow steps are coarse, not
#   unknown.
# Really: the pace is that of the last `speed_estimate_period` seconds, 30 by default, and samples older than that are
#   thrown away before a new one is added. Of steps that take 31 seconds one sample is left at a time, and a single
#   sample gives no pace: `time_remaining` stays None until the end.
# Seen:
#   20 of 40 steps of 29 s: 580 s left
#   20 of 40 steps of 31 s: None left
#   20 of 40 steps of 31 s, speed_estimate_period=3600: 620 s left
# Hurts: long evaluations and trainings with a batch or an epoch a step, where the time left matters most.
# Source: rich/progress.py, lines 1460 to 1467 (update) and 1530 to 1538 (advance); speed at 1023.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet rich==15.0.0
"$work/env/bin/python" - <<'PYTHON'
import io

from rich.console import Console
from rich.progress import Progress


def left(seconds, **settings):
    """The time left after half of 40 steps of so many seconds, by a clock of our own."""
    now = [0.0]
    bar = Progress(console=Console(file=io.StringIO()), get_time=lambda: now[0], **settings)
    task = bar.add_task("steps", total=40)
    for _ in range(20):
        now[0] += seconds
        bar.update(task, advance=1)
    return bar.tasks[0].time_remaining


known, unknown, kept = left(29.0), left(31.0), left(31.0, speed_estimate_period=3600.0)
print(f"20 of 40 steps of 29 s: {known} s left")
print(f"20 of 40 steps of 31 s: {unknown} left")
print(f"20 of 40 steps of 31 s, speed_estimate_period=3600: {kept} s left")
assert known is not None and unknown is None and kept is not None, "changed"
PYTHON
