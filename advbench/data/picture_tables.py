"""Pictures in the tables of `datasets`: parquet files, and the Arrow files of `save_to_disk`.

A column holds the bytes of picture files (a plain one, or the field `bytes` of a struct), another one labels.
Only a few rows are in memory at a time, whatever the size of a file; going forward is cheap, and going back
starts again at the beginning of a row group (parquet) or of the file (Arrow).
"""

import itertools
import json
import os
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, overload

import numpy as np
import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from advbench.data.columns import LABELS, PICTURES, chosen_column, labels_of
from advbench.data.images import Labels
from advbench.data.pictures import PictureWithin
from advbench.errors import DatasetError, first_line, printable
from advbench.regular_files import open_regular

ENDINGS: Final = (".parquet", ".arrow")
"""Of the names of files that are tables of pictures."""

_AT_ONCE: Final = 16  # rows
_BUFFER: Final = 1 << 20  # bytes
_MOST: Final = 100_000_000  # rows
_LARGEST_LABELS: Final = 1 << 30  # bytes, unpacked


class _Table(NamedTuple):
    """A file, and where its rows can be come at."""

    path: Path
    starts: tuple[int, ...]
    """The first row of each row group, and behind the last one the number of rows."""


@dataclass(frozen=True)
class TablePictures(Sequence[PictureWithin]):
    """The pictures of some tables, in their order.

    Args:
        tables: the files.
        begins: how many rows lie before each.
        column: that holds the pictures.
        rows: how many there are in all.
    """

    tables: Sequence[_Table] = field(repr=False)
    begins: Sequence[int]
    column: str
    rows: int

    def __len__(self) -> int:
        return self.rows

    @overload
    def __getitem__(self, index: int) -> PictureWithin: ...
    @overload
    def __getitem__(self, index: slice) -> list[PictureWithin]: ...
    def __getitem__(self, index: int | slice) -> PictureWithin | list[PictureWithin]:
        """Picture number `index`, unread."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self.rows))]
        if not 0 <= index < self.rows:
            raise IndexError(index)
        number = bisect_right(self.begins, index) - 1
        table, row = self.tables[number], index - self.begins[number]
        return PictureWithin(f"{table.path}: row {row}", lambda: _picture(table, self.column, row))


def open_tables(
    paths: Sequence[Path], *, image_column: str | None = None, label_column: str | None = None
) -> tuple[TablePictures, Labels, list[str]]:
    """The pictures and labels of parquet or Arrow files of the same columns.

    Args:
        paths: the files in order.
        image_column: that holds the pictures; None for the one that the file calls images, or is named so.
        label_column: likewise for labels, whose names the file may tell (`ClassLabel` of `datasets`).

    Returns:
        The pictures, their labels `(n,)`, and the names of the classes, where there are any.

    Raises:
        DatasetError: a damaged file, no such column, or one that holds something else.
    """
    tables, begins = [], [0]
    values: list[Any] = []
    column = ""
    names: list[str] = []
    for path in paths:
        with _reading(path), open_regular(path) as file:
            source = pyarrow.parquet.ParquetFile(file) if _is_parquet(path) else _stream(file)
            schema = source.schema_arrow if _is_parquet(path) else source.schema
            features = _features(schema)
            if not column:
                column, label = _columns(schema, features, image_column, label_column)
                classes = features.get(label, {}).get("names")
                names = [str(name) for name in classes] if isinstance(classes, list) else []
            _check_column(path, schema, column)
            own_labels, starts = _labels(path, source, label)
        tables.append(_Table(path, starts))
        begins.append(begins[-1] + starts[-1])
        values += own_labels
    labels, classes = labels_of(values, f"column {label!r}") if values else (np.zeros(0, np.int64), [])
    if names and not classes:
        if len(labels) and labels.max() >= len(names):
            raise DatasetError(f"column {label!r} has label {labels.max()}, and names {len(names)} classes.")
        classes = names
    return TablePictures(tables, begins[:-1], column, begins[-1]), labels, classes


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong is a sentence about the file: a damaged one can make its reader raise anything."""
    try:
        yield
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"{path.name} cannot be read: {error.strerror or first_line(error)}.") from error
    except Exception as error:
        reason = printable(first_line(error)).rstrip(".")
        raise DatasetError(f"{path.name} is damaged, or no such table: {reason}.") from error


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() != ".arrow"


def _stream(file: Any) -> Any:
    """The batches of an Arrow file, which `save_to_disk` writes as a stream."""
    start = file.tell()
    magic = file.read(6)
    file.seek(start)
    if magic == b"ARROW1":
        reader = pyarrow.ipc.open_file(file)
        return _Batches(reader.schema, map(reader.get_batch, range(reader.num_record_batches)))
    return pyarrow.ipc.open_stream(file)


class _Batches(NamedTuple):
    """What a file with an index has in common with a stream."""

    schema: pyarrow.Schema
    batches: Iterator[pyarrow.RecordBatch]

    def __iter__(self) -> Iterator[pyarrow.RecordBatch]:
        return self.batches


def _features(schema: pyarrow.Schema) -> dict[str, dict[str, Any]]:
    """What `datasets` has written about the columns."""
    try:
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = info.get("info", {}).get("features", {})
    except (ValueError, AttributeError, RecursionError):
        return {}
    if not isinstance(features, dict):
        return {}
    return {str(name): feature for name, feature in features.items() if isinstance(feature, dict)}


def _columns(
    schema: pyarrow.Schema, features: dict[str, dict[str, Any]], image: str | None, label: str | None
) -> tuple[str, str]:
    """The columns of pictures and of labels."""
    names = schema.names

    def of_kind(kind: str) -> list[str]:
        return [name for name in names if features.get(name, {}).get("_type") == kind]

    images, labels = of_kind("Image"), of_kind("ClassLabel")
    if image is None and len(images) == 1:
        image = images[0]
    if label is None and len(labels) == 1:
        label = labels[0]
    return (
        chosen_column(names, image, PICTURES, "--image-column"),
        chosen_column(names, label, (*LABELS, *labels), "--label-column"),
    )


def _check_column(path: Path, schema: pyarrow.Schema, column: str) -> None:
    if column not in schema.names:
        raise DatasetError(f"{path.name} has no column {column!r}.")
    kind = schema.field(column).type
    held = pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    if not held and not pyarrow.types.is_binary(kind) and not pyarrow.types.is_large_binary(kind):
        raise DatasetError(f"column {column!r} of {path.name} holds {kind}, not the bytes of pictures.")


def _labels(path: Path, source: Any, column: str) -> tuple[list[Any], tuple[int, ...]]:
    """The values of a column, and the rows at which reading can begin."""
    if not _is_parquet(path):
        values: list[Any] = []
        for batch in source:
            values += batch.column(column).to_pylist()
            _check_count(path, len(values))
        return values, (0, len(values))
    groups = [source.metadata.row_group(number) for number in range(source.num_row_groups)]
    starts = (0, *itertools.accumulate(group.num_rows for group in groups))
    _check_count(path, starts[-1])
    if pyarrow.types.is_nested(source.schema_arrow.field(column).type):
        raise DatasetError(f"column {column!r} of {path.name} holds no labels.")
    leaf = next(i for i in range(len(source.schema)) if source.schema.column(i).path == column)
    if sum(group.column(leaf).total_uncompressed_size for group in groups) > _LARGEST_LABELS:
        raise DatasetError(f"column {column!r} of {path.name} is larger than labels are.")
    return source.read(columns=[column], use_threads=False).column(column).to_pylist(), starts


def _check_count(path: Path, rows: int) -> None:
    if not 0 <= rows <= _MOST:
        raise DatasetError(f"{path.name} has {rows:,} rows, and {_MOST:,} are read at most.")


class _Reader:
    """Where one thread of one process is in a file."""

    def __init__(self, table: _Table, column: str) -> None:
        self.table, self.column, self.process = table, column, os.getpid()
        self.file = open_regular(table.path)
        self.first, self.rows = 0, pyarrow.array([], pyarrow.binary())
        self.following: Iterator[pyarrow.Array] = iter(())
        self.group = -1

    def row(self, number: int) -> bytes | None:
        """The picture of a row; None where it is missing."""
        group = bisect_right(self.table.starts, number) - 1
        if group != self.group or number < self.first:
            self.group = group
            self.first, self.rows = self.table.starts[group], pyarrow.array([], pyarrow.binary())
            self.following = self._from(group)
        while number >= self.first + len(self.rows):
            self.first += len(self.rows)
            self.rows = next(self.following)
        value: bytes | None = self.rows[number - self.first].as_py()
        return value

    def _from(self, group: int) -> Iterator[pyarrow.Array]:
        self.file.seek(0)
        if _is_parquet(self.table.path):
            parquet = pyarrow.parquet.ParquetFile(self.file, buffer_size=_BUFFER, pre_buffer=False)
            kind = parquet.schema_arrow.field(self.column).type
            leaf = f"{self.column}.bytes" if pyarrow.types.is_struct(kind) else self.column
            batches = parquet.iter_batches(_AT_ONCE, row_groups=[group], columns=[leaf], use_threads=False)
        else:
            batches = iter(_stream(self.file))
        for batch in batches:
            values = batch.column(self.column)
            if pyarrow.types.is_struct(values.type):
                values = values.field(values.type.get_field_index("bytes"))
            yield values

    def __del__(self) -> None:
        if hasattr(self, "file"):  # else it could not be opened
            self.file.close()


_LOCAL: Final = threading.local()
"""Each thread's reader of the file that it read last.

A forked process, which shares the place in a file with its parent, makes its own.
"""


def _picture(table: _Table, column: str, row: int) -> bytes:
    with _reading(table.path):
        reader: _Reader | None = getattr(_LOCAL, "reader", None)
        if reader is None or (reader.table, reader.column, reader.process) != (table, column, os.getpid()):
            reader = _LOCAL.reader = _Reader(table, column)
        value = reader.row(row)
    if value is None:
        raise DatasetError(
            f"{table.path.name} has no picture in row {row}, only its name perhaps; save the pictures in it."
        )
    return value
