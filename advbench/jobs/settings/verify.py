"""What a verification can be told: `advbench verify`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import shared
from .option import option

_AS_IN_THE_RUN = "as in the run"


@dataclass(frozen=True, kw_only=True)
class VerifySettings:
    """Everything that one verification is told; None where the run's own word holds."""

    run: Path = option(help="Folder of a run made with --save-adversarial.", argument=True)
    checkpoint: Path | None = option(None, help="Where the weights are now.", shown=_AS_IN_THE_RUN)
    members: tuple[Path, ...] = option((), like=shared.MEMBERS, panel=None, shown=_AS_IN_THE_RUN)
    model: str | None = option(
        None,
        help="The model's name again, which code of your own needs: a run folder cannot ask for it.",
        shown=_AS_IN_THE_RUN,
    )
    defenses: tuple[str, ...] = option(
        (),
        word="--defense",
        help="As --model: a defense of your own, as the run's command had it; repeat it for more.",
        shown=_AS_IN_THE_RUN,
    )
    surrogate: str | None = option(
        None, help="As --model: a surrogate of your own, which --deep needs.", shown=_AS_IN_THE_RUN
    )
    trust_program: bool = option(False, like=shared.TRUST_PROGRAM, panel=None)
    data_root: Path | None = option(None, help="Where the data set is now.", shown=_AS_IN_THE_RUN)
    quantize: Literal["8bit"] | None = option(
        None, help="Also tell how many examples still fool as 8-bit images.", shown="no"
    )
    deep: bool = option(
        False, help="Also measure again what verdicts rest on beside the records, with the run's attacks."
    )
    seal: str | None = option(
        None, help="The seal's digest as it was published, or its first 16 digits.", shown="not known"
    )
    signers: Path | None = option(
        None,
        help="Who may have signed the run: a file of allowed signers, as ssh-keygen reads it.",
        shown="no look at a signature",
    )
    no_limit: bool = option(
        False, help="Also compute what takes more steps or draws than a run from elsewhere may ask for."
    )
    device: str = option("auto", like=shared.DEVICE, panel=None)
    json: bool = option(False, help="Print the checks as JSON.")
    quiet: bool = option(False, help="Print what disagrees and nothing else.", short="-q")
    debug: bool = option(False, like=shared.DEBUG, panel=None)

    @property
    def as_8bit(self) -> bool:
        """Whether examples are also judged as 8-bit images."""
        return self.quantize is not None
