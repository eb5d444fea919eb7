"""`advbench attack`: one model, some defenses, the table."""

from advbench.cli import complete
from advbench.cli.typed import command
from advbench.jobs.settings.run import RunSettings


def _attack(settings: RunSettings) -> None:
    """Attack a classifier behind defenses and write the table: clean, shattered and BPDA accuracy.

    Without any option it attacks the bundled digits model. Try: advbench attack --defense round --bpda
    """
    from advbench.cli.runs import run_attack, run_curve  # noqa: PLC0415  # imports torch; --help must not

    (run_curve if "," in (settings.eps or "") else run_attack)(settings)


attack = command(
    RunSettings,
    _attack,
    {
        "model": complete.complete_model,
        "dataset": complete.complete_dataset,
        "defenses": complete.complete_defense,
        "attacks": complete.complete_attack,
    },
)
