"""Part 3: the mails of part 1 are labeled elsewhere for a while: the connection with a labeling studio.

The studio is `workspace`: a file in a container, which any tool may write while it is active. With a workspace of
Azure Machine Learning the calls are the same; `studio` and `workspaceId` of the body are others.
"""

import json
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
#: What the other team says of a mail that fits none of our categories.
OTHER = "Other"
#: Storage refuses a write of a blob that somebody has leased.
LEASED = 412


def show(shop: Shop) -> None:
    """There, back, and the end that is for ever."""
    # Used up by this run: no name can be connected a second time.
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
    """The other team's tool: it knows the label file, and nothing of this product."""

    blob: BlobClient

    def read(self) -> tuple[dict[str, str], str]:
        """The category of each document that has one, by `image_url`; and the file's ETag."""
        download = self.blob.download_blob()
        lines = [json.loads(line) for line in download.readall().splitlines()]
        return {line["image_url"]: line["label"] for line in lines}, download.properties.etag

    def put(self, labels: dict[str, str]) -> int:
        """Add and replace lines, if nobody else wrote meanwhile; how many say something else than before."""
        before, etag = self.read()
        lines = [json.dumps({"image_url": k, "label": v}) + "\n" for k, v in (before | labels).items()]
        self.blob.upload_blob(
            "".join(lines), overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified
        )
        return sum(before.get(url) != label for url, label in labels.items())

    def refusal(self) -> str:
        """What storage says to a write of the file while labeling there is shut."""
        try:
            self.blob.upload_blob(b"", overwrite=True)
        except HttpResponseError as refused:
            if refused.status_code == LEASED:
                return f"{LEASED} {refused.reason}"
            raise
        raise ApiFailed("The label file should have been locked by a lease.")


@dataclass(frozen=True, slots=True)
class Studio:
    """The project, the labeling project it is tied to, and the other team's tool."""

    shop: Shop
    project: ProjectApi
    name: str
    file: LabelFile

    @property
    def body(self) -> Json:
        return {"studio": "workspace", "workspaceId": CONTAINER, "amlProjectName": self.name}

    def connect(self) -> None:
        say = self.shop.console.say
        with self.shop.console.step("The conditions are checked, and the project is connected"):
            answer = self.project.post("/connection/:check", self.body).json()
            rows = [
                (one["code"], "yes" if one["met"] else "no", one["message"]) for one in answer["conditions"]
            ]
            self.shop.console.table(("condition", "met", "message"), rows)
            self._done("PUT", "", self.body)
            say(f"Connected with '{self.name}', a label file in container '{CONTAINER}'.")
            say("Labeling is still here, so a lease shuts the file. Another tool that writes it is told:")
            say(self.file.refusal())
            say("Reversible: disconnect. For ever: the name is used up.")

    def switch_there(self) -> None:
        say = self.shop.console.say
        with self.shop.console.step("Labeling is switched to the other studio"):
            self._done("POST", "/:switch", {"to": "azureMachineLearning"})
            labels, _ = self.file.read()
            say(f"It was locked here, {len(labels)} labels were handed over, and the file was opened.")
            document = next(self.project.documents(status="labeled"))
            say(f"A save here is refused: {_refusal(lambda: self._save(document))}")
            say("Reversible: switch back, as often as you like. Reading, training and export go on.")

    def label_there(self) -> None:
        """The other team labels all mails, also those that part 1 left without a category."""
        say = self.shop.console.say
        samples = [sample for part in all_mails() for sample in part]
        place = f"AmlDatastore://{mails.CONTAINER}"
        labels = {f"{place}/{one.location}": one.truth.get("category", OTHER) for one in samples}
        with self.shop.console.step("Another tool labels, by writing the file"):
            changed = self.file.put(labels)
            say(f"{len(labels)} lines, {changed} of them new or changed; the category '{OTHER}' is new, too.")
            waiting = self.project.get("/connection")["unsyncedLabels"]
            say(
                f"Nothing changed here: '{OTHER}' has {self._count(OTHER)} labels. The connection says that "
                f"{waiting} lines wait, all of them, for none was imported so far."
            )

    def switch_back(self) -> None:
        say = self.shop.console.say
        with self.shop.console.step("Labeling is switched back, and the labels come in"):
            result = self._done("POST", "/:switch", {"to": "languageStudio"})
            say("The file was shut first, then imported, and only then was labeling here opened.")
            say(
                f"{result['documentsImported']} documents imported; '{OTHER}' has {self._count(OTHER)} labels."
            )
            document = next(self.project.documents(category=OTHER))
            entry = self.project.get(f"/documents/{document['id']}/history")["value"][0]
            say(f"The history of {document['location']} begins with '{entry['action']}' by '{entry['by']}'.")
            self._save(document)
            say("A save here works again. For each document, its history keeps what we said before.")

    def disconnect(self) -> None:
        say = self.shop.console.say
        with self.shop.console.step("The project is disconnected, after the name was typed"):
            wrong = _refusal(lambda: self._done("POST", "/:disconnect", {"confirm": "mails"}))
            say(f"A wrong name is refused: {wrong}")
            self._done("POST", "/:disconnect", {"confirm": self.name})
            say(f"The right one: the project is {self.project.get('/connection')['state']}, its labels stay.")
            say("For ever: that labeling project. The project itself may be connected with another one.")

    def connect_again(self) -> None:
        with self.shop.console.step("Nobody can connect with that labeling project again"):
            shouted = self.body | {"amlProjectName": self.name.upper()}
            self.shop.console.say(_refusal(lambda: self._done("PUT", "", shouted)))
            self.shop.console.say("So for every spelling and every project, also after this one was deleted.")

    def _done(self, method: str, rest: str, body: Json) -> Json:
        """One operation on the connection, to its end; its result."""
        begun = self.shop.api.call(method, f"{self.project.path}/connection{rest}", json=body)
        result: Json = self.shop.api.wait(begun).get("result", {})
        return result

    def _save(self, document: Json) -> None:
        """What a reviewer's save is: the labels as they are, with the ETag that was read."""
        self.project.set_labels(document, {"class": document["class"]})

    def _count(self, category: str) -> int:
        categories: list[Any] = self.project.get("/statistics")["categories"]
        return sum(one["labels"] for one in categories if one["category"] == category)


def _refusal(call: Callable[[], object]) -> str:
    """What the API says to a call that it must refuse: `409 LabelingLocked: ...`."""
    try:
        call()
    except Refused as refused:
        return refused.reason
    raise ApiFailed("The API should have refused this.")
