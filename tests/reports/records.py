"""Rows that the tests of reports share: every rung, a missing cell, a random defense, and a hostile name."""

from dataclasses import replace
from typing import Final

from advbench.results.records import Rate, Row, Spread
from advbench.results.statistics import PairedCounts

HOSTILE: Final = "<script>alert(1)</script> & 100%_"

NONE: Final = Row(
    model="net",
    dataset="digits",
    n=200,
    defense="none",
    norm="linf",
    eps="8/255",
    attack="pgd:steps=40",
    rates={"clean": Rate(198, 200), "shattered": Rate(4, 200)},
    reasons={"bpda": "no defense to substitute"},
)
ROUND: Final = replace(
    NONE,
    defense="round",
    rates={"clean": Rate(197, 200), "shattered": Rate(196, 200), "bpda": Rate(0, 200)},
    reasons={},
    substitute="identity; soft",
    pairs={"bpda": PairedCounts(0, 196, 0, 200)},
)
RANDOM: Final = replace(
    ROUND,
    defense="resize-pad",
    rates={
        "clean": Rate(190, 200, Spread(0.9465, 0.0071)),
        "shattered": Rate(120, 200, Spread(0.6, 0.02)),
        "bpda": Rate(20, 200, Spread(0.0975, 0.01)),
    },
    substitute="exact",
    pairs={"bpda": PairedCounts(15, 105, 5, 200)},
    warnings=("the defense is random",),
)
NAMED: Final = replace(
    ROUND,
    defense=HOSTILE,
    rates={**ROUND.rates, "bpda": Rate(30, 200)},
    substitute="soft",
    pairs={},
    warnings=(),
)
ROWS: Final = (NONE, ROUND, RANDOM, NAMED)
NONE_TEN: Final = replace(NONE, n=10, attack="pgd", rates={"clean": Rate(10, 10), "shattered": Rate(0, 10)})
ROUND_TEN: Final = replace(
    NONE_TEN,
    defense="round",
    rates={"clean": Rate(9, 10), "shattered": Rate(8, 10), "bpda": Rate(1, 10)},
    reasons={},
    substitute="identity",
)
PAIRED_TEN: Final = replace(ROUND_TEN, pairs={"bpda": PairedCounts(0, 7, 0, 10)})
ORIGIN: Final = {"seed": "0", "command": "advbench attack --defense 'a --> b % c'", "run": "0" * 64}
