"""`advbench verify`: a run's adversarial examples judged again, without any attack."""

import json
import sys
from dataclasses import asdict

from advbench.cli.typed import command
from advbench.errors import RunError, printable
from advbench.jobs.settings.verify import VerifySettings


def _verify(settings: VerifySettings) -> None:
    """Check a run's examples, predictions, files and table against model, defenses and data, attack-free.

    Prints a line for each file and rung; the exit code is 1 if anything disagrees.
    """
    from advbench.jobs.verify import check_run  # noqa: PLC0415  # imports torch; --help must not

    checks = []
    for check in check_run(settings):
        checks.append(check)
        if not settings.json and not (settings.quiet and check.holds):
            line = printable(f"{check.what}: {check.said}")
            sys.stdout.write(f"{'ok   ' if check.holds else 'WRONG'}  {line}\n")
            sys.stdout.flush()
    if settings.json:
        records = [asdict(check) for check in checks]
        sys.stdout.write(json.dumps(records, indent=2, ensure_ascii=False) + "\n")
    wrong = [check.what for check in checks if not check.holds]
    if wrong:
        raise RunError(
            f"{len(wrong)} of {len(checks)} checks of {settings.run} disagree: {', '.join(wrong)}."
        )


verify = command(VerifySettings, _verify)
