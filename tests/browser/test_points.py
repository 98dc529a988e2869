"""The requirements of reviewers and leads for the review page, and the test of each.

Behavior is proven once, by keys where a person would use keys. How every view and dialog looks, at 320, 390, 768, 1,280
and 1,440 px, in light and dark, with axe, is proven by test_look.py and test_look_review.py.

Defects that were found by use

| point | proven by |
|---|---|
| Labels by number key, accepted, rejected, relabeled, cleared: undone until training | test_by_hand.py::test_every_saved_change_can_be_undone |
| also save by save, and after a reload or by another person | test_keyboard.py::test_undo_goes_back_save_by_save, test_by_hand.py::test_a_saved_change_can_be_undone_after_a_reload_and_by_another_person |
| A labeled selection is cleared; a second key relabels; no entity twice | test_by_hand.py::test_a_label_that_is_there_already |
| A count is exact or not shown | test_address.py::test_counts_are_exact_or_not_shown, test_by_hand.py::test_the_count_of_a_filtered_list_is_exact |
| Names of 50 characters and 200 categories fit everywhere | test_look.py::test_it_fits_and_is_accessible, test_look_review.py::test_review_of_classes, test_look_review.py::test_review_of_entities, test_look_review.py::test_dialogs_of_classes, test_look_review.py::test_dialogs_of_entities, test_names.py::test_picker_finds_one_of_200_by_typing, test_names.py::test_number_keys_are_a_persons_own |
| No view has a placeholder, which looks like a value | look.py, in each view and dialog |
| Nested and adjacent labels are each named | test_by_hand.py::test_nested_and_adjacent_labels_are_each_named |
| The form offers configured studios alone; a used-up name is not free | test_two_people.py::test_unmet_conditions_are_listed, test_two_people.py::test_disconnect_is_typed |
| Address and view agree, back and forward keep filters and position | test_address.py::test_filters_and_document_follow_the_address, test_address.py::test_a_document_that_arrives_late_keeps_a_newer_address |
| A file that is no document cannot be labeled | test_by_hand.py::test_unreadable_file_cannot_be_labeled |
| The key is not readable while it is typed | test_views.py::test_wrong_key_says_so |
| Accept all is disabled with nothing waiting | test_by_hand.py::test_nothing_to_accept |
| Undo all goes with its undo | test_labeling.py::test_bulk_shows_the_count_first_and_can_be_undone |
| Nothing is called reviewed in an empty project; a missing container is named | test_views.py::test_an_empty_place_says_what_it_is |
| Keys work on keyboards that are not Latin, and what is in force is shown | test_by_hand.py::test_keyboards_that_are_not_latin |

What a reviewer needs all day

| point | proven by |
|---|---|
| Category picker, recent ones first; number keys of a person | test_names.py::test_picker_finds_one_of_200_by_typing, test_names.py::test_number_keys_are_a_persons_own |
| Colors by name, stable, readable in light and dark, the first dozen distinct | test_colors.py::test_colors_are_stable_readable_and_distinct |
| Doubt is visible, percentages can be hidden, the least certain comes first | test_by_hand.py::test_uncertain_suggestions_come_first, test_keyboard.py::test_the_next_uncertain_suggestion_is_found_beyond_the_rows_that_were_read |
| Flag and note: kept, filtered, in the history | test_marks.py::test_flag_and_note_by_keys_are_kept_and_found_again, test_marks.py::test_marks_of_someone_else_are_no_conflict |
| No label applies, in every kind | test_no_label.py::test_no_label_applies_has_a_key_and_a_control |
| Rows show words and category, after deciding the label | test_by_hand.py::test_list_rows_show_the_first_words, test_by_hand.py::test_list_rows_name_the_category |
| Search of the texts, and where they match | test_search.py::test_the_list_is_searched_and_says_how_much, test_search.py::test_a_document_that_was_found_opens_at_the_match, test_search.py::test_a_search_that_finds_nothing_pauses_until_it_is_continued |
| Bulk decisions by keys: from the filters, ten examples, one text in all documents, undone as one | test_labeling.py::test_bulk_starts_from_the_filters_and_shows_ten, test_labeling.py::test_bulk_decides_on_what_the_list_shows, test_search.py::test_one_entity_is_decided_in_all_documents_and_undone_as_one |
| Autosave: after a pause, at least every 5 seconds; every command works with it | test_saving.py::test_autosave_waits_for_a_pause_but_not_longer_than_5_seconds, test_saving.py::test_every_command_works_with_autosave |
| Keys mean the document that the person sees, also while a server is slow or a dialog opens; what could not be read is read again | test_outage.py::test_nothing_is_decided_while_the_next_document_is_loading, test_outage.py::test_what_is_typed_after_a_key_that_opens_a_dialog_is_no_command, test_outage.py::test_what_could_not_be_read_is_read_again |
| Autosave: each document left, outages, another view, another person | test_saving.py::test_autosave_at_each_document_left_and_after_an_outage, test_saving.py::test_an_outage_of_the_host_and_a_reload_lose_nothing, test_saving.py::test_autosave_goes_on_when_the_person_left_the_review, test_second_review.py::test_an_outage_is_outlived_when_the_person_goes_on_in_the_project, test_saving.py::test_a_save_on_its_way_when_the_review_is_opened_again_loses_nothing |
| Long documents: sections within reach, the next one in the same frame | test_labeling.py::test_long_document, test_speed.py::test_the_next_of_long_documents_is_in_the_same_frame |
| The next text begins at its beginning | test_phone.py::test_the_next_text_begins_at_its_beginning |
| On a phone: by touch, nothing behind the commands; the list opens at the document | test_phone.py::test_entities_are_reviewed_by_touch, test_phone.py::test_the_list_opens_at_the_document_that_is_shown |
| Right to left, with 200 categories, on a phone | test_phone.py::test_a_list_from_right_to_left_stays_in_view_until_it_is_closed, test_phone.py::test_notes_and_200_names_from_right_to_left |
| A conflict shows what differs, also in a long text | test_two_people.py::test_conflict_on_a_long_text_shows_what_differs, test_two_people.py::test_conflict_keeps_both |
| On a decided document, the keys that decide go on; on one without suggestions they say so | test_by_hand.py::test_nothing_to_accept |
| 50 documents with 51 keys | test_speed.py::test_50_documents_with_51_keys |

What a lead needs

| point | proven by |
|---|---|
| Outcomes of a job, failures first; failed documents are tried again | test_look.py::test_it_fits_and_is_accessible, test_views.py::test_autolabel_from_estimate_to_review |
| Guidelines: beside the text, versions, nothing in them runs | test_guidelines.py::test_guidelines_are_shown_beside_the_text_and_run_nothing, test_guidelines.py::test_a_lead_writes_versions_and_nobody_overwrites_another |
| Progress by person and day; assignments | test_team.py::test_a_lead_sees_who_did_what, test_team.py::test_a_lead_assigns_documents_and_a_reviewer_goes_through_them, test_team.py::test_a_lead_assigns_what_the_filters_of_the_form_select |
| Second review, agreement, disagreements | test_second_review.py::test_the_second_person_labels_the_sample_with_keys_and_a_lead_resolves, test_second_review.py::test_nobody_else_labels_the_sample_and_the_second_person_sees_no_agreement |
| The confusion matrix opens its documents | test_confusion.py::test_a_cell_opens_its_documents |
| Settings, display name, deletion, export, import | test_settings.py::test_settings_and_categories, test_settings.py::test_export_import_and_delete, test_guidelines.py::test_a_display_name_is_shown_and_the_name_stays |
| A switch that locks everyone is confirmed | test_two_people.py::test_switch_of_studio_while_a_reviewer_works |
"""  # noqa: E501 - rows of a table

import re
from pathlib import Path

from tests.browser.look import WIDTHS
from tests.support.hosts import ROOT

HERE = Path(__file__).parent
#: A condition on the width, and the rules under it.
_BY_WIDTH = re.compile(
    r"^@(?:media|container) \(((?:max|min)-width): (\d+)(px|rem)\) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL
)
_RULE = re.compile(r"^  ([^@{}]+?) \{\n(.*?)^  \}", re.MULTILINE | re.DOTALL)


def test_the_tests_that_are_named_exist() -> None:
    named = re.findall(r"(test_\w+\.py)::(test_\w+)", __doc__ or "")
    assert len(named) > 50
    missing = [
        (file, name)
        for file, name in named
        if not re.search(rf"^async def {name}\(", (HERE / file).read_text("utf-8"), re.MULTILINE)
    ]
    assert missing == []


def test_axe_sees_at_both_ends_what_is_shown_between_them() -> None:
    """All styles by width are for narrow pages, and nothing is shown below one width and hidden below another."""
    shown: dict[str, set[bool]] = {}
    widths: list[int] = []
    for file in sorted((ROOT / "web" / "src" / "styles").glob("*.css")):
        text = file.read_text("utf-8")
        blocks = _BY_WIDTH.findall(text)
        assert len(blocks) == len(re.findall(r"^@.*width", text, re.MULTILINE)), file.name
        for condition, number, unit, rules in blocks:
            assert condition == "max-width", file.name
            widths.append(int(number) * (16 if unit == "rem" else 1))
            for selectors, body in _RULE.findall(rules):
                for display in re.findall(r"display: (\w+)", body):
                    for selector in re.split(r",\s*", selectors):
                        shown.setdefault(selector, set()).add(display != "none")
    assert widths
    assert all(WIDTHS[0] <= width < WIDTHS[-1] for width in widths)
    assert [selector for selector, both in shown.items() if len(both) > 1] == []
