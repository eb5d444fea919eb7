"""Whatever words are typed: an exit code of 0, 1, 2 or 130, and never a traceback."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from advbench import cli

# ruff: noqa: SIM905  # words as they are typed
VALUES = {
    "--checkpoint": ". /dev/null /proc/self/mem weights.pt",
    "--model": "digits-cnn lenet5 resnet20 no.such:thing ./none.py:make digits-cnn:width=3",
    "--mean": "0 0.5 0,0,0 nan x",
    "--std": "1 0 -1 1,1 inf",
    "--dataset": "digits mnist npz imagefolder cifar10 cifar",
    "--data-root": ". / /dev/null none",
    "--split": "test train none",
    "--image-size": "8 0 x",
    "--limit": "2 0 1e9",
    "--first": "1 3 -1",
    "--defense": "round bit-depth:bits=3 bit-depth:bits=99 round@layer2 round@logits round@nowhere"
    " none round+round round:step=nan round:step=1e-9 +round @ round@ :",
    "--attack": "pgd fgsm pgd:steps=2 pgd:loss=margin pgd:target=3 pgd:target=77 pgd:steps=x pgd:=, pgd@here",
    "--norm": "linf l2 l1",
    "--eps": "8/255 0.1 0 -1 1e999 nan inf 1/0 8 255 1e-30",
    "--steps": "1 2 0 x",
    "--step-size": "0.1 8/255 0 nan 1e30 1e-40",
    "--restarts": "1 2 0",
    "--seed": "0 1 -1 18446744073709551616",
    "--batch-size": "auto 1 7 0 x",
    "--device": "cpu meta cuda:7 gpu mps",
    "--out": "run runs . /dev/null none/run \x1b[31m",
    "--format": "csv markdown,json html , csv,,json",
    "--quantize": "8bit 4bit",
}
FLAGS = """
    --trust-program --bpda --random-start --no-random-start --overwrite --save-adversarial --successful-only
    --json --quiet -q --help --version --debugging -- - --download=no
""".split()
EVERY_VALUE = sorted({value for values in VALUES.values() for value in values.split()})
JUNK = st.text(st.characters(exclude_characters="\0"), max_size=12)
ODD = st.sampled_from(["ü", "\u202e", "🙂", "\ud800", "\x1b[31m", ""])
WORD = st.one_of(st.sampled_from([*VALUES, *FLAGS]), st.sampled_from(EVERY_VALUE), JUNK, ODD)
PAIR = st.sampled_from(sorted(VALUES)).flatmap(
    lambda option: st.tuples(st.just(option), st.sampled_from(VALUES[option].split()))
)
LIKELY = st.lists(st.one_of(PAIR, PAIR, PAIR, st.sampled_from(FLAGS).map(lambda flag: (flag,))), max_size=5)
COMMAND = st.one_of(st.sampled_from(["attack", "verify", "list", "sweep", ""]), WORD)
SMALL = ["--first", "2", "--steps", "1"]
FEW = ["--first", "2"]  # the last word counts


def assert_said_properly(code: int, out: str, err: str) -> None:
    assert code in (0, 1, 2, 130)
    assert "Traceback" not in err
    assert "a fault of advbench" not in err, "an error that nobody has thought of"
    if code:
        assert err.rstrip("\n").splitlines()[-1].startswith("advbench: error: ")
        assert "\x1b[31m" not in err, "words of the user's do not steer the terminal"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=LIKELY)
def test_likely_words_end_in_a_known_way(
    pairs: list[tuple[str, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word for pair in pairs for word in pair]
    code = cli.main(["attack", *SMALL, *words, *FEW])
    out, err = capsys.readouterr()
    assert_said_properly(code, out, err)
    event(f"exit code {code}")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(command=COMMAND, words=st.lists(WORD, max_size=7))
@example(command="attack", words=["--model", "resnet20:width=x"])
@example(command="attack", words=["--defense", "round", "--defense", "round"])
@example(command="verify", words=["/proc"])
@example(command="verify", words=["run", "--quantize", "16bit"])
@example(command="list", words=["\ud800"])
@example(command="attack", words=["--out", "x" * 5000])
@example(command="attack", words=["--eps", "9" * 5000])
@example(command="attack", words=["--limit", "9" * 5000])
@example(command="attack", words=["--attack", "pgd:steps=" + "9" * 5000])
@example(command="attack", words=["--model", ":"])
@example(command="attack", words=["--model", "a..b:c"])
@example(command="attack", words=["--mean", "0,0", "--std", "1"])
@example(command="attack", words=["--mean", "0", "--std", "0"])
def test_any_words_end_in_a_known_way(
    command: str,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code = cli.main([command, *words, *([*SMALL, *FEW] if command == "attack" else [])])
    out, err = capsys.readouterr()
    assert_said_properly(code, out, err)


@pytest.mark.slow
@settings(max_examples=12)
@given(words=st.lists(WORD, max_size=4))
@example(words=["attack", "--first", "2", "--steps", "1"])
@example(words=["--debug"])
def test_a_real_process_ends_as_the_function_does(
    words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "advbench", *(os.fsencode(each.encode("utf-8", "replace")) for each in words)],
        cwd=tmp_path_factory.mktemp("process"),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
        timeout=120,
    )
    out, err = (each.decode("utf-8", "replace") for each in (done.stdout, done.stderr))
    assert_said_properly(done.returncode, out, err)


def test_debug_is_the_one_word_that_shows_a_traceback(tmp_path: Path) -> None:
    words = shlex.split("attack --defense rond --debug")
    done = subprocess.run(
        [sys.executable, "-m", "advbench", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Traceback" in done.stderr
