"""Part 1: a single-label project. Mails to a bike shop are uploaded, get suggestions, and are reviewed."""

from samples.api import Json, ProjectApi
from samples.console import bar
from samples.shop import Shop, reviewed
from samples.texts import mails

NAME = "bike-shop-mails"
CONTAINER = "bike-shop-mails"
#: Documents that are reviewed one by one, least certain first; the more certain ones are accepted in bulk.
BY_HAND = 15
SURE = 0.8


def show(shop: Shop) -> None:
    """The whole path from an upload to a saved label."""
    project = shop.api.project(NAME)
    _prepare(shop, project)
    _upload(shop, project)
    _review(shop, project)
    _accept_sure_ones(shop, project)
    _report(shop, project)


def _prepare(shop: Shop, project: ProjectApi) -> None:
    labeled, _ = mails()
    truth = {sample.location: sample.truth for sample in labeled}
    with shop.console.step(f"Create a project with {len(labeled)} mails, and label them"):
        shop.upload(shop.fresh(project, CONTAINER), labeled)
        project.create("CustomSingleLabelClassification", CONTAINER)
        # Until every label is set: the first model is to be fitted on all of them.
        project.change({"autolabel": {"onUpload": False}})

        def registered() -> list[Json] | None:
            found = list(project.documents(location_prefix="labeled/"))
            return found if len(found) == len(labeled) else None

        # Creating a project scans its container: existing blobs need no event.
        for document in shop.api.until("the documents to be registered", registered):
            project.set_labels(document, {"class": truth[document["location"]]})
        project.change({"autolabel": {"onUpload": True}})
        shop.console.say(
            f"Project '{NAME}' on container '{CONTAINER}'; the labels are set with PUT and If-Match."
        )


def _upload(shop: Shop, project: ProjectApi) -> None:
    _, unlabeled = mails()
    with shop.console.step(f"Upload {len(unlabeled)} new mails as blobs, and do nothing else"):
        shop.upload(shop.blobs.get_container_client(CONTAINER), unlabeled)
        jobs = shop.watch_uploads(project, len(unlabeled))
        engine = jobs[0]["result"]["engine"]
        shop.console.say(f"Their events started a job. Engine '{engine}', fitted on the labels above.")


def _review(shop: Shop, project: ProjectApi) -> None:
    _, unlabeled = mails()
    samples = {sample.location: sample for sample in unlabeled}
    with shop.console.step(f"Review: accept or reject the {BY_HAND} least certain, in one save"):
        page = project.get("/documents", status="autoLabeled", orderby="uncertainty", top=BY_HAND)["value"]
        decisions, rows = list[Json](), list[tuple[str, ...]]()
        for document in page:
            sample, suggestion = samples[document["location"]], document["suggestions"][0]
            right = sample.truth.get("category") == suggestion["category"]
            verdict = "accept" if right else "reject"
            decisions.append(
                {"documentId": document["id"], "eTag": document["eTag"], verdict: [suggestion["id"]]}
            )
            rows.append((bar(suggestion["confidence"]), suggestion["category"], verdict, sample.text))
        shop.console.table(("confidence", "suggestion", "decision", "mail"), rows)
        shop.console.say(f"Saved with one call: {reviewed(project.review(decisions))}.")


def _accept_sure_ones(shop: Shop, project: ProjectApi) -> None:
    with shop.console.step(f"Bulk: accept every suggestion with a confidence of at least {SURE}"):
        body: Json = {"decision": "accept", "minConfidence": SURE}
        count = shop.api.wait(project.post("/documents/:review-all", body | {"dryRun": True}))["result"][
            "matched"
        ]
        result = shop.api.wait(project.post("/documents/:review-all", body))["result"]
        shop.console.say(f"A dry run counted {count}; then a job accepted {result['changed']}.")


def _report(shop: Shop, project: ProjectApi) -> None:
    with shop.console.step("The labels now"):
        statistics = project.get("/statistics")
        rows = [(category["category"], str(category["labels"])) for category in statistics["categories"]]
        shop.console.table(("category", "labels"), rows)
        counts = statistics["documents"]
        shop.console.say(
            f"{counts['labeled']} of {counts['total']} documents are labeled, {counts['autoLabeled']} still "
            f"have suggestions, {counts['unlabeled']} have neither."
        )
        document = next(project.documents(status="labeled", location_prefix="inbox/"))
        entry = project.get(f"/documents/{document['id']}/history")["value"][0]
        accepted = entry["details"]["accepted"][0]
        shop.console.say(
            f"The history of {document['location']}: '{accepted['category']}' at {accepted['confidence']}, "
            f"suggested by '{accepted['engine']}', accepted by '{entry['by']}' at {entry['dateTime']}."
        )
