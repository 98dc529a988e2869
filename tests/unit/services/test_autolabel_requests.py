"""What a caller of an autolabel job hears: nothing to do, unknown documents, models and categories."""

import pytest

from shared.domain.document import ANY_VERSION
from shared.domain.errors import InvalidArgument, NotFound
from shared.domain.jobs import JobStatus, Outcome
from shared.domain.review import Decision
from shared.services.autolabel.service import AutolabelRequest
from shared.services.review.bulk import BulkRequest
from shared.services.review.service import Submitted
from tests.support.services import App, result_json

TEXTS = {f"{n}.txt": f"@Refund:{50 + n} number {n}" for n in range(3)}


async def labeled(app: App) -> None:
    """A project with documents to label, none of which has a suggestion."""
    await app.create(on_upload=False)
    await app.upload(TEXTS)
    await app.define("Refund")


async def test_an_empty_selection_succeeds(app: App) -> None:
    await app.create(on_upload=False)
    await app.define("Refund")

    job = await app.autolabel()

    assert job.status is JobStatus.SUCCEEDED
    assert result_json(job)["documentsTotal"] == 0
    assert result_json(job)["percentComplete"] == 100


async def test_named_documents_that_do_not_exist_fail_with_the_reason(app: App) -> None:
    await labeled(app)
    known, unknown = await app.document("0.txt"), "A" * 22
    assert known is not None

    job = await app.autolabel(documents=(known.id, unknown))

    assert job.status is JobStatus.PARTIALLY_COMPLETED
    outcomes = {o.document_id: o for o in await app.container.autolabel.outcomes("p", job.id)}
    assert outcomes[known.id].outcome is Outcome.SUGGESTED
    error = outcomes[unknown].error
    assert error is not None
    assert error.code == "DocumentNotFound"
    assert job.errors == (error,)


async def test_a_job_whose_documents_all_fail_says_why_once(app: App) -> None:
    await labeled(app)

    job = await app.autolabel(documents=("A" * 22, "B" * 22))

    assert job.status is JobStatus.FAILED
    assert [error.code for error in job.errors] == ["DocumentNotFound"]


async def test_no_categories_are_no_suggestions(app: App) -> None:
    await labeled(app)

    job = await app.autolabel(categories=())

    assert job.status is JobStatus.SUCCEEDED
    assert result_json(job)["outcomes"]["suggested"] == 0
    assert result_json(job)["outcomes"]["nothingFound"] > 0


@pytest.mark.parametrize("operation", ["start", "estimate"])
async def test_all_errors_of_a_request_are_reported_together(app: App, operation: str) -> None:
    await labeled(app)
    request = AutolabelRequest("none", "no model", ("A", "B" * 22, "C"), ("Refund", "Typo", "Other"))

    service = app.container.autolabel
    asked = service.start("p", request, "j1") if operation == "start" else service.estimate("p", request)

    with pytest.raises(InvalidArgument) as raised:
        await asked

    targets = [detail.target for detail in raised.value.details]
    assert targets == ["engine", "categories[1]", "categories[2]", "documents[0]", "documents[2]"]


async def test_all_errors_of_a_bulk_decision_are_reported_together(app: App) -> None:
    await labeled(app)
    request = BulkRequest(accept=True, min_confidence=80, max_confidence=20, categories=("Typo", "Refund"))

    with pytest.raises(InvalidArgument) as raised:
        await app.container.bulk.start("p", request, "ann", "j1")

    assert [detail.target for detail in raised.value.details] == ["minConfidence", "categories[0]"]


async def test_all_repeated_documents_of_a_review_are_reported_together(app: App) -> None:
    await labeled(app)
    decisions = [Submitted(Decision(key * 22, accept_all=True), ANY_VERSION) for key in "ABABA"]

    with pytest.raises(InvalidArgument) as raised:
        await app.container.review.save("p", decisions, "ann")

    targets = [detail.target for detail in raised.value.details]
    assert targets == [f"decisions[{index}].documentId" for index in (2, 3, 4)]


async def test_an_unknown_model_is_not_found_before_and_by_the_estimate(app: App) -> None:
    await labeled(app)
    for ask in (
        app.container.autolabel.estimate("p", AutolabelRequest(model_label="m")),
        app.autolabel(model_label="m"),
    ):
        with pytest.raises(NotFound) as raised:
            await ask
        assert raised.value.target == "modelLabel"


async def test_without_labels_a_job_says_what_is_missing(app: App) -> None:
    await app.create(on_upload=False)
    await app.upload(TEXTS)
    await app.drain()

    job = await app.autolabel()

    assert job.status is JobStatus.FAILED
    assert [(e.code, e.message) for e in job.errors] == [("NotEnoughLabels", "Label at least one document.")]
    estimate = await app.container.autolabel.estimate("p", AutolabelRequest())
    assert (estimate.documents, estimate.unavailable) == (3, "Label at least one document.")


async def test_an_estimate_of_a_job_that_can_run_names_no_obstacle(app: App) -> None:
    await labeled(app)
    await app.label("0.txt", "Refund")

    estimate = await app.container.autolabel.estimate("p", AutolabelRequest())

    assert (estimate.documents, estimate.unavailable) == (2, None)
