"""What a verification has looked at, a line each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """Something that was checked: what, whether it holds, and in words."""

    what: str
    holds: bool
    said: str
