"""A signature of a run's `run.json`, and so of everything that its seal holds, by OpenSSH's `ssh-keygen`.

Nothing of it is home-made: the file is what `ssh-keygen -Y sign -n advbench run.json` writes, and whoever has
no `advbench` can check it with `ssh-keygen -Y verify` (ssh-keygen(1), since OpenSSH 8.1).
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from advbench.errors import InputError, RunError
from advbench.files import write_whole
from advbench.regular_files import check_regular, read_regular

SIGNATURE: Final = "run.json.sig"
"""The signature's file, beside `run.json`."""

_NAMESPACE: Final = "advbench"
_BEGIN: Final = b"-----BEGIN SSH SIGNATURE-----"
_LARGEST: Final = 1 << 16  # bytes of a signature
_LARGEST_LIST: Final = 1 << 20  # bytes of a list of signers
_TOOL: Final = "ssh-keygen"


def check_key(key: Path) -> None:
    """See whether a key can be signed with, as far as that is known before the end.

    Args:
        key: an OpenSSH private key, or a public one whose private key an agent holds.

    Raises:
        InputError: no such file, no key, or no `ssh-keygen`.
    """
    _check_file("--sign", key)
    _tool("--sign")
    if _ask(["-l", "-f", str(key)]).returncode:
        raise InputError(f"--sign {key} is no SSH key.")


def sign(account: Path, key: Path) -> None:
    """Write the signature of a run beside its `run.json`.

    Args:
        account: the file.
        key: as for `check_key`; a passphrase is asked for by `ssh-keygen` itself, at the terminal.

    Raises:
        RunError: it could not be signed; the run is whole all the same.
    """
    told = _ask(["-Y", "sign", "-f", str(key), "-n", _NAMESPACE], account.read_bytes())
    if told.returncode or not told.stdout.startswith(_BEGIN):
        raise RunError(
            f"the run is done and sealed, and it is not signed: {_first_line(told.stderr).rstrip('.')}. Sign "
            f"it with "
            f"'{_TOOL} -Y sign -f {key} -n {_NAMESPACE} {account}'."
        )
    write_whole(account.with_name(SIGNATURE), told.stdout)


def signer_of(account: bytes, signature: Path, signers: Path) -> tuple[str, str]:
    """Who of a list has signed a `run.json`.

    Args:
        account: the file's contents.
        signature: the signature's file, which may have been forged.
        signers: who may sign, as in ssh-keygen(1), "ALLOWED SIGNERS".

    Returns:
        Who it is with the key's fingerprint, empty where nobody is; and why nobody is.

    Raises:
        InputError: no list, or no `ssh-keygen`.
    """
    _check_file("--signers", signers)
    _tool("--signers")
    try:
        contents = read_regular(signature, _LARGEST)
        allowed = read_regular(signers, _LARGEST_LIST)
    except OSError as error:
        return "", f"{error.filename or signature} cannot be read: {error.strerror}"
    with tempfile.TemporaryDirectory() as home:  # what was looked at is what the tool reads
        given, known = Path(home, SIGNATURE), Path(home, "signers")
        given.write_bytes(contents)
        known.write_bytes(allowed)
        lists = ["-f", str(known), "-s", str(given)]
        principals = _ask(["-Y", "find-principals", *lists])
        name = _first_line(principals.stdout)
        if principals.returncode or not name:
            return "", f"nobody of {signers} has signed it"
        told = _ask(["-Y", "verify", *lists, "-I", name, "-n", _NAMESPACE], account)
    good = _first_line(told.stdout)
    if told.returncode or not good.startswith("Good "):
        return "", f"it is {name}'s, of another file or for another purpose"
    return f"{name}, {good.rpartition(' with ')[2]}", ""


def _ask(words: Sequence[str], message: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    tool = shutil.which(_TOOL)
    assert tool is not None, "the caller has looked"
    return subprocess.run([tool, *words], input=message, capture_output=True, check=False)  # noqa: S603  # no shell


def _first_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[0].strip() if lines else ""


def _tool(option: str) -> None:
    if shutil.which(_TOOL) is None:
        raise InputError(f"{option} needs {_TOOL}, which is part of OpenSSH and is not installed here.")


def _check_file(option: str, path: Path) -> None:
    try:
        check_regular(path)
    except OSError as error:
        raise InputError(f"{option} {path} cannot be read: {error.strerror}.") from error
