"""Parquet and Arrow files give their pictures as `datasets` means them, a few rows at a time."""

import json
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from advbench.data.load import load_dataset
from advbench.data.picture_tables import open_tables
from advbench.errors import DatasetError
from tests.data.encoded import PNGS
from tests.data.places import LABELS, PIXELS, place, read, refusal

FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog", "eel"], "_type": "ClassLabel"}}


def table(
    features: dict[str, Any] | None = None, *, label: Any = None, struct: bool = True, **columns: Any
) -> pa.Table:
    """The few pictures as a table of `datasets`."""
    pictures: Any = [{"bytes": png, "path": f"{index}.png"} for index, png in enumerate(PNGS)]
    held = pa.array(pictures if struct else PNGS)
    made = pa.table({"image": held, "label": LABELS.tolist() if label is None else label, **columns})
    if features is None:
        return made
    return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def save_arrow(made: pa.Table, path: Path, *, indexed: bool = False, rows: int = 4) -> Path:
    new = pa.ipc.new_file if indexed else pa.ipc.new_stream
    with new(str(path), made.schema) as writer:
        writer.write_table(made, max_chunksize=rows)
    return path


def save_parquet(made: pa.Table, path: Path, rows: int = 4) -> Path:
    pq.write_table(made, path, row_group_size=rows)
    return path


def test_parquet_files_are_read_in_order_with_their_names_of_classes(tmp_path: Path) -> None:
    save_parquet(table(FEATURES), tmp_path / "test-00000-of-00002.parquet")
    save_parquet(table(FEATURES), tmp_path / "test-00001-of-00002.parquet", rows=1)
    batch = read("hf", place(tmp_path))
    torch.testing.assert_close(batch.x, torch.from_numpy(PIXELS).repeat(2, 1, 1, 1) / 255)
    assert batch.y.tolist() == LABELS.tolist() * 2
    images = load_dataset("hf", place(tmp_path))
    assert list(images.classes) == ["cat", "dog", "eel"]
    assert images.name_of(7) == f"{tmp_path / 'test-00001-of-00002.parquet'}: row 1"


@pytest.mark.parametrize("indexed", [False, True])
def test_arrow_files_are_streams_or_have_an_index(indexed: bool, tmp_path: Path) -> None:
    path = save_arrow(table(FEATURES), tmp_path / "data-00000-of-00001.arrow", indexed=indexed)
    batch = read("hf", place(path))
    torch.testing.assert_close(batch.x, torch.from_numpy(PIXELS) / 255)


def test_plain_bytes_and_tables_that_say_nothing_are_read(tmp_path: Path) -> None:
    path = save_parquet(table(struct=False), tmp_path / "a.parquet")
    torch.testing.assert_close(read("hf", place(path)).x, torch.from_numpy(PIXELS) / 255)
    names = ["eel", "cat", "dog", "eel", "cat", "dog"]
    pictures, labels, classes = open_tables([save_parquet(table(label=names), tmp_path / "b.parquet")])
    assert (labels.tolist(), classes) == ([2, 0, 1, 2, 0, 1], ["cat", "dog", "eel"])
    assert [file.read() for file in pictures[1:3]] == PNGS[1:3]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_rows_may_be_read_in_any_order_by_any_thread(kind: str, tmp_path: Path) -> None:
    made = table(FEATURES)
    paths = [
        save_parquet(made, tmp_path / f"{number}.parquet", rows=2)
        if kind == "parquet"
        else save_arrow(made, tmp_path / f"{number}.arrow", rows=2)
        for number in range(2)
    ]
    pictures, _, _ = open_tables(paths)
    order = [11, 0, 5, 4, 6, 3, 3, 10, 1, 2, 9, 8, 7]
    assert [pictures[index].read() for index in order] == [PNGS[index % 6] for index in order]
    wrong: list[int] = []

    def look() -> None:
        wrong.extend(index for index in order * 3 if pictures[index].read() != PNGS[index % 6])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def _differences(pictures: Any, order: list[int], answers: Any) -> None:
    answers.put([index for index in order if pictures[index].read() != PNGS[index % 6]])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_reads_in_a_place_of_its_own(tmp_path: Path) -> None:
    pictures, _, _ = open_tables([save_parquet(table(FEATURES), tmp_path / "a.parquet", rows=1)])
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    assert pictures[0].read() == PNGS[0]
    children = [
        context.Process(target=_differences, args=(pictures, [0, 1, 2, 3, 4, 5] * 20, answers))
        for _ in range(2)
    ]
    for child in children:
        child.start()
    for _ in range(20):
        assert [pictures[index].read() for index in range(6)] == PNGS
    assert [answers.get(timeout=60) for _ in children] == [[], []]
    for child in children:
        child.join()


def test_memory_does_not_grow_with_a_row_group(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (400, 50_000), dtype=torch.uint8, generator=generator)
    contents = [row.numpy().tobytes() for row in noise]
    made = pa.table({"image": pa.array(contents, pa.binary()), "label": [0] * 400})
    pq.write_table(made, tmp_path / "a.parquet", row_group_size=400, use_dictionary=False, write_batch_size=8)
    size = made.nbytes
    del made
    pictures, _, _ = open_tables([tmp_path / "a.parquet"])
    before, peak = pa.total_allocated_bytes(), 0
    for index, expected in enumerate(contents):
        assert pictures[index].read() == expected
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert size > 18_000_000
    assert peak < size / 2


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (table(), None),
        (
            table(label=[[1]] * 6),
            "column 'label' of a.parquet holds no labels.",
        ),
        (table(label=[0.5] * 6), "column 'label' has 0.5 in row 1; expected a whole number or a name."),
        (table(FEATURES, label=[7] * 6), "column 'label' has label 7, and names 3 classes."),
        (table(label=[-1] * 6), "column 'label' has -1 in row 1, which is the number of no class."),
        (table().drop(["label"]), "the columns are image; name the right one with --label-column."),
        (table().drop(["image"]), "the columns are label; name the right one with --image-column."),
        (
            pa.table({"image": [[1.0]] * 6, "label": [0] * 6}),
            "column 'image' of a.parquet holds list<element: double>, not the bytes of pictures.",
        ),
        (
            pa.table({"image": pa.array([{"bytes": None, "path": "x.png"}] * 6, pa.struct(
                [("bytes", pa.binary()), ("path", pa.string())])), "label": [0] * 6}),
            "a.parquet has no picture in row 0, only its name perhaps; save the pictures in it.",
        ),
    ],
)  # fmt: skip
def test_tables_of_other_things_are_refused(made: pa.Table, sentence: str | None, tmp_path: Path) -> None:
    path = save_parquet(made, tmp_path / "a.parquet")
    if sentence is None:
        assert len(read("hf", place(path)).y) == 6
    else:
        assert sentence in refusal("hf", place(path))


def test_two_columns_of_labels_are_asked_for(tmp_path: Path) -> None:
    kind = FEATURES["label"]
    features = {"image": FEATURES["image"], "fine": kind, "coarse": kind}
    made = table(features, fine=LABELS.tolist(), coarse=[0] * 6).drop(["label"])
    path = save_parquet(made, tmp_path / "a.parquet")
    assert "columns fine, coarse could be meant; name the right one with --label-column." in refusal(
        "hf", place(path)
    )
    assert read("hf", place(path, label_column="fine")).y.tolist() == LABELS.tolist()


@pytest.mark.parametrize("contents", [b"", b"PAR1", b"no table, but text" * 100])
@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_damaged_files_are_refused(name: str, contents: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(contents)
    assert f"{name} is damaged, or no such table: " in refusal("hf", place(tmp_path / name))


def test_a_file_that_loses_its_pictures_later_is_told(tmp_path: Path) -> None:
    path = save_parquet(table(FEATURES), tmp_path / "a.parquet")
    images = load_dataset("hf", place(path))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"a\.parquet is damaged"):
        images[0]


def test_metadata_that_say_nothing_sensible_are_passed_over(tmp_path: Path) -> None:
    for text in (b"{", b"[]", b'{"info": 1}', b'{"info": {"features": [1]}}'):
        made = table().replace_schema_metadata({b"huggingface": text})
        assert len(read("hf", place(save_parquet(made, tmp_path / "a.parquet"))).y) == 6


def test_a_file_that_is_gone_later_is_told(tmp_path: Path) -> None:
    path = save_parquet(table(FEATURES), tmp_path / "a.parquet")
    images = load_dataset("hf", place(path))
    path.unlink()
    with pytest.raises(DatasetError, match=r"a\.parquet cannot be read: No such file"):
        images[0]
