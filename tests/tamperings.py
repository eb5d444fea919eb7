"""Kinds of tampering with a run: what is changed, and whether a verification can find it.

The first leave every digest as it was; those "sealed anew" forge the digests of run.json too; where "all is
made to fit", whatever is derived from records and run.json is forged as well. What cannot be found says why.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.forging import (
    everywhere,
    examples_of,
    fit,
    seal,
)
from tests.tampering_steps import (
    as_told_by,
    candidate,
    copied,
    edited,
    emptied,
    flipped,
    gone,
    in_both,
    in_part_alone,
    in_whole_alone,
    indicator,
    moved,
    network_of,
    network_origin,
    other_network,
    other_origin,
    part_of,
    part_origin,
    renamed_attack,
    replaced,
    replaced_in_search,
    samples_origin,
    search_of,
    settings,
    swapped_ranks,
    then,
    twice,
)

OWN_WORD: Final = "a run's own word, which nothing else tells; only a published seal holds it"
ON_THE_WAY: Final = "what the attack met on its way, which --deep makes again on a sample of the images"
AS_GOOD: Final = "the example is as good a witness: in the ball, and predicted as recorded"


@dataclass(frozen=True)
class Tampering:
    """A way to tamper with a run.

    Args:
        name: what is done.
        change: does it, to a copy.
        blamed: what one of the failing checks is called; empty where nothing finds it.
        why: why it cannot be found.
        deep: whether it takes the attacks to find it.
        published: whether it takes the seal's digest, as it was published.
    """

    name: str
    change: Callable[[Path], object]
    blamed: str = ""
    why: str = ""
    deep: bool = False
    published: bool = False


TABLES: Final = {"table.csv": ",12,", "table.md": "/12", "table.tex": "$_{[", "table.json": '"n": 12'}
NUMBERS: Final = {"table.csv": ",11,", "table.md": "/11", "table.tex": "$_{[1", "table.json": '"n": 11'}
KINDS: Final = {
    "samples.parquet": "samples.parquet",
    **{name: name for name in (*TABLES, "report.html", "indicators.csv", "substitutes.csv")},
    "parts/0000-*.parquet": "parts/",
    "adversarial/0000-*.safetensors": "adversarial/",
    "substitutes/learned-*.safetensors": "substitutes/",
    "substitutes/search-*.json": "substitutes/",
}
"""Every kind of file, and how the check's name begins that finds a change of it."""

ENTRIES: Final[dict[tuple[str, ...], Any]] = {
    ("started",): "2020-01-01T00:00:00+00:00",
    ("finished",): "2020-01-01T00:00:00+00:00",
    ("command",): ["advbench", "attack"],
    ("notes",): ["all is well"],
    ("warnings",): ["none, pgd: a warning"],
    ("candidates",): [],
    ("earlier_starts",): [{"started": "2020-01-01T00:00:00+00:00"}],
    ("machine", "name"): "another",
    ("versions", "torch"): "1.0",
    ("commits",): {"advbench": "0" * 40},
    ("execution", "data_root"): "elsewhere",
    ("execution", "processes"): 8,
    ("normalization",): {"by": "the user"},
    ("checkpoint", "source"): "another",
    ("shown", "attack"): 10**9,
    ("tables",): {"digits": 3},
    ("heading", "model"): "resnet20",
    ("heading", "attacks"): ["apgd"],
    ("heading", "eps"): "0.01",
    ("heading", "notes"): ["all is well"],
    ("heading", "doubts"): {"none": ["it is random"]},
    ("heading", "rules"): 1,
    ("settings", "seed"): 7,
    ("settings", "judge_draws"): 3,
    ("settings", "preparation"): {"interpolation": "bicubic"},
    ("files", "table.csv"): "0" * 64,
    ("seal", "entries"): "0" * 64,
}
"""Entries of run.json, each with something else in its place."""

FELL: Final = "rung == 'bpda' and not robust and queries > 0"
STOOD: Final = "rung == 'shattered' and robust and queries > 0"


def _lazy() -> list[Tampering]:
    made = []
    for pattern, blamed in KINDS.items():
        made += [
            Tampering(f"a bit of {pattern}", flipped(pattern), blamed),
            Tampering(f"{pattern} deleted", gone(pattern), blamed),
            Tampering(
                f"{pattern} emptied",
                emptied(pattern),
                blamed,
            ),
        ]
    made += [
        Tampering(f"{'.'.join(path)} of run.json", edited(*path, to=new), "seal")
        for path, new in ENTRIES.items()
    ]
    extra = {
        "parts/0000-*.parquet": "parts/0009-000000-0.parquet",
        "adversarial/0000-*.safetensors": "adversarial/0009-000000-0.safetensors",
        "substitutes/learned-*.safetensors": "substitutes/learned-0.safetensors",
        "substitutes/search-*.json": "substitutes/search-0.json",
    }
    made += [Tampering(f"{new} added", copied(old, new), new) for old, new in extra.items()]
    return [
        *made,
        Tampering("all parts deleted", gone("parts/*", 1000), "parts/"),
        Tampering(
            "a file taken out of the seal",
            edited("seal", "files", to=lambda files: dict(list(files.items())[1:])),
            "adversarial/",
        ),
        Tampering("an indicator changed", indicator("one_step", part=5.0), "seal"),
        Tampering(
            "two tables swapped",
            then(copied("table.md", "t"), copied("table.tex", "table.md"), copied("t", "table.tex")),
            "table.md",
        ),
        Tampering("seal.folder of run.json", edited("seal", "folder", to="another"), "numbers of report"),
    ]


def _sealed() -> list[Tampering]:
    def forged(
        name: str, change: Callable[[Path], object], blamed: str = "", why: str = "", *, deep: bool = False
    ) -> Tampering:
        return Tampering(f"{name}, sealed anew", then(change, seal), blamed, why, deep)

    made = [
        forged(f"a count of {name}", replaced(name, old, NUMBERS[name]), f"numbers of {name}")
        for name, old in TABLES.items()
    ]
    return [
        *made,
        forged("words of table.md", replaced("table.md", "Accuracy", "Robustness"), "numbers of table.md"),
        forged(
            "a comment in table.tex",
            lambda run: (run / "table.tex").write_text((run / "table.tex").read_text() + "% fine\n"),
            "numbers of table.tex",
        ),
        forged("a count of report.html", replaced("report.html", "/12<", "/11<"), "numbers of report.html"),
        forged(
            "a figure of report.html",
            replaced("report.html", "<svg", "<svg data-x"),
            "numbers of report.html",
        ),
        forged(
            "a verdict of report.html",
            replaced("report.html", "<li class=", "<li id="),
            "numbers of report.html",
        ),
        forged(
            "a picture of report.html",
            replaced("report.html", "base64,", "base64,AAAA"),
            "numbers of report.html",
        ),
        forged(
            "a figure of indicators.csv",
            replaced("indicators.csv", ",1.0,", ",0.0,"),
            "numbers of indicators.csv",
        ),
        forged("indicators.csv deleted", gone("indicators.csv"), "numbers of indicators.csv"),
        forged("substitutes.csv deleted", gone("substitutes.csv"), "numbers of substitutes.csv"),
        forged(
            "a figure of substitutes.csv",
            replaced("substitutes.csv", ",10,1,", ",11,1,"),
            "numbers of substitutes.csv",
        ),
        forged("an indicator of run.json alone", indicator("one_step", part=3.0), "numbers of"),
        forged("the candidates of run.json alone", edited("candidates", to=[]), "numbers of substitutes.csv"),
        forged(
            "the warnings of run.json alone",
            edited("warnings", to=["none, pgd: a warning"]),
            "warnings of run.json",
        ),
        forged("the notes of run.json alone", edited("notes", to=["all is well"]), "notes of run.json"),
        forged("fewer images shown", edited("shown", "attack", to=1), "shown"),
        forged("a part deleted", gone("parts/*"), "parts/"),
        forged("all parts deleted", gone("parts/*", 1000), "parts/"),
        forged("a part forged", in_part_alone("late_gain", 0.5), "parts/"),
        forged("a record forged", in_whole_alone("late_gain", 0.5), "parts/"),
        forged(
            "a part twice",
            twice(part_of),
            "parts of adversarial/",
        ),
        forged(
            "an example that no part names",
            twice(examples_of),
            "parts of adversarial/",
        ),
        forged("examples deleted", gone("adversarial/*"), "parts of adversarial/"),
        forged("the origin of an example", other_origin(device="cuda"), "origins"),
        forged("the seed in an example", other_origin(seed="9"), "origins"),
        forged("the origin of a fitted network", network_origin(seed="9"), "origins"),
        forged("the origin of a search", replaced_in_search('"seed": "0"', '"seed": "9"'), "origins"),
        forged("the origin of a part", part_origin(command="advbench"), "origins"),
        forged("the origin of samples.parquet", samples_origin(versions="torch 1.0"), "origins"),
        forged("the machine of run.json alone", edited("machine", "name", to="another"), "origins"),
        forged("a version of run.json alone", edited("versions", "torch", to="1.0"), "origins"),
        forged("the command of run.json alone", edited("command", to=["advbench"]), "origins"),
        forged("a commit of run.json alone", edited("commits", to={"advbench": "0" * 40}), "origins"),
        forged("the seed of run.json alone", edited("settings", "seed", to=7), "origins"),
        forged("the model of the heading", edited("heading", "model", to="resnet20"), "run.json"),
        forged("the attack of the heading", edited("heading", "attacks", to=["apgd"]), "run.json"),
        forged("an indicator taken out", indicator("unbounded"), "indicators"),
        forged("an indicator of more than there are", indicator("noise", part=99.0), "indicators"),
        forged("an indicator of fewer images", indicator("noise", whole=2.0), "indicators"),
        forged("an indicator below nothing", indicator("noise", part=-1.0), "indicators"),
        forged("a fitted network deleted", gone("substitutes/learned-*"), "substitutes/"),
        forged(
            "a fitted network of other bytes",
            lambda run: network_of(run).write_bytes(b"x" * 500),
            "substitutes/",
        ),
        forged("a search deleted", gone("substitutes/search-*"), "substitutes/"),
        forged(
            "a search forged alone",
            lambda run: search_of(run).write_text(
                search_of(run).read_text().replace('"steps": ', '"steps": 1')
            ),
            "substitutes/",
        ),
        forged("another fitted network", other_network(0.1), "substitutes again", deep=True),
        forged("a fitted network a little off", other_network(1e-3), "substitutes again", deep=True),
        forged("an example moved by 1e-8", moved(1e-8, "gradient_free"), "numbers of report.html"),
        forged(
            "the seal taken off",
            edited("seal", to=None),
            why="nothing is lost: what a forged seal cannot prove is derived again all the same",
        ),
    ]


def _fitted() -> list[Tampering]:
    def forged(
        name: str, change: Callable[[Path], object], blamed: str = "", why: str = "", *, deep: bool = False
    ) -> Tampering:
        return Tampering(f"{name}, all made to fit", then(change, fit), blamed, why, deep)

    columns: dict[str, tuple[str, Callable[[Any], Any], str, str]] = {
        "robust": (FELL, lambda _: True, "bit-depth:bits=2 · pgd", ""),
        "prediction": (FELL, lambda k: (k + 1) % 10, "bit-depth:bits=2 · pgd", ""),
        "distance": (FELL, lambda d: d / 2, "bit-depth:bits=2 · pgd", ""),
        "loss": (STOOD, lambda loss: loss + 0.1, "none · pgd", ""),
        "smallest": (FELL, lambda d: d / 3, "bit-depth:bits=2 · pgd", ""),
        "fooled_share": (FELL, lambda _: 0.75, "bit-depth:bits=2 · pgd", ""),
        "label": (FELL, lambda k: (k + 1) % 10, "bit-depth:bits=2", ""),
        "steps": (FELL, lambda n: n + 1, "", ON_THE_WAY),
        "queries": (FELL, lambda n: n + 1, "", ON_THE_WAY),
        "flat_gradient": (FELL, lambda _: True, "", ON_THE_WAY),
        "late_gain": (STOOD, lambda _: 0.9, "", ON_THE_WAY),
        "loss_1": (FELL, lambda loss: loss + 1.0, "", ON_THE_WAY),
        "loss_end": (FELL, lambda loss: loss + 1.0, "", ON_THE_WAY),
    }
    made = [
        Tampering(
            f"{column} of a record and its part, all made to fit",
            in_both(where, column, to),
            blamed,
            why,
        )
        for column, (where, to, blamed, why) in columns.items()
    ]
    made += [replace(kind, blamed="records again", why="", deep=True) for kind in made if kind.why]
    return [
        *made,
        forged(
            "an indicator",
            indicator("one_step", part=3.0),
            why="a figure of the attacks, which --deep measures again",
        ),
        forged("an indicator", indicator("one_step", part=3.0), "indicators again", deep=True),
        forged(
            "an indicator that turns a verdict",
            indicator("unbounded", part=10.0),
            "verdicts again",
            deep=True,
        ),
        forged("a cosine a little better", indicator("agreement", part=4.321), "indicators again", deep=True),
        forged(
            "a doubt",
            edited("heading", "doubts", to={"none": ["the model is random"]}),
            "doubts again",
            deep=True,
        ),
        forged("an example moved by 1e-3", moved(1e-3, "gradient_free"), "none · square"),
        forged("an example moved by 1e-8", moved(1e-8, "gradient_free"), why=AS_GOOD),
        forged("a note", edited("heading", "notes", to=["all is well"]), why=OWN_WORD),
        forged("the start", edited("started", to="2020-01-01T00:00:00+00:00"), why=OWN_WORD),
        forged("the end", edited("finished", to="2020-01-01T00:00:00+00:00"), why=OWN_WORD),
        forged("a candidate", candidate(2, agreement=0.123), "substitutes again", deep=True),
        forged("a candidate that leaves more than there are", candidate(2, standing=99), "substitutes/"),
        forged(
            "a candidate that leaves less than the first",
            candidate(2, standing=0, agreement=1.0),
            "substitutes/",
        ),
        forged("the candidates' order", swapped_ranks, "substitutes/"),
        Tampering("the machine, all made to fit", as_told_by("machine", "name", to="another"), why=OWN_WORD),
        Tampering("a version, all made to fit", as_told_by("versions", "torch", to="1.0"), why=OWN_WORD),
        Tampering("the command, all made to fit", as_told_by("command", to=["advbench"]), why=OWN_WORD),
        Tampering(
            "the commit, all made to fit", as_told_by("commits", to={"advbench": "0" * 40}), why=OWN_WORD
        ),
        Tampering("the seed, all made to fit", settings(seed=7), "indicators again", deep=True),
        Tampering(
            "a larger ball, all made to fit",
            settings(eps="0.3"),
            why="true of every example: what fell in a ball has fallen in a larger one",
        ),
        Tampering(
            "a larger ball, all made to fit",
            settings(eps="0.3", eps_value=0.3),
            "indicators again",
            deep=True,
        ),
        Tampering(
            "a smaller ball, all made to fit", settings(eps="0.01", eps_value=0.01), "bit-depth:bits=2 · pgd"
        ),
        Tampering("another normalisation, all made to fit", settings(mean=[0.5], std=[0.5]), "none · clean"),
        Tampering("fewer images, all made to fit", settings(first=11), "images"),
        Tampering("a stronger attack's name, all made to fit", renamed_attack, "attacks", deep=True),
        *(
            Tampering(f"{name}, against a published seal", change, "seal", published=True)
            for name, change in {
                "the start": then(edited("started", to="2020-01-01T00:00:00+00:00"), fit),
                "a note": then(edited("heading", "notes", to=["all is well"]), fit),
                "the machine": as_told_by("machine", "name", to="another"),
                "an indicator": then(indicator("one_step", part=3.0), fit),
                "what the attack met": lambda run: everywhere(run, STOOD, "late_gain", lambda _: 0.9),
                "an example moved by 1e-8": then(moved(1e-8, "gradient_free"), fit),
                "the seal taken off": edited("seal", to=None),
            }.items()
        ),
    ]


TAMPERINGS: Final = [*_lazy(), *_sealed(), *_fitted()]
