"""Records as parquet files: written with where they come from, read as if they were forged."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import pyarrow.parquet

from advbench.errors import RunFolderError
from advbench.results.records import SAMPLE_TYPES

SAMPLES: Final = "samples.parquet"
PARTS: Final = "parts"
_ORIGIN: Final = b"advbench"
LARGEST: Final = 1 << 30
"""Bytes of a file of records."""

_FEW = 200_000  # records, from which on a file has a byte for each at least; an index alone has more
_ROW = 10_000  # bytes that a record may have at most, unpacked
_FILE = 1 << 20  # bytes beside the records


def pack_samples(samples: pd.DataFrame, origin: Mapping[str, str]) -> bytes:
    """The contents of a `.parquet` file.

    Args:
        samples: columns as in `records.SAMPLE_TYPES`.
        origin: where they come from, kept in the file's metadata.
    """
    table = pyarrow.Table.from_pandas(samples, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), _ORIGIN: json.dumps(dict(origin)).encode()}
    file = io.BytesIO()
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), file)
    return file.getvalue()


def read_samples(contents: bytes, most: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The records of a `.parquet` file, and where they come from.

    Args:
        contents: of the file.
        most: how many records it may hold; the file's own word for it is looked at before they are read.

    Raises:
        RunFolderError: a sentence on what is wrong with the file.
    """
    table, origin = read_table(contents, most)
    return frame_of([table]), origin


def read_table(contents: bytes, most: int) -> tuple[Any, dict[str, Any]]:
    """The records of a `.parquet` file as a table of pyarrow, and where they come from; as `read_samples`."""
    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(contents))
        rows = file.metadata.num_rows
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        most = min(most, _FEW + len(contents))
        if rows > most or sum(group.total_byte_size for group in groups) > rows * _ROW + _FILE:
            raise RunFolderError(f"it declares {rows} records, where at most {most} can be")
        names = file.schema_arrow.names
        wrong = [name for name in SAMPLE_TYPES if names.count(name) != 1]
        if wrong:
            raise RunFolderError(f"it has {names.count(wrong[0])} columns {wrong[0]!r}, not one")
        origin = json.loads((file.schema_arrow.metadata or {}).get(_ORIGIN, b"{}"))
        # Without the metadata that pandas would follow: only the plain columns count.
        table = file.read(columns=list(SAMPLE_TYPES), use_threads=False).replace_schema_metadata(None)
        return table.select(list(SAMPLE_TYPES)), origin if isinstance(origin, dict) else {}
    except RunFolderError:
        raise
    except Exception as error:  # a forged file can make its reader raise anything
        raise RunFolderError(f"it cannot be read ({type(error).__name__})") from error


def frame_of(tables: Sequence[Any]) -> pd.DataFrame:
    """The records of several tables of `read_table`, one after another.

    Raises:
        RunFolderError: columns that hold something else than they should.
    """
    try:
        whole = pyarrow.concat_tables(tables, promote_options="permissive")
        frame: pd.DataFrame = whole.to_pandas(ignore_metadata=True)
        return frame[list(SAMPLE_TYPES)].astype(dict(SAMPLE_TYPES))
    except Exception as error:  # likewise
        raise RunFolderError(f"it cannot be read ({type(error).__name__})") from error
