"""`advbench verify`: a run's adversarial examples judged again, without any attack."""

from advbench.cli.typed import command
from advbench.jobs.settings.verify import VerifySettings


def _verify(settings: VerifySettings) -> None:
    """Check a run's examples, predictions, files and table against model, defenses and data, attack-free.

    Prints a line for each file and rung; the exit code is 1 if anything disagrees.
    """
    from advbench.cli.verification import run_verification  # noqa: PLC0415  # imports torch; --help must not

    run_verification(settings)


verify = command(VerifySettings, _verify)
