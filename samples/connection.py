"""Part 3: the mails of part 1 are labeled elsewhere: the connection to a labeling studio.

The studio is `workspace`: a file in a container, which any tool may write while it is active. With a workspace of
Azure Machine Learning the calls are the same; `studio` and `workspaceId` of the body are others.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient

from samples import mails
from samples.api import ApiFailed, Json, ProjectApi, Refused
from samples.shop import Shop
from samples.texts import mails as all_mails

CONTAINER = "bike-shop-labeling"
#: The other team's category for a mail that fits none of ours.
OTHER = "Other"
#: The error of storage for a write to a leased blob.
LEASED = 412


def show(shop: Shop) -> None:
    """Connect, switch there and back, disconnect permanently."""
    # Used up by this run: a name can be connected only once.
    name = f"mails-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    file = shop.container(CONTAINER).get_blob_client(f"{name}/labels.jsonl")
    studio = Studio(shop, shop.api.project(mails.NAME), name, LabelFile(file))
    studio.connect()
    studio.switch_there()
    studio.label_there()
    studio.switch_back()
    studio.disconnect()
    studio.connect_again()


@dataclass(frozen=True, slots=True)
class LabelFile:
    """The other team's tool: it knows the label file, and nothing about Labelbridge."""

    blob: BlobClient

    def read(self) -> tuple[dict[str, str], str]:
        """The category of each document that has one, by `image_url`; and the file's ETag."""
        download = self.blob.download_blob()
        lines = [json.loads(line) for line in download.readall().splitlines()]
        return {line["image_url"]: line["label"] for line in lines}, download.properties.etag

    def put(self, labels: dict[str, str]) -> int:
        """Add and replace lines, unless the file changed in the meantime; the number of changed lines."""
        before, etag = self.read()
        lines = [json.dumps({"image_url": k, "label": v}) + "\n" for k, v in (before | labels).items()]
        self.blob.upload_blob(
            "".join(lines), overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified
        )
        return sum(before.get(url) != label for url, label in labels.items())

    def refusal(self) -> str:
        """The error of storage for a write to the file while labeling there is locked."""
        try:
            self.blob.upload_blob(b"", overwrite=True)
        except HttpResponseError as refused:
            if refused.status_code == LEASED:
                return f"{LEASED} {refused.reason}"
            raise
        raise ApiFailed("The label file should have been locked by a lease.")


@dataclass(frozen=True, slots=True)
class Studio:
    """The project, the labeling project it is connected to, and the other team's tool."""

    shop: Shop
    project: ProjectApi
    name: str
    file: LabelFile

    @property
    def body(self) -> Json:
        return {"studio": "workspace", "workspaceId": CONTAINER, "amlProjectName": self.name}

    def connect(self) -> None:
        say = self.shop.console.say
        with self.shop.console.step("Check the conditions, and connect the project"):
            answer = self.project.post("/connection/:check", self.body).json()
            rows = [
                (condition["code"], "yes" if condition["met"] else "no", condition["message"])
                for condition in answer["conditions"]
            ]
            self.shop.console.table(("condition", "met", "message"), rows)
            self._done("PUT", "", self.body)
            say(f"Connected to '{self.name}', a label file in container '{CONTAINER}'.")
            say("Labeling is still here, so a lease locks the file. Another tool that writes to it gets:")
            say(self.file.refusal())
            say("Reversible: disconnect. Permanent: the name is used up.")

    def switch_there(self) -> None:
        say = self.shop.console.say
        with self.shop.console.step("Switch labeling to the other studio"):
            self._done("POST", "/:switch", {"to": "azureMachineLearning"})
            labels, _ = self.file.read()
            say(
                f"Labeling was locked here, {len(labels)} labels were handed over, and the file was unlocked."
            )
            document = next(self.project.documents(status="labeled"))
            say(f"A save here is refused: {_refusal(lambda: self._save(document))}")
            say("Reversible: switch back, as often as you like. Reading, training and export continue.")

    def label_there(self) -> None:
        """The other team labels all mails, including those that part 1 left without a category."""
        say = self.shop.console.say
        samples = [sample for part in all_mails() for sample in part]
        place = f"AmlDatastore://{mails.CONTAINER}"
        labels = {f"{place}/{mail.location}": mail.truth.get("category", OTHER) for mail in samples}
        with self.shop.console.step("Label with another tool, which writes the file"):
            changed = self.file.put(labels)
            say(f"{len(labels)} lines, {changed} of them new or changed; the category '{OTHER}' is new.")
            waiting = self.project.get("/connection")["unsyncedLabels"]
            say(
                f"Nothing changed here: '{OTHER}' has {self._count(OTHER)} labels. The connection reports "
                f"{waiting} labels to import, all of them, because none has been imported yet."
            )

    def switch_back(self) -> None:
        say = self.shop.console.say
        with self.shop.console.step("Switch labeling back, and import the labels"):
            result = self._done("POST", "/:switch", {"to": "languageStudio"})
            say("The file was locked first, then imported, and only then was labeling unlocked here.")
            say(
                f"{result['documentsImported']} documents imported; '{OTHER}' has {self._count(OTHER)} labels."
            )
            document = next(self.project.documents(category=OTHER))
            entry = self.project.get(f"/documents/{document['id']}/history")["value"][0]
            say(f"The history of {document['location']} begins with '{entry['action']}' by '{entry['by']}'.")
            self._save(document)
            say("A save here works again. The history of each document keeps our earlier labels.")

    def disconnect(self) -> None:
        say = self.shop.console.say
        with self.shop.console.step("Disconnect the project, with its name as confirmation"):
            wrong = _refusal(lambda: self._done("POST", "/:disconnect", {"confirm": "mails"}))
            say(f"A wrong name is refused: {wrong}")
            self._done("POST", "/:disconnect", {"confirm": self.name})
            say(
                f"With the right name: the project is {self.project.get('/connection')['state']}, and its labels stay."
            )
            say("Permanent for that labeling project. The project itself can be connected to another one.")

    def connect_again(self) -> None:
        with self.shop.console.step("Try to connect to that labeling project again"):
            shouted = self.body | {"amlProjectName": self.name.upper()}
            self.shop.console.say(_refusal(lambda: self._done("PUT", "", shouted)))
            self.shop.console.say(
                "The same holds for every spelling and every project, also after this one is deleted."
            )

    def _done(self, method: str, rest: str, body: Json) -> Json:
        """Run one operation on the connection to its end; its result."""
        key = {"Idempotency-Key": uuid.uuid4().hex}  # a repeat after a lost answer finds the same operation
        begun = self.shop.api.call(method, f"{self.project.path}/connection{rest}", body=body, headers=key)
        result: Json = self.shop.api.wait(begun).get("result", {})
        return result

    def _save(self, document: Json) -> None:
        """A save as a reviewer makes it: the current labels, with the ETag that was read."""
        self.project.set_labels(document, {"class": document["class"]})

    def _count(self, category: str) -> int:
        categories: list[Any] = self.project.get("/statistics")["categories"]
        return sum(row["labels"] for row in categories if row["category"] == category)


def _refusal(call: Callable[[], object]) -> str:
    """The error of a call that the API must refuse: `409 LabelingLocked: ...`."""
    try:
        call()
    except Refused as refused:
        return refused.reason
    raise ApiFailed("The API should have refused this.")
