#!/usr/bin/env bash
# pyarrow writes a parquet page of 20 MB though data_page_size asks for 64 KiB, and a batch of 16 rows holds all of it.
#
# Versions: pyarrow 26.0.1
# Guess: with data_page_size=64 KiB a column of pictures of 50 kB has one or two pictures a page, so that
#   iter_batches(batch_size=16) with a buffered stream needs about 16 pictures, 0.8 MB.
# Really: the writer looks at the size of a page only after write_batch_size values (1,024), so that 400 pictures are one
#   page; the reader takes a page whole, whatever the batch. With write_batch_size=8 the limit holds within 8 pictures.
# Seen (400 pictures of 50 kB; a page has a header of about 30 bytes; peak of Arrow's memory, reading 16 rows at a time):
#   data_page_size=65536                      bytes of page headers     35  peak 21.9 MB
#   data_page_size=65536, write_batch_size=8  bytes of page headers  1,550  peak  2.2 MB
# Hurts: whoever streams data sets of pictures from parquet (Hugging Face's datasets, img2dataset) on a small machine: memory
#   follows the pages that somebody else has written, not the batch that one asks for.
# Source: cpp/src/parquet/column_writer.cc, CommitWriteAndCheckPageLimit, called once a write batch; pyarrow's
#   documentation of write_batch_size: "Number of values to write to a page at a time".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet pyarrow==26.0.1
cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import random

import pyarrow as pa
import pyarrow.parquet as pq

stream = random.Random(0)
pictures = pa.array([stream.randbytes(50_000) for _ in range(400)])


def peak_and_pages(**written):
    pq.write_table(
        pa.table({"image": pictures}), "a.parquet", use_dictionary=False, compression="none",
        data_page_size=65536, **written,
    )  # fmt: skip
    # Each page stands behind a header of about 30 bytes: what the column has beside its pictures and their lengths.
    column = pq.ParquetFile("a.parquet").metadata.row_group(0).column(0)
    overhead = column.total_uncompressed_size - 400 * 50_004
    before, peak = pa.total_allocated_bytes(), 0
    file = pq.ParquetFile("a.parquet", buffer_size=1 << 20, pre_buffer=False)
    for _ in file.iter_batches(batch_size=16, use_threads=False):
        peak = max(peak, pa.total_allocated_bytes() - before)
    return peak / 1e6, overhead


peak, overhead = peak_and_pages()
small, many = peak_and_pages(write_batch_size=8)
print(f"data_page_size=65536                      bytes of page headers {overhead:6,}  peak {peak:4.1f} MB")
print(f"data_page_size=65536, write_batch_size=8  bytes of page headers {many:6,}  peak {small:4.1f} MB")
assert peak > 15 > 6 > small and many > 10 * overhead, "changed"
PYTHON
