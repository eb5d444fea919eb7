"""Every page is a document that stands alone, whatever the names in it."""

from advbench.reports.document import document, notes_list


def test_names_that_are_no_text_do_not_stop_a_page() -> None:
    page = document("runs", ["a folder \udcff of another encoding"])
    assert "a folder \\udcff of another encoding" in page.encode().decode()


def test_notes_are_escaped_and_nothing_without_any() -> None:
    assert notes_list([]) == ""
    assert notes_list(["a < b"]) == '<ul class="notes"><li>a &lt; b</li></ul>'
