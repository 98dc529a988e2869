"""Drives a running host of any version over HTTP, and records what it stored and what it answers.

python tests/unit/compatibility/record.py URL AZURITE_PORT

Start the host of the version to record first, with an empty data folder:
`python -m devhost run --app WORKTREE --data-dir FOLDER`. recording.json.gz is of commit 3277add.
"""

import base64
import gzip
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

KEY = "labelbridge-local"
ACCOUNT = "devstoreaccount1"
SECRET = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SINGLE, MULTI, ENTITIES = (
    "CustomSingleLabelClassification",
    "CustomMultiLabelClassification",
    "CustomEntityRecognition",
)
TEXTS = {
    "refund": ["Please refund order {}.", "I want my money back for {}.", "Refund me, number {}."],
    "login": ["I cannot log in as user{}.", "The password of user{} is wrong.", "Login fails for user{}."],
}
SECONDS = 60
RECORDING = Path(__file__).with_name("recording.json.gz")


class Recorder:
    def __init__(self, url: str, port: int) -> None:
        self.http = httpx.Client(
            base_url=f"{url}/language/authoring/analyze-text/projects",
            headers={"Ocp-Apim-Subscription-Key": KEY},
            params={"api-version": "2023-04-15-preview"},
            timeout=60,
        )
        hosts = {
            kind: f"http://127.0.0.1:{port + n}/{ACCOUNT}"
            for n, kind in enumerate(("Blob", "Queue", "Table"))
        }
        connection = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={SECRET};" + "".join(
            f"{kind}Endpoint={host};" for kind, host in hosts.items()
        )
        self.blobs = BlobServiceClient.from_connection_string(connection)
        self.tables = TableServiceClient.from_connection_string(connection)

    # Driving

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        path, _, query = path.partition("?")
        params = dict([query.split("=")]) if query else {}
        answer = self.http.request(method, f"/{path}", json=body, headers=headers, params=params)
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def get(self, path: str) -> Any:
        return self.ask("GET", path).json()

    def ended(self, answer: httpx.Response) -> Any:
        where = answer.headers["operation-location"]
        for _ in range(SECONDS * 5):
            job = httpx.get(where, headers=self.http.headers, timeout=60).json()
            if job["status"] not in {"notStarted", "running", "cancelling"}:
                return job
            time.sleep(0.2)
        raise RuntimeError(f"{where} does not end")

    def job(self, method: str, path: str, body: Any = None) -> Any:
        return self.ended(self.ask(method, path, body))

    def documents(self, name: str, **query: str) -> list[Any]:
        answer = self.http.get(f"/{name}/documents", params=query)
        return answer.json()["value"]

    def upload(self, container: str, texts: dict[str, str]) -> None:
        client = self.blobs.get_container_client(container)
        if not client.exists():
            client.create_container()
        for location, text in texts.items():
            client.upload_blob(location, text.encode(), overwrite=True)

    def project(self, name: str, kind: str, count: int = 6) -> None:
        container = f"docs-{name}"
        texts = {
            f"{topic}/{n}.txt": forms[n % len(forms)].format(n)
            for topic, forms in TEXTS.items()
            for n in range(count)
        }
        self.upload(container, texts)
        body = {"projectKind": kind, "storageInputContainerName": container, "language": "en-us"}
        self.ask("PATCH", name, body)
        for _ in range(SECONDS * 5):
            if len(self.documents(name)) == len(texts):
                return
            time.sleep(0.2)
        raise RuntimeError(f"The documents of {name} are not registered.")

    def label(self, name: str, kind: str, document: dict[str, Any]) -> None:
        category = document["location"].partition("/")[0]
        if kind == SINGLE:
            body: Any = {"class": {"category": category}}
        elif kind == MULTI:
            body = {"classes": [{"category": category}]}
        else:
            text = self.http.get(f"/{name}/documents/{document['id']}/text").text
            word = text.rstrip(".").rpartition(" ")[2] if category == "refund" else "user"
            start = text.index(word)
            entity = {"category": category, "offset": start, "length": len(word)}
            body = {"entities": [{"regionOffset": 0, "regionLength": len(text), "labels": [entity]}]}
        self.ask("PUT", f"{name}/documents/{document['id']}/labels", body, **{"If-Match": document["eTag"]})

    def review(self, name: str) -> None:
        """One accepted, one rejected, one undone; the rest stays pending."""
        pending = self.documents(name, status="autoLabeled")
        for document, decision in zip(pending, ({"acceptAll": True}, {"rejectAll": True}), strict=False):
            decided = {"documentId": document["id"], "eTag": document["eTag"], **decision}
            self.ask("POST", f"{name}/documents/:review", {"decisions": [decided]})
        if len(pending) > 2:
            decided = {"documentId": pending[2]["id"], "eTag": pending[2]["eTag"], "acceptAll": True}
            self.ask("POST", f"{name}/documents/:review", {"decisions": [decided]})
            self.ask("POST", f"{name}/documents/{pending[2]['id']}/:undo")

    def work(self, name: str, kind: str) -> None:
        """Labels by hand, a job, decisions, a bulk decision and its undo, a model."""
        self.project(name, kind)
        self.ask(
            "PUT",
            f"{name}/categories",
            {"value": [{"category": "refund", "description": "Money."}, {"category": "login"}]},
        )
        for document in self.documents(name):
            if int(document["location"].partition("/")[2].partition(".")[0]) < 3:
                self.label(name, kind, document)
        self.job("POST", f"{name}/autolabel/jobs", {})
        self.review(name)
        body = {"decision": "accept", "minConfidence": 0.0}
        bulk = self.job("POST", f"{name}/documents/:review-all", body)
        self.job("POST", f"{name}/review/jobs/{bulk['jobId']}/:undo")
        self.ask(
            "PUT", f"{name}/categories", {"value": [{"category": "money", "previousCategory": "refund"}]}
        )
        document = self.documents(name)[0]
        self.ask(
            "PATCH",
            f"{name}/documents/{document['id']}",
            {"dataset": "Test"},
            **{"If-Match": document["eTag"]},
        )

    def train(self, name: str) -> None:
        body = {
            "modelLabel": "first",
            "trainingConfigVersion": "latest",
            "evaluationOptions": {
                "kind": "percentage",
                "testingSplitPercentage": 20,
                "trainingSplitPercentage": 80,
            },
        }
        job = self.job("POST", f"{name}/:train", body)
        if job["status"] != "succeeded":
            raise RuntimeError(json.dumps(job))

    def connect(self, name: str, labeling: str) -> None:
        container = self.blobs.get_container_client("labeling")
        if not container.exists():
            container.create_container()
        body = {"studio": "workspace", "workspaceId": "labeling", "amlProjectName": labeling}
        self.job("PUT", f"{name}/connection", body)

    def disconnect(self, name: str, labeling: str) -> None:
        """Label there, take the labels back, and disconnect permanently."""
        self.job("POST", f"{name}/connection/:switch", {"to": "azureMachineLearning"})
        blob = self.blobs.get_blob_client("labeling", f"{labeling}/labels.jsonl")
        lines = [json.loads(line) for line in blob.download_blob().readall().splitlines()]
        lines[0]["label"] = "login"
        blob.upload_blob("\n".join(map(json.dumps, lines)).encode(), overwrite=True)
        self.job("POST", f"{name}/connection/:sync")
        self.job("POST", f"{name}/connection/:switch", {"to": "languageStudio"})
        self.job("POST", f"{name}/connection/:disconnect", {"confirm": labeling})

    # Recording

    def answers(self, name: str) -> dict[str, Any]:
        """What a caller sees of the project, by path."""
        paths = [
            name,
            *(
                f"{name}/{rest}"
                for rest in (
                    "documents",
                    "categories",
                    "statistics",
                    "models",
                    "autolabel/jobs",
                    "review/jobs",
                    "connection",
                    "connection/history",
                )
            ),
        ]
        found = {path: self.get(path) for path in paths}
        for document in found[f"{name}/documents"]["value"]:
            path = f"{name}/documents/{document['id']}/history"
            found[path] = self.get(path)
        for job in found[f"{name}/autolabel/jobs"]["value"]:
            path = f"{name}/autolabel/jobs/{job['jobId']}"
            found[path] = self.get(path)
            found[f"{path}/documents"] = self.get(f"{path}/documents")
        for job in found[f"{name}/review/jobs"]["value"]:
            found[f"{name}/review/jobs/{job['jobId']}"] = job
        for model in found[f"{name}/models"]["value"]:
            path = f"{name}/models/{model['label']}/evaluation/summary-result"
            found[path] = self.get(path)
        found[f"{name}/train/jobs"] = self.get(f"{name}/train/jobs")
        return found

    def entities(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for table in self.tables.list_tables():
            rows = self.tables.get_table_client(table.name).list_entities()
            found[table.name.removeprefix("labelbridge")] = [
                {k: plain(v) for k, v in row.items()} for row in rows
            ]
        return found

    def contents(self) -> dict[str, dict[str, str]]:
        """Containers of the app and of the documents: base64 by name."""
        found: dict[str, dict[str, str]] = {}
        for container in self.blobs.list_containers():
            if not container.name.startswith(("azure-webjobs", "$")):
                client = self.blobs.get_container_client(container.name)
                found[container.name] = {
                    blob.name: base64.b64encode(client.download_blob(blob.name).readall()).decode()
                    for blob in client.list_blobs()
                }
        return found


def plain(value: Any) -> Any:
    """A value of a row as JSON: bytes, times and 64-bit integers are marked."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return {"time": value.astimezone(UTC).isoformat()}
    if isinstance(value, tuple):  # EntityProperty
        return {"int64": value[0]}
    return value


def main(url: str, port: str) -> None:
    recorder = Recorder(url, int(port))
    names = {"single": SINGLE, "multi": MULTI, "entities": ENTITIES}
    for name, kind in names.items():
        recorder.work(name, kind)
    recorder.train("single")
    recorder.train("entities")
    exported = recorder.job("POST", "multi/:export?stringIndexType=Utf16CodeUnit")
    file = httpx.get(exported["resultUrl"], headers=recorder.http.headers, timeout=60).json()
    recorder.upload("docs-multi", {"late.txt": "It came late."})
    recorder.job("POST", "imported/:import", file)
    recorder.connect("single", "gone")
    recorder.disconnect("single", "gone")
    recorder.connect("multi", "bound")
    recorder.job("POST", "entities/autolabel/jobs", {})  # pending suggestions of the current generation
    time.sleep(20)  # uploads and scans end, and a sweep runs
    answers = {
        path: answer for name in (*names, "imported") for path, answer in recorder.answers(name).items()
    }
    data = {"answers": answers, "tables": recorder.entities(), "blobs": recorder.contents()}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    RECORDING.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
