"""Measures the structure of the app: modules, imports, and the files that one operation runs through.

    python scripts/structure.py                 this working tree
    python scripts/structure.py --root FOLDER   another one, such as a checkout of an earlier version
    python scripts/structure.py --static        without the traced operations, which start Azurite
    python scripts/structure.py --list          also name the modules behind the figures, and the functions that ran

Conventions:

- App modules are the `.py` files of `function_app.py`, `functions/` and `shared/` without `__init__.py`.
- Module A imports module B if a statement of A names B, also inside a function or for types only.
- A module with a single importer counts as named by a convention, and is not reported, when that importer is the
  registry of its kind: `function_app.py` for a file of `functions/`, the composition root (`shared/runtime/`) for what
  it puts together, the registry of engines for an engine, the factory of the connection for a labeling studio.
- A file is crossed when a function of it runs in one traced operation: also a method, a property, a lambda or a
  generator expression of it. Module bodies, class bodies and what `dataclass` generates do not count.
- The operations run in this process against Azurite, through the functions as the Functions host would call them:
  an upload (the event to the saved suggestion), a review decision (one request), a switch to the other labeling studio
  (its request until the answer). The project exists, and each operation has run once before it is traced.
- A request to switch goes on with the steps of the switch for up to 1.5 s; how many those are depends on the speed of
  the machine. So the traced one stops after its first step. "Whole switch" adds the job that does the others.
- Suggestions come from an engine of the bench: engines differ, and an upload crosses the files of its own in addition.
- The storage gateways count apart: they are files of the SDK's kind, below every operation.
- An earlier measurement of commit 3277add, with another tool, found 41, 30 and 27 files for an upload, a decision and
  a switch. Without the gateways this script finds 42, 31 and 31 there.
"""

import argparse
import ast
import asyncio
import base64
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

HERE = Path(__file__).resolve().parent.parent
REGISTRIES = (
    "function_app",
    "shared.runtime.",
    "shared.connection.factory",
    "shared.engines.registry",
    "shared.storage.gateways.clients",
)
CITATIONS = re.compile(r"rules? [DAVTC]\d|\([DAVTC]\d+[a-z]?\)|FACTS [A-Z]|design section|\(section \d")
CO_OPTIMIZED = 0x1  # set on functions, not on module and class bodies
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
DRAIN_SECONDS = 60
KEY = "labelbridge-local"
KEY_HASH = "a7c460d4ab06559a22460f1a1d53222ace23e5d47a0ba6b2b1f10d40e2ca65ff"
PROJECTS = "language/authoring/analyze-text/projects"
TOPIC = f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"
PROJECT, CONTAINER, LABELING = "structure", "structure-documents", "structure-labeling"


# --- modules and imports -----------------------------------------------------------------------


def app_modules(root: Path) -> dict[str, Path]:
    """The app's modules by dotted name."""
    files = [root / "function_app.py", *root.glob("functions/**/*.py"), *root.glob("shared/**/*.py")]
    return {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for path in sorted(files)
        if path.name != "__init__.py"
    }


def imports_of(path: Path, modules: dict[str, Path]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & modules.keys()


def levels(graph: dict[str, set[str]]) -> int:
    """Length of the longest chain of imports within the graph (which has no cycles), in modules."""
    depth: dict[str, int] = {}

    def measure(name: str, path: tuple[str, ...] = ()) -> int:
        if name not in depth:
            inner = [
                measure(imported, (*path, name))
                for imported in graph[name] & graph.keys()
                if imported not in path
            ]
            depth[name] = 1 + max(inner, default=0)
        return depth[name]

    return max((measure(name) for name in graph), default=0)


def static_figures(root: Path) -> tuple[dict[str, Any], dict[str, list[str]]]:
    modules = app_modules(root)
    imports = {name: imports_of(path, modules) - {name} for name, path in modules.items()}
    importers: dict[str, set[str]] = defaultdict(set)
    for name, targets in imports.items():
        for target in targets:
            importers[target].add(name)
    single = {name: next(iter(who)) for name, who in importers.items() if len(who) == 1}
    unnamed = {name: who for name, who in single.items() if not who.startswith(REGISTRIES)}
    lines = {name: len(path.read_text().splitlines()) for name, path in modules.items()}
    services = {name: targets for name, targets in imports.items() if name.startswith("shared.services.")}
    packages: dict[str, set[str]] = defaultdict(set)
    for name, targets in services.items():
        package = ".".join(name.split(".")[:3])
        packages[package] |= {".".join(t.split(".")[:3]) for t in targets & services.keys()} - {package}
    cited = sum(
        bool(CITATIONS.search(line)) for path in modules.values() for line in path.read_text().splitlines()
    )
    figures = {
        "app modules": len(modules),
        "median lines of a module": int(statistics.median(lines.values())),
        "longest module, lines": max(lines.values()),
        "lines in all": sum(lines.values()),
        "modules with a single importer": len(single),
        "  not named by a convention": len(unnamed),
        "imports between modules of shared/services": sum(
            len(t & services.keys()) for t in services.values()
        ),
        "levels of modules in shared/services": levels(services),
        "packages or modules directly in shared/services": len(packages),
        "imports between those": sum(len(targets) for targets in packages.values()),
        "levels of those": levels(packages),
        "lines that cite a rule, FACTS or a design section": cited,
    }
    lists = {"single importer": [f"{name} <- {who}" for name, who in sorted(unnamed.items())]}
    return figures, lists


# --- traced operations -------------------------------------------------------------------------


type Crossed = dict[str, set[str]]
"""The names of functions that ran, by the path of their file."""


class Trace:
    """The functions of the app that run while it is on, by file."""

    TOOL = 4

    def __init__(self, root: Path) -> None:
        self._root = f"{root}{os.sep}"
        self.functions: dict[str, set[str]] = defaultdict(set)
        sys.monitoring.use_tool_id(self.TOOL, "structure")
        sys.monitoring.register_callback(self.TOOL, sys.monitoring.events.PY_START, self._started)

    def _started(self, code: CodeType, _offset: int) -> object:
        if code.co_flags & CO_OPTIMIZED and code.co_filename.startswith(self._root):
            name = code.co_filename.removeprefix(self._root)
            if name.startswith(("functions/", "shared/", "function_app")) and not name.endswith(
                "__init__.py"
            ):
                self.functions[name].add(code.co_qualname.replace(".<locals>", ""))
        return sys.monitoring.DISABLE

    @contextmanager
    def off(self) -> Iterator[None]:
        """Polling, which is not part of the operation."""
        events = sys.monitoring.get_events(self.TOOL)
        sys.monitoring.set_events(self.TOOL, 0)
        try:
            yield
        finally:
            sys.monitoring.set_events(self.TOOL, events)

    async def of(self, work: Callable[[], Awaitable[object]]) -> Crossed:
        self.functions = defaultdict(set)
        sys.monitoring.set_events(self.TOOL, sys.monitoring.events.PY_START)
        sys.monitoring.restart_events()
        try:
            await work()
        finally:
            sys.monitoring.set_events(self.TOOL, 0)
        return self.functions


@contextmanager
def running_azurite() -> Iterator[str]:
    """Azurite on free ports; its connection string."""
    program = HERE / "node_modules/.bin/azurite"
    with tempfile.TemporaryDirectory() as folder:
        ports = ["--blobPort=0", "--queuePort=0", "--tablePort=0"]
        options = ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", folder]
        process = subprocess.Popen([program, *options, *ports], stdout=subprocess.PIPE, text=True)
        try:
            found: dict[str, str] = {}
            for line in process.stdout or ():
                if match := re.search(r"Azurite (\w+) service is successfully listening at (\S+)", line):
                    found[match[1]] = f"{match[1]}Endpoint={match[2]}/{ACCOUNT};"
                if len(found) == len(ports):
                    break
            yield f"AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};" + "".join(found.values())
        finally:
            process.terminate()
            process.wait(20)


class App:
    """The functions of the app by name, called as the host calls them."""

    def __init__(self, connection_string: str) -> None:
        from azure.storage.blob import ContainerClient
        from azure.storage.queue import QueueServiceClient

        import function_app

        self._storage = connection_string
        self._queues = QueueServiceClient.from_connection_string(connection_string)
        self._containers = ContainerClient
        self._functions: dict[str, Callable[..., Awaitable[Any]]] = {}
        self._queue_functions: dict[str, Callable[..., Awaitable[Any]]] = {}
        for function in function_app.app.get_functions():
            self._functions[str(function.get_function_name())] = function.get_user_function()
            for binding in function.get_bindings():
                queue = getattr(binding, "queue_name", None)
                if queue:
                    # versions before 2 let the host put the settings into the names
                    name = re.sub("%(.+?)%", lambda setting: os.environ[setting[1]], queue)
                    self._queue_functions[name] = function.get_user_function()

    def container(self, name: str) -> Any:
        return self._containers.from_connection_string(self._storage, name)

    async def http(
        self,
        name: str,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        **names: str,
    ) -> Any:
        """The JSON of an answer; raises for a refusal."""
        import azure.functions as func

        request = func.HttpRequest(
            method=method,
            url=f"http://localhost/{PROJECTS}/{path}?api-version=2023-04-15-preview",
            params={"api-version": "2023-04-15-preview"},
            headers={"ocp-apim-subscription-key": KEY, "content-type": "application/json", **(headers or {})},
            route_params={"projectName": PROJECT, **names},
            body=b"" if body is None else json.dumps(body).encode(),
        )
        response = await self._functions[name](request)
        if response.status_code >= 400:
            raise RuntimeError(f"{name}: {response.status_code} {response.get_body().decode()}")
        return json.loads(response.get_body() or b"null")

    async def event(self, location: str) -> None:
        import azure.functions as func

        subject = f"/blobServices/default/containers/{CONTAINER}/blobs/{location}"
        data: dict[str, object] = {"url": f"http://localhost/{CONTAINER}/{location}", "api": "PutBlob"}
        event = func.EventGridEvent(
            id="1", data=data, topic=TOPIC, subject=subject, event_type="Microsoft.Storage.BlobCreated",
            event_time=None, data_version="",
        )  # fmt: skip
        await self._functions["storage_event"](event)

    async def drain(self, until: Callable[[], Awaitable[bool]]) -> None:
        """Run the queue functions on the messages that are visible until the condition holds."""
        import azure.functions as func
        from azure.core.exceptions import ResourceNotFoundError

        deadline = time.monotonic() + DRAIN_SECONDS
        while not await until():
            if time.monotonic() > deadline:
                raise TimeoutError(f"An operation did not end within {DRAIN_SECONDS} s.")
            for name, function in self._queue_functions.items():
                queue = self._queues.get_queue_client(name)
                try:
                    messages = list(queue.receive_messages(visibility_timeout=300))
                except ResourceNotFoundError:
                    continue  # the queue is not there until something was sent to it
                for message in messages:
                    await function(func.QueueMessage(id=message.id, body=base64.b64decode(message.content)))
                    queue.delete_message(message)
            await asyncio.sleep(0.05)


async def crossed(connection_string: str, root: Path) -> dict[str, Crossed]:
    trace = Trace(root)
    app = App(connection_string)
    documents = app.container(CONTAINER)
    documents.create_container()
    app.container(LABELING).create_container()
    await app.http("put_project", "PATCH", PROJECT, {
        "projectKind": "CustomSingleLabelClassification", "storageInputContainerName": CONTAINER, "language": "en-us",
    })  # fmt: skip

    async def upload(location: str, *, until: str = "autoLabeled") -> None:
        documents.upload_blob(location, f"the text of {location}")
        await app.event(location)
        await app.drain(lambda: settled(location, until))

    async def settled(location: str, status: str) -> bool:
        with trace.off():
            listed = await app.http("list_documents", "GET", f"{PROJECT}/documents")
        return any(item["location"] == location and item["status"] == status for item in listed["value"])

    for name in ("a.txt", "b.txt"):
        await upload(name, until="unlabeled")
    for index, document in enumerate(
        (await app.http("list_documents", "GET", f"{PROJECT}/documents"))["value"]
    ):
        await app.http("put_document_labels", "PUT", f"{PROJECT}/documents/{document['id']}/labels",
                       {"class": {"category": f"Class{index}"}}, {"if-match": "*"},
                       documentId=document["id"])  # fmt: skip

    async def review(location: str) -> None:
        await app.http(
            "review_documents",
            "POST",
            f"{PROJECT}/documents/:review",
            {"decisions": [await decision(location)]},
        )

    async def decision(location: str) -> dict[str, Any]:
        with trace.off():
            listed = await app.http("list_documents", "GET", f"{PROJECT}/documents")
        document = next(item for item in listed["value"] if item["location"] == location)
        return {"documentId": document["id"], "eTag": document["eTag"], "acceptAll": True}

    async def request_switch(to: str) -> None:
        await app.http("switch_connection", "POST", f"{PROJECT}/connection/:switch", {"to": to})

    async def switch(to: str) -> None:
        await request_switch(to)
        await app.drain(lambda: active(to))

    async def active(studio: str) -> bool:
        with trace.off():
            shown = await app.http("get_connection", "GET", f"{PROJECT}/connection")
        return shown["state"] == "connected" and shown["activeStudio"] == studio

    await upload("c.txt")
    result = {"upload": await trace.of(lambda: upload("d.txt"))}
    await review("c.txt")
    result["review"] = await trace.of(lambda: review("d.txt"))
    body = {"studio": "workspace", "workspaceId": LABELING, "amlProjectName": "structure"}
    await app.http("put_connection", "PUT", f"{PROJECT}/connection", body)
    await app.drain(lambda: active("languageStudio"))
    await switch("azureMachineLearning")
    await switch("languageStudio")
    stop_after_first_step()
    result["switch"] = await trace.of(lambda: request_switch("azureMachineLearning"))
    rest = await trace.of(lambda: app.drain(lambda: active("azureMachineLearning")))
    files = result["switch"].keys() | rest.keys()
    result["whole switch"] = {
        file: result["switch"].get(file, set()) | rest.get(file, set()) for file in files
    }
    return result


def stop_after_first_step() -> None:
    """Let a request do one step of a change of a connection, independent of the machine's speed."""
    for module in [module for name, module in sys.modules.items() if name.startswith("shared.")]:
        if hasattr(module, "INLINE_SECONDS"):
            module.INLINE_SECONDS = 0  # pyright: ignore[reportAttributeAccessIssue] - of the version that is measured


def traced(root: Path) -> dict[str, Crossed]:
    """Run the operations of the app in `root`, in a process of its own."""
    with running_azurite() as storage:
        environment = {
            **os.environ,
            "AzureWebJobsStorage": storage,
            "AUTH_MODE": "local",
            "API_KEYS": json.dumps([{"name": "local", "sha256": KEY_HASH, "roles": ["*"]}]),
            "COLLECT_WINDOW_SECONDS": "0",
            "TABLE_PREFIX": "labelbridge",
            "DEFAULT_ENGINE": "instant",
            "EXTRA_ENGINES": '{"instant": "bench.instant_engine:InstantEngine"}',
            "PYTHONPATH": str(root),
        }
        command = [
            sys.executable,
            str(Path(__file__).resolve()),
            "--root",
            str(root),
            "--trace-with",
            storage,
        ]
        done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the traced operations failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python scripts/structure.py", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--root", type=Path, default=HERE, help="the working tree to measure")
    parser.add_argument("--static", action="store_true", help="leave out the traced operations")
    parser.add_argument("--list", action="store_true", help="name the modules behind the figures")
    parser.add_argument("--trace-with", metavar="CONNECTION_STRING", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    root: Path = arguments.root.resolve()
    if arguments.trace_with:
        sys.path.insert(0, str(root))
        found = asyncio.run(crossed(arguments.trace_with, root))
        print(json.dumps(found, default=sorted))
        return
    figures, lists = static_figures(root)
    if not arguments.static:
        for name, files in traced(root).items():
            figures[f"files that one {name} crosses"] = len(files)
            inner = [file for file in files if not file.startswith("shared/storage/gateways/")]
            figures[f"  {name}, without the storage gateways"] = len(inner)
            lists[name] = [f"{file}: {', '.join(sorted(files[file]))}" for file in sorted(files)]
    for name, value in figures.items():
        print(f"{name:<56}{value:>8,}")
    for name, values in lists.items() if arguments.list else ():
        print(f"\n{name} ({len(values)})", *values, sep="\n  ")


if __name__ == "__main__":
    main()
