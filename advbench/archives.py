"""Zip archives that declare more than they can honestly hold: refused before anything is unpacked."""

import zipfile

_HARMLESS = 1 << 30  # bytes; what unpacks to less can be held
_RATIO = 100  # images and weights pack to a tenth or a fiftieth at best, zeros alone to a thousandth


def bomb_in(archive: zipfile.ZipFile, size: int) -> str | None:
    """What is wrong with an archive that would fill the memory.

    Args:
        archive: opened, not read.
        size: of its file, in bytes.

    Returns:
        A sentence that says what it declares, or None if it is credible.
    """
    declared = sum(member.file_size for member in archive.infolist())
    if declared <= max(_HARMLESS, _RATIO * size):
        return None
    return f"it has {size:,} bytes and declares to unpack to {declared:,}, which no honest file does"
