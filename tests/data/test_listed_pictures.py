"""A list of paths and labels gives the pictures that it names."""

from pathlib import Path

import pytest
import torch

from advbench.data.listed_pictures import read_list
from advbench.data.load import load_dataset
from tests.data.encoded import PNGS
from tests.data.places import LABELS, PIXELS, place, read, refusal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for index, contents in enumerate(PNGS):
        (tmp_path / f"pictures/{index}.png").write_bytes(contents)
    return tmp_path


def lines(separator: str = ",", head: str = "path,label", names: tuple[str, ...] = ("0", "1", "2")) -> str:
    rows = [f"pictures/{index}.png,{names[label]}" for index, label in enumerate(LABELS)]
    return "\n".join([head, *rows]).replace(",", separator) + "\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("test.csv", lines()),
        ("test.tsv", lines("\t")),
        ("test.csv", "\ufeff" + lines(head="file_name,class").replace("\n", "\r\n")),
    ],
)
def test_a_list_gives_its_pictures_in_order(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text, encoding="utf-8", newline="")
    batch = read("csv", place(root))
    torch.testing.assert_close(batch.x, torch.from_numpy(PIXELS) / 255)
    assert batch.y.tolist() == LABELS.tolist()
    assert load_dataset("csv", place(root / name)).name_of(1) == str(root / "pictures/1.png")


def test_names_of_classes_count_in_their_order(root: Path) -> None:
    (root / "pets.csv").write_text(lines(names=("eel", "cat", "dog")))
    images = load_dataset("csv", place(root / "pets.csv"))
    assert list(images.classes) == ["cat", "dog", "eel"]
    assert images.labels.tolist() == [2, 0, 1, 2, 0, 1]


def test_columns_are_chosen_and_splits_are_followed(root: Path) -> None:
    rows = "".join(f"{index},pictures/{index}.png,{'test' if index % 2 else 'train'}\n" for index in range(6))
    (root / "all.csv").write_text("number,where,split\n" + rows)
    listed = read_list(root / "all.csv", "test", image_column="where", label_column="number")
    assert listed.labels.tolist() == [1, 3, 5]
    assert [Path(file).name for file in listed.files] == ["1.png", "3.png", "5.png"]
    columns = {"image_column": "where", "label_column": "number"}
    assert "all.csv has no row of split 'val', only of test, train." in refusal(
        "csv", place(root / "all.csv", "val", **columns)
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "test.csv is no table of comma-separated text: No columns to parse from file."),
        ("path,label\n", "holds no images."),
        ("a,b\n1,2\n", "the columns are a, b; name the right one with --image-column."),
        (
            "path,label\npictures/0.png,1\npictures/x.png,0\n",
            "line 3 of test.csv: there is no file ",
        ),
        ("path,label\npictures/0.png,\n", "column 'label' of test.csv has nothing in row 1"),
        ("path,label\npictures,0\n", "line 2 of test.csv: there is no file "),
        ('path,label\n"pictures/0.png,1\n', "test.csv is no table of comma-separated text: "),
        ("path,label\npictures/0.png\x1b[2J,1\n", "line 2 of test.csv: there is no file "),
    ],
)
def test_a_list_that_cannot_be_followed_is_refused(root: Path, text: str, sentence: str) -> None:
    (root / "test.csv").write_text(text)
    message = refusal("csv", place(root))
    assert sentence in message
    assert message.isprintable()


def test_a_list_that_is_no_file_or_no_text_is_refused(root: Path) -> None:
    assert "there is no test.csv." in refusal("csv", place(root))
    (root / "test.csv").write_bytes(b"path,label\n\xff\xfe,1\n")
    assert "test.csv is no table of comma-separated text" in refusal("csv", place(root))


def test_a_class_has_one_number_in_every_split(root: Path) -> None:
    rows = "pictures/0.png, ant,train\npictures/1.png, bee,test\npictures/2.png, cat,test\n"
    (root / "all.csv").write_text("path, label,split\n" + rows)
    train, test = (read_list(root / "all.csv", split) for split in ("train", "test"))
    assert list(train.classes) == list(test.classes) == ["ant", "bee", "cat"]
    assert (train.labels.tolist(), test.labels.tolist()) == ([0], [1, 2])
