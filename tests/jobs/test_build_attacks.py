"""From words to attacks and rungs; what fits nothing is refused before anything is loaded."""

from typing import Any

import pytest

from advbench.attacks import FMN, PGD, Square
from advbench.errors import InputError, SpecError
from advbench.jobs.build_attacks import (
    assemble,
    attack_tests,
    attacks_of,
    full_attack,
    gradient_free_attack,
    listed,
    make_attacks,
    rungs_of,
    shared_parameters,
)
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.run import RunSettings
from advbench.results.records import LADDER
from advbench.threat.threat import Threat

THREAT = Threat.parse("linf", "0.1")


@pytest.mark.parametrize(
    ("options", "rungs"),
    [
        ({}, ["shattered"]),
        ({"bpda": True}, ["shattered", "bpda"]),
        ({"substitutes": ("smooth",)}, ["shattered", "bpda"]),
        ({"rungs": " worst, static,static "}, ["static", "shattered", "worst"]),
        ({"ladder": True}, list(LADDER)),
        ({"fail_on": "masked"}, list(LADDER)),
        ({"min_robust": 0.4}, list(LADDER)),
    ],
)
def test_rungs_stand_in_the_order_of_the_ladder(options: dict[str, Any], rungs: list[str]) -> None:
    assert list(rungs_of(RunSettings(**options))) == rungs


def test_a_test_of_the_attacks_is_run_with_the_ladder() -> None:
    options = RunSettings(tests=("binarization",))
    assert attack_tests(options) == ("binarization",)
    assert rungs_of(options) == LADDER
    assert attack_tests(RunSettings()) == ()


def test_shared_options_are_those_that_were_set() -> None:
    assert shared_parameters(RunSettings()) == {}
    options = RunSettings(steps=3, step_size="2/255", restarts=4, random_start=False)
    assert shared_parameters(options) == {
        "steps": "3",
        "step_size": "2/255",
        "restarts": "4",
        "random_start": "false",
    }


@pytest.mark.parametrize(
    ("text", "parameters", "taken"),
    [
        ("pgd", {"steps": "3", "restarts": "2"}, {"steps", "restarts"}),
        ("pgd:steps=9", {"steps": "9", "restarts": "2"}, {"steps", "restarts"}),
        ("fmn", {"steps": "3"}, {"steps"}),
        ("square:queries=5", {"queries": "5"}, set()),
    ],
)
def test_an_attack_takes_what_it_has_and_its_own_word_wins(
    text: str, parameters: dict[str, str], taken: set[str]
) -> None:
    full = full_attack(text, {"steps": "3", "restarts": "2"})
    assert full.spec.name == text.partition(":")[0]
    assert full.spec.parameters == parameters
    assert full.taken == taken


def test_attacks_are_described_with_the_step_that_they_take() -> None:
    options = RunSettings(attacks=("pgd", "square:queries=9"), steps=5)
    made = make_attacks(options, THREAT)
    assert made.objects == {"pgd:steps=5": PGD(steps=5), "square:queries=9": Square(queries=9)}
    assert made.settings["pgd:steps=5"]["step_size"] == pytest.approx(2.5 * 0.1 / 5)
    assert made.settings["pgd:steps=5"]["class"].endswith("pgd.PGD")


def test_an_attack_that_is_given_is_left_as_it_is_and_takes_no_option() -> None:
    own = PGD(steps=7)
    options = RunSettings(attacks=("mine", "pgd"), steps=5)
    made = make_attacks(options, THREAT, {"mine": own})
    assert made.objects["mine"] is own
    assert made.objects["pgd:steps=5"] == PGD(steps=5)
    with pytest.raises(SpecError, match="--steps fits none of the attacks mine"):
        make_attacks(RunSettings(attacks=("mine",), steps=5), THREAT, {"mine": own})


def test_callers_give_words_attacks_or_both() -> None:
    def own(*_: Any) -> Any:
        """An attack that does nothing."""

    assert attacks_of("pgd") == (("pgd",), {})
    assert attacks_of(["pgd", FMN(steps=3)]) == (("pgd", "fmn:steps=3"), {"fmn:steps=3": FMN(steps=3)})
    assert attacks_of({"mine": "pgd:steps=4"}) == (("mine",), {"mine": PGD(steps=4)})
    names, made = attacks_of(own)
    assert (names, made["own"]) == (("own",), own)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            lambda: rungs_of(RunSettings(rungs="stairs")),
            "there is no rung 'stairs'; known: static, shattered",
        ),
        (lambda: rungs_of(RunSettings(rungs="clean")), "there is no rung 'clean'"),
        (lambda: attack_tests(RunSettings(tests=("blind",))), "there is no test 'blind'"),
        (lambda: full_attack("pgd@logits", {}), "an attack has no place, got 'pgd@logits'."),
        (lambda: full_attack("pdg", {}), "there is no attack called 'pdg'"),
        (lambda: gradient_free_attack(RunSettings(gradient_free="sqare")), "Did you mean 'square'"),
        (lambda: make_attacks(RunSettings(attacks=("pgd", "pgd")), THREAT), "attack 'pgd' is given twice."),
        (lambda: attacks_of([PGD]), "an attack must be a word or an advbench.Attack"),
        (
            lambda: attacks_of([3], "gradient_free"),
            "gradient_free must be a word or an advbench.Attack",
        ),
        (lambda: attacks_of([PGD(), PGD()]), "attack 'pgd' is given twice; give {name: attack}"),
        (
            lambda: assemble(RunSettings(first=2), Ranks(0, 3)),
            "3 processes cannot share 2 images",
        ),
    ],
)
def test_what_cannot_be_run_is_refused(made: Any, said: str) -> None:
    with pytest.raises(InputError) as refused:
        made()
    assert said in str(refused.value)


def test_a_job_has_the_gradient_free_attack_only_where_its_rung_is_run() -> None:
    plain = assemble(RunSettings(first=2), Ranks())
    assert (plain.rungs, plain.gradient_free.objects, plain.nameless) == (("shattered",), {}, ())
    whole = assemble(RunSettings(first=2, rungs="gradient_free", gradient_free="square:queries=5"), Ranks())
    assert whole.gradient_free.objects == {"square:queries=5": Square(queries=5)}
    assert whole.subject.indices == [0, 1]
    assert listed(" a, ,b,") == ["a", "b"]


def test_a_model_without_a_gradient_gains_a_rung_and_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advbench.jobs.build_attacks.lacks_gradient", lambda _: True)
    job = assemble(RunSettings(label_only="hard-label:queries=5", first=4), Ranks())
    assert list(job.rungs) == ["shattered", "gradient_free", "label_only"]
    assert list(job.label_only.objects) == ["hard-label:queries=5"]
    assert len(job.gradient_free.objects) == 1
