"""Part 2: an entity project. Orders are imported from a project file, a model is trained, new orders are reviewed."""

import json
from typing import Any

from samples.api import Json, ProjectApi
from samples.console import bar
from samples.shop import Shop, reviewed
from samples.texts import Sample, cut, orders

NAME = "bike-shop-orders"
CONTAINER = "bike-shop-orders"
KIND = "CustomEntityRecognition"
MODEL = "first"
SHOWN = 16


def show(shop: Shop) -> None:
    """From an Azure project file to reviewed entities, and back to a file."""
    project = shop.api.project(NAME)
    _bring_in(shop, project)
    _train(shop, project)
    _upload(shop, project)
    _review(shop, project)
    _take_out(shop, project)


def project_file(samples: list[Sample]) -> Json:
    """An Azure project file: offsets are UTF-16 code units, each document is one region."""
    categories = {label["category"] for sample in samples for label in sample.truth[0]["labels"]}
    return {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": KIND,
            "projectName": NAME,
            "storageInputContainerName": CONTAINER,
            "language": "en-us",
            "multilingual": False,
            # Suggestions for uploads begin when there is a model: see `_train`.
            "settings": {"confidenceThreshold": 0, "autolabel": {"onUpload": False}},
        },
        "assets": {
            "projectKind": KIND,
            "entities": [{"category": category} for category in sorted(categories)],
            "documents": [
                {"location": order.location, "language": "en-us", "dataset": "Train", "entities": order.truth}
                for order in samples
            ],
        },
    }


def _bring_in(shop: Shop, project: ProjectApi) -> None:
    labeled, _ = orders()
    with shop.console.step(f"Import an Azure project file with {len(labeled)} orders and their entities"):
        shop.upload(shop.fresh(project, CONTAINER), labeled)
        result = shop.api.wait(project.post("/:import", project_file(labeled)))["result"]
        shop.console.say(
            f"{result['documents']} documents and {result['categories']} categories were imported."
        )


def _train(shop: Shop, project: ProjectApi) -> None:
    with shop.console.step(f"Train a model '{MODEL}'; a fifth of the orders is kept to test it"):
        body: Json = {
            "modelLabel": MODEL,
            "trainingConfigVersion": "latest",
            "evaluationOptions": {
                "kind": "percentage",
                "trainingSplitPercentage": 80,
                "testingSplitPercentage": 20,
            },
        }
        begun = project.post("/:train", body)
        shop.api.wait(begun, lambda state: shop.console.progress(f"training is {state['status']}"))
        summary = project.get(f"/models/{MODEL}/evaluation/summary-result")
        figures = summary["customEntityRecognitionEvaluation"]
        rows = [
            (name, *(f"{figure[key]:.2f}" for key in ("precision", "recall", "f1")))
            for name, figure in sorted(figures["entities"].items())
        ]
        shop.console.table(("entity", "precision", "recall", "F1"), rows)
        shop.console.say(
            f"Micro F1 {figures['microF1']:.2f}. With so few and similar orders, this says little about real ones."
        )
        project.change({"autolabel": {"onUpload": True}})
        shop.console.say("From now on, uploads get suggestions automatically (setting 'onUpload').")


def _upload(shop: Shop, project: ProjectApi) -> None:
    _, unlabeled = orders()
    with shop.console.step(f"Upload {len(unlabeled)} new orders as blobs"):
        shop.upload(shop.blobs.get_container_client(CONTAINER), unlabeled)
        jobs = shop.watch_uploads(project, len(unlabeled))
        shop.console.say(f"The upload job used the model '{jobs[0]['result']['modelLabel']}'.")


def _review(shop: Shop, project: ProjectApi) -> None:
    _, unlabeled = orders()
    samples = {sample.location: sample for sample in unlabeled}
    with shop.console.step("Review: accept or reject each entity"):
        decisions, rows, counts = list[Json](), list[list[str]](), {"accept": 0, "reject": 0}
        for document in project.documents(status="autoLabeled", orderby="uncertainty"):
            sample = samples[document["location"]]
            decision, shown = _decide(sample, document)
            decisions.append(decision)
            rows += shown
            for verdict in counts:
                counts[verdict] += len(decision[verdict])
        shop.console.table(("confidence", "entity", "text", "decision", "order"), rows[:SHOWN])
        saved = reviewed(project.review(decisions))
        shop.console.say(
            f"and so on: {counts['accept']} entities accepted, {counts['reject']} rejected. "
            f"Documents: {saved}."
        )


def _decide(sample: Sample, document: Json) -> tuple[Json, list[list[str]]]:
    """The decision of a person who knows the right labels, and a row of the table for each entity."""
    truth = {(label["category"], label["offset"], label["length"]) for label in sample.truth[0]["labels"]}
    decision: Json = {"documentId": document["id"], "eTag": document["eTag"], "accept": [], "reject": []}
    rows: list[list[str]] = []
    for suggestion in document["suggestions"]:
        verdict = (
            "accept"
            if (suggestion["category"], suggestion["offset"], suggestion["length"]) in truth
            else "reject"
        )
        decision[verdict].append(suggestion["id"])
        text = cut(sample.text, suggestion["offset"], suggestion["length"])
        rows.append([bar(suggestion["confidence"]), suggestion["category"], text, verdict, sample.text])
    return decision, rows


def _take_out(shop: Shop, project: ProjectApi) -> None:
    with shop.console.step("Export the project as an Azure project file"):
        with shop.api.reported():
            export = project.client.export()
            export.wait()
            file: Any = json.loads(project.client.export_result(export.id))
        entities = sum(
            len(region["labels"])
            for document in file["assets"]["documents"]
            for region in document.get("entities", ())
        )
        shop.console.say(f"{len(file['assets']['documents'])} documents with {entities} entities.")
