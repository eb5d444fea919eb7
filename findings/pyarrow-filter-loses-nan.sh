#!/usr/bin/env bash
# A filter on a Parquet file loses the rows that are NaN, even the filter that asks for them.
#
# Versions: pyarrow 26.0.1 (pandas.read_parquet(filters=...) goes the same way)
# Guess: a filter gives the same rows of a table in memory and of the same table in a file.
# Really: Parquet's statistics leave NaN out. A row group that holds 5, NaN, 5 is written down as "from 5 to 5", and
#   the reader takes that for a promise about every row: is_nan(x), x != 5 and ~(x <= 5) find no row in it.
# Seen:
#   is_nan(x)          in memory 1, from the file 0
#   (x != 5)           in memory 1, from the file 0
#   invert((x <= 5))   in memory 1, from the file 0
# Hurts: results kept in Parquet. "Which runs have a NaN?" is answered "none" for just those groups that have one.
# Source: the Parquet format says of min and max "when looking for NaN values, they should be ignored". Arrow's own
#   issue 28074 (ARROW-12264, closed) names the cause: the guarantee that file_parquet.cc makes of the statistics.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet pyarrow==26.0.1
"$work/env/bin/python" - "$work/loss.parquet" <<'PYTHON'
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

path = sys.argv[1]
table = pa.table({"x": [5.0, float("nan"), 5.0]})
pq.write_table(table, path)
x = pc.field("x")
for wanted in (pc.is_nan(x), x != 5, ~(x <= 5)):
    memory, file = table.filter(wanted).num_rows, pq.read_table(path, filters=wanted).num_rows
    print(f"{str(wanted):18} in memory {memory}, from the file {file}")
    assert (memory, file) == (1, 0), "changed: the file may keep its NaN now"
assert pq.read_table(path).num_rows == 3  # without a filter nothing is lost
PYTHON
