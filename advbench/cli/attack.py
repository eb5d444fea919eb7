"""`advbench attack`: one model, some defenses, the table."""

from advbench.cli import complete
from advbench.cli.typed import command
from advbench.jobs.settings.run import RunSettings


def _attack(settings: RunSettings) -> None:
    """Attack a classifier behind defenses and write the table: clean, shattered and BPDA accuracy.

    Without any option it attacks the bundled digits model. Try: advbench attack --defense round --bpda
    """
    if "," in (settings.eps or ""):
        from advbench.cli import curve  # noqa: PLC0415  # imports torch; --help must not

        curve.run(settings)
        return
    from advbench.cli.session import run  # noqa: PLC0415  # imports torch; --help must not

    run(settings)


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
