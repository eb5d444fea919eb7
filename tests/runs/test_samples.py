"""Records go into a parquet file and come back; what was not written by a run is refused in a sentence."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from advbench.errors import RunFolderError
from advbench.results.records import SAMPLE_TYPES, join_samples
from advbench.runs.samples import pack_samples, read_samples

ORIGIN = {"seed": "0", "command": "advbench attack --defense 'ü –'"}
ORDINARY: dict[str, Any] = {"str": "ü", "int64": -1, "bool": True, "float64": np.nan}


def records(count: int) -> pd.DataFrame:
    known = {name: ORDINARY[kind] for name, kind in SAMPLE_TYPES.items()}
    return join_samples([pd.DataFrame({**known, "index": range(count), "loss": np.linspace(0, 1, count)})])


def parquet(frame: pd.DataFrame, **options: Any) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame, preserve_index=False), file, **options)
    return file.getvalue()


@pytest.mark.parametrize("count", [0, 1, 100])
def test_records_come_back_as_they_were_with_where_they_come_from(count: int) -> None:
    frame, origin = read_samples(pack_samples(records(count), ORIGIN), count)
    pd.testing.assert_frame_equal(frame, records(count))
    assert origin == ORIGIN
    assert pack_samples(records(count), ORIGIN) == pack_samples(records(count), ORIGIN)


def test_other_programs_read_the_file_and_their_order_of_columns_is_as_good() -> None:
    contents = pack_samples(records(3), {})
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(contents)), records(3))
    turned = records(3)[list(SAMPLE_TYPES)[::-1]].assign(more=1)
    frame, origin = read_samples(parquet(turned), 3)
    pd.testing.assert_frame_equal(frame, records(3))
    assert origin == {}


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (b"", "it cannot be read ("),
        (b"PAR1" + bytes(100) + b"PAR1", "it cannot be read ("),
        (pack_samples(records(3), {})[:-9], "it cannot be read ("),
        (parquet(records(3).drop(columns="loss")), "it has 0 columns 'loss', not one"),
        (parquet(records(3).assign(index="x")), "it cannot be read ("),
        (parquet(records(3).assign(index=np.nan)), "it cannot be read ("),
    ],
)
def test_what_is_no_file_of_records_is_refused(contents: bytes, said: str) -> None:
    with pytest.raises(RunFolderError) as caught:
        read_samples(contents, 10)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_more_records_than_there_can_be_are_not_read() -> None:
    contents = pack_samples(records(3), {})
    assert len(read_samples(contents, 3)[0]) == 3
    with pytest.raises(RunFolderError, match="it declares 3 records, where at most 2 can be"):
        read_samples(contents, 2)


def test_records_that_unpack_to_far_more_than_any_are_not_read() -> None:
    large = records(2).assign(defense="x" * 2_000_000)
    contents = parquet(large, compression="zstd", use_dictionary=False)
    assert len(contents) < 100_000
    with pytest.raises(RunFolderError, match="it declares 2 records"):
        read_samples(contents, 10)


@pytest.mark.parametrize("origin", [b"[1]", b"3", b"null"])
def test_an_origin_of_another_form_says_nothing(origin: bytes) -> None:
    table = pyarrow.Table.from_pandas(records(1), preserve_index=False)
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"advbench": origin}), file := io.BytesIO())
    assert read_samples(file.getvalue(), 1)[1] == {}


def test_records_that_pack_to_nothing_are_refused_by_their_count() -> None:
    """Five million records in a small file would take gigabytes, whatever the reader allows."""
    rows = 300_000
    one = pyarrow.Table.from_pandas(records(1), preserve_index=False)
    columns = {name: pyarrow.repeat(one[name][0], rows) for name in one.column_names}
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    assert file.tell() < 100_000
    with pytest.raises(RunFolderError, match="it declares 300000 records, where at most 2"):
        read_samples(file.getvalue(), 10**9)
