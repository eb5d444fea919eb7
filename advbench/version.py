"""The version, which a command can say before anything is imported."""

from typing import Final

VERSION: Final = "0.1.0"
