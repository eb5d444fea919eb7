"""A run behind MeanSparse is verified with its statistics measured anew."""

import json
from pathlib import Path

import advbench as ab
from advbench.jobs.verify_statistics import check_statistics
from tests.forging import seal

LINK = {"at": "layer1", "statistics": {"images": 60, "of": "train", "sha256": "0" * 16}}


def test_only_defenses_with_statistics_are_looked_at() -> None:
    assert check_statistics({"round": [{"at": "input"}]}, {"round": [{"at": "input"}]}) is None


def test_the_same_images_hold_and_others_do_not() -> None:
    holds = check_statistics({"g": [LINK]}, {"g": [LINK]})
    assert holds is not None
    assert holds.holds
    other = {**LINK, "statistics": {"images": 61}}
    forged: list[object] = [{"g": [other]}, {"g": []}, {}, None, {"g": "text"}, {"g": [1]}]
    for recorded in forged:
        check = check_statistics(recorded, {"g": [LINK]})
        assert check is not None
        assert not check.holds
        assert check.said == "of other images than the run says: g"


def test_a_real_run_holds_and_one_that_tells_other_images_does_not(tmp_path: Path) -> None:
    out = tmp_path / "run"
    ab.run(
        defenses=["meansparse:alpha=0.5,images=60@layer1"],
        attacks=["pgd:steps=2"],
        bpda=True,
        first=12,
        out=out,
        save_adversarial=True,
    )
    checks = ab.verify(out)
    assert [check.said for check in checks if not check.holds] == []
    assert any(check.what == "statistics" for check in checks)
    path = out / "run.json"
    values = json.loads(path.read_text())
    (links,) = values["settings"]["defenses"].values()
    links[0]["statistics"]["images"] = 61
    path.write_text(json.dumps(values))
    seal(out)
    wrong = {check.what: check.said for check in ab.verify(out) if not check.holds}
    assert wrong["statistics"].startswith("of other images than the run says: meansparse")
