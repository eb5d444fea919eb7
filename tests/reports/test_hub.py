"""The Hugging Face Hub: files that its own library reads, and no number that says nothing."""

import pytest

from advbench.errors import InputError
from advbench.reports.hub import HubNames, eval_results, model_card
from tests.reports.outcomes import outcomes
from tests.reports.records import HOSTILE

NAMES = HubNames(dataset="me/robust-digits", task="linf", source="https://example.org/run")
yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")


def test_each_row_that_has_a_number_is_a_file_with_the_keys_of_the_hub() -> None:
    files = eval_results(outcomes(), NAMES)
    assert list(files) == [f".eval_results/robust-digits-0{place}.yaml" for place in range(1, 7)]
    (entry,) = yaml.safe_load(files[".eval_results/robust-digits-03.yaml"])
    assert entry.keys() <= {"dataset", "value", "verifyToken", "date", "source", "notes"}
    assert entry["dataset"] == {"id": "me/robust-digits", "task_id": "linf"}
    assert entry["value"] == 40.0
    assert entry["notes"] == (
        "per cent of images that stand on every rung (80/200); linf 8/255; pgd:steps=40; defense trained; "
        "robust as measured"
    )


def test_an_unreliable_number_does_not_travel() -> None:
    with pytest.raises(InputError, match="no row has a number for a leaderboard: attack with --ladder"):
        eval_results(outcomes("mixed", "broken"), NAMES)


def test_a_benchmark_must_be_named() -> None:
    with pytest.raises(InputError, match="--hub-dataset OWNER/NAME"):
        eval_results(outcomes(), HubNames())


def test_names_of_files_stay_in_their_folder() -> None:
    (name,) = eval_results(outcomes("round"), HubNames(dataset="../../.ssh/..\\x"))
    assert name == ".eval_results/-x-01.yaml"


def test_the_card_has_no_number_of_a_hidden_gradient_in_its_metadata() -> None:
    card = model_card(outcomes("round", "mixed"), NAMES)
    metadata = yaml.safe_load(card.split("---")[1])
    (index,) = metadata["model-index"]
    values = [[metric["value"] for metric in result["metrics"]] for result in index["results"]]
    assert values == [[95.0, 40.0], [95.0]]
    assert "masked: attacks with BPDA fell 90" in card


def test_a_hostile_name_is_text_in_the_card() -> None:
    body = model_card(outcomes(HOSTILE), NAMES).split("---\n", 2)[2]
    assert "<script>" not in body


def test_huggingface_hub_reads_both() -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    for text in eval_results(outcomes(), NAMES).values():
        (entry,) = hub.parse_eval_result_entries(yaml.safe_load(text))
        assert (entry.dataset_id, entry.task_id, entry.value) == ("me/robust-digits", "linf", 40.0)
        assert entry.source_url == NAMES.source
    card = hub.ModelCard(model_card(outcomes(), NAMES))
    assert {result.metric_value for result in card.data.eval_results} == {95.0, 40.0}
    name, results = hub.repocard_data.model_index_to_eval_results(card.data.to_dict()["model-index"])
    assert name == "net"
    assert all(result.task_type == "image-classification" for result in results)
