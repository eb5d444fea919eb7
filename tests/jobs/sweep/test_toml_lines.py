"""Where values stand in a TOML file: every path that `tomllib` finds, on the line where it was written."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advbench.jobs.sweep.toml_lines import Path, lines_of

TEXT = '''\
# a comment with = and [brackets]
defenses = ["a#b", # "
  "b]", 'c,"',
  { defense = "x", steps = 3 },
  """several "quotes"
  over \\""" lines""", 1e3,
]
"quo=ted".b = 3
e = []
f = \'\'\'
[no.header]
\'\'\'
[defaults]
steps = 3 # more
x."y.z" = 1979-05-27T07:32:00Z
[[models]]
model = "a"

[[models]]
  model = "b"
  defenses = ["q",
     "r"]
  [[ models . sub ]]
  a = 1
  [[models.sub]]
  a = [[1, 2], [
    3]]
  [models."t]"]
  b = {}
'''


def paths_of(value: Any, where: Path = ()) -> list[Path]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [where] * bool(where) + [path for key, each in inner for path in paths_of(each, (*where, key))]


def test_every_value_has_its_line() -> None:
    lines = lines_of(TEXT)
    assert set(lines) == set(paths_of(tomllib.loads(TEXT)))
    expected: dict[Path, int] = {
        ("defenses", 0): 2,
        ("defenses", 2): 3,
        ("defenses", 3, "steps"): 4,
        ("defenses", 4): 5,
        ("defenses", 5): 6,
        ("quo=ted", "b"): 8,
        ("f",): 10,
        ("defaults", "x", "y.z"): 15,
        ("models", 0): 16,
        ("models", 1, "defenses", 1): 22,
        ("models", 1, "sub", 1, "a", 1, 0): 27,
        ("models", 1, "t]", "b"): 29,
    }
    assert {path: lines[path] for path in expected} == expected


@pytest.mark.parametrize("text", ["", "\n\n# nothing\n", "a = 1", "a=1\r\nb=2\r\n"])
def test_small_files_are_read_to_their_end(text: str) -> None:
    assert list(lines_of(text)) == paths_of(tomllib.loads(text))


WORDS = st.text(st.sampled_from("ab\"'\\#=[]{}, \n\t"), max_size=6)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=6, unique_by=lambda pair: pair[0]))
def test_no_text_in_quotes_leads_the_scan_astray(pairs: list[tuple[str, str]]) -> None:
    def quoted(text: str) -> str:
        for raw, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
            text = text.replace(raw, escaped)
        return f'"{text}"'

    text = "\n".join(f"{quoted(key)} = [{quoted(value)}, 1]" for key, value in pairs)
    lines = lines_of(text)
    assert {key: lines[key,] for key, _ in pairs} == {key: at for at, (key, _) in enumerate(pairs, start=1)}
    assert set(lines) == set(paths_of(tomllib.loads(text)))
