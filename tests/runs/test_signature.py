"""A run is signed by ssh-keygen and by nothing else, and whoever is trusted is known again."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

import advbench as ab
from advbench.errors import InputError, RunError
from advbench.runs.signature import SIGNATURE
from tests.programs import programs_started

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")

SMALL: Final[dict[str, Any]] = {"first": 4, "steps": 1, "save_adversarial": True}
KEYGEN: Final = ["ssh-keygen", "-q", "-t", "ed25519", "-f"]


def make_key(home: Path, name: str, passphrase: str = "") -> Path:
    """A key, and the line by which its owner may sign, in a file of the same name with `.signers`."""
    key = home / name
    subprocess.run([*KEYGEN, key, "-N", passphrase], check=True, stdin=subprocess.DEVNULL)
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    (home / f"{name}.signers").write_text(f'{name}@example.org namespaces="advbench" {public}\n')
    return key


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that `alice` has signed."""
    home = tmp_path_factory.mktemp("signed")
    ab.run(**SMALL, sign=make_key(home, "alice"), out=home / "run")
    make_key(home, "mallory")
    return home


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home / "run", tmp_path / "run"))


def told(run: Path, **options: Any) -> tuple[bool, str]:
    """What a verification says of the signature."""
    (check,) = (check for check in ab.verify(run, **options) if check.what == "signature")
    return check.holds, check.said


def test_the_signature_is_the_tools_own_and_names_who_signed(home: Path, run: Path) -> None:
    words = ["ssh-keygen", "-Y", "verify", "-n", "advbench", "-I", "alice@example.org"]
    words += ["-f", str(home / "alice.signers"), "-s", str(run / SIGNATURE)]
    by_itself = subprocess.run(words, check=True, capture_output=True, input=(run / "run.json").read_bytes())
    assert b'Good "advbench" signature for alice@example.org' in by_itself.stdout
    checks = ab.verify(run, signers=home / "alice.signers")
    assert all(check.holds for check in checks)
    holds, said = told(run, signers=home / "alice.signers")
    assert holds
    assert said.startswith("by alice@example.org, ED25519 key SHA256:")


def test_whoever_is_not_trusted_has_not_signed(home: Path, run: Path) -> None:
    assert told(run, signers=home / "mallory.signers") == (
        False,
        f"nobody of {home / 'mallory.signers'} has signed it",
    )
    other = (home / "alice.signers").read_text().replace("advbench", "git")
    (home / "other").write_text(other)
    assert told(run, signers=home / "other")[0] is False
    (run / SIGNATURE).write_text("no signature")
    assert "nobody of" in told(run, signers=home / "alice.signers")[1]
    (run / SIGNATURE).unlink()
    assert "cannot be read: No such file" in told(run, signers=home / "alice.signers")[1]


def test_a_run_that_was_changed_or_sealed_anew_is_not_what_was_signed(home: Path, run: Path) -> None:
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace('"status": "done"', '"status": "done" '))
    assert told(run, signers=home / "alice.signers") == (
        False,
        "it is alice@example.org's, of another file or for another purpose",
    )
    ab.run(**SMALL, formats="csv,json", out=run)
    assert not (run / SIGNATURE).exists()
    ab.run(**SMALL, formats="csv,json", sign=home / "alice", out=run)
    assert told(run, signers=home / "alice.signers")[0]


def test_without_a_list_no_program_is_started_and_the_signature_is_named(run: Path) -> None:
    with programs_started() as started:
        assert told(run) == (True, f"{SIGNATURE} is not looked at; --signers FILE says who may sign")
    assert not started


def test_what_cannot_sign_is_refused_before_the_run(home: Path, tmp_path: Path) -> None:
    for key, words in (
        (home / "nowhere", "cannot be read: No such file"),
        (home / "alice.signers", "is no SSH key"),
        (home, "cannot be read: it is a folder"),
    ):
        with pytest.raises(InputError, match=words):
            ab.run(**SMALL, sign=key, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_the_tool_nothing_is_begun(home: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="sign= needs ssh-keygen, which is part of OpenSSH"):
        ab.run(**SMALL, sign=home / "alice", out=run.with_name("none"))
    with pytest.raises(InputError, match="signers= needs ssh-keygen"):
        ab.verify(run, signers=home / "alice.signers")


def test_a_key_that_stays_locked_leaves_a_run_that_is_whole(tmp_path: Path) -> None:
    key = make_key(tmp_path, "locked", "a passphrase")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SSH_ASKPASS_REQUIRE", "force")  # instead of waiting at a terminal
        patched.setenv("SSH_ASKPASS", "false")
        with pytest.raises(RunError, match=r"done and sealed, and it is not signed: .* Sign it with 'ssh-"):
            ab.run(**SMALL, sign=key, out=tmp_path / "run")
    assert all(check.holds for check in ab.verify(tmp_path / "run"))
