"""The function app of the devhost's tests. Every function leaves a trace in a JSON-lines file that tests read."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
_lock = threading.Lock()


def trace(function: str, **values: Any) -> None:
    """Append one line; the file is named by the setting TRACE_FILE."""
    line = json.dumps({"function": function, "at": time.time(), **values})
    with _lock, Path(os.environ["TRACE_FILE"]).open("a") as file:
        file.write(line + "\n")


def wait_for_file(name: str) -> None:
    """Block until a test makes the file `name` beside the trace file."""
    path = Path(os.environ["TRACE_FILE"]).with_name(name)
    while not path.exists():
        time.sleep(0.02)


def reply(value: Any, **options: Any) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(value), mimetype="application/json", **options)


# --- HTTP ---------------------------------------------------------------------------------------------------------


@app.route("echo/{*rest}", auth_level=func.AuthLevel.ANONYMOUS)
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    return reply(
        {
            "method": req.method,
            "url": req.url,
            "headers": dict(req.headers),
            "params": dict(req.params),
            "route": dict(req.route_params),
            "body": req.get_body().decode("latin-1"),
        }
    )


@app.route("settings/{name}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def settings(req: func.HttpRequest) -> func.HttpResponse:
    return reply({"value": os.environ.get(req.route_params["name"]), "folder": Path.cwd().name})


@app.route("returns/{what}", auth_level=func.AuthLevel.ANONYMOUS)
def returns(req: func.HttpRequest):  # noqa: ANN201 - what the worker does with odd values is what is tested
    values: dict[str, Any] = {"none": None, "dict": {"a": 1}, "tuple": ("a", 200), "str": "plain text"}
    return values[req.route_params["what"]]


@app.route("respond", auth_level=func.AuthLevel.ANONYMOUS)
def respond(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(bytes([0, 255, 10]), status_code=207, mimetype="application/octet-stream")
    response.headers.add("X-One", "first")
    response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly; SameSite=Lax")
    response.headers.add("Set-Cookie", "b=2; Max-Age=60; Secure")
    return response


@app.route("nothing", auth_level=func.AuthLevel.ANONYMOUS)
def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204)


@app.route("fails", auth_level=func.AuthLevel.ANONYMOUS)
def fails(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("meant to fail")


@app.route("slow", auth_level=func.AuthLevel.ANONYMOUS)
def slow(req: func.HttpRequest) -> func.HttpResponse:
    trace("slow", step="begin")
    wait_for_file(req.params["until"])
    trace("slow", step="end")
    return func.HttpResponse("done")


@app.route("guarded")
def guarded(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("in")


@app.route("masters", auth_level=func.AuthLevel.ADMIN)
def masters(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("in")


@app.route("items/{id:int}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def item(req: func.HttpRequest) -> func.HttpResponse:
    return reply({"function": "item", **req.route_params})


@app.route("items/{name}", methods=["PUT"], auth_level=func.AuthLevel.ANONYMOUS)
def item_put(req: func.HttpRequest) -> func.HttpResponse:
    return reply({"function": "item_put", **req.route_params})


@app.route("projects/{projectName}/documents/:scan", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
def project_scan(req: func.HttpRequest) -> func.HttpResponse:
    return reply({"function": "project_scan", **req.route_params})


@app.route("projects/{projectName}/documents/{id?}", auth_level=func.AuthLevel.ANONYMOUS)
def project_x_document(req: func.HttpRequest) -> func.HttpResponse:
    return reply({"function": "project_x_document", **req.route_params})


# --- queues -------------------------------------------------------------------------------------------------------


@app.queue_trigger("msg", "%ORDERS_QUEUE%", "AzureWebJobsStorage")
def order(msg: func.QueueMessage) -> None:
    body = msg.get_body().decode()
    trace("order", body=body, id=msg.id, count=msg.dequeue_count, inserted=str(msg.insertion_time))
    if body.startswith("wait:"):
        wait_for_file(body.removeprefix("wait:"))
    if body.startswith("fail"):
        raise RuntimeError("meant to fail")
    if body.startswith("twice") and msg.dequeue_count == 1:
        raise RuntimeError("meant to fail once")
    trace("order_done", body=body)


@app.queue_trigger("msg", "%ORDERS_QUEUE%-poison", "AzureWebJobsStorage")
def order_poison(msg: func.QueueMessage) -> None:
    body = msg.get_body().decode()
    trace("order_poison", body=body, count=msg.dequeue_count)
    if body.startswith("fail again"):
        raise RuntimeError("meant to fail")


@app.queue_trigger("msg", "%ORDERS_QUEUE%-value", "AzureWebJobsStorage")
def order_value(msg: func.QueueMessage) -> str:
    trace("order_value", count=msg.dequeue_count)
    return "a value without a $return binding"


@app.queue_trigger("msg", "%ORDERS_QUEUE%-out", "AzureWebJobsStorage")
@app.queue_output("out", "%ORDERS_QUEUE%", "AzureWebJobsStorage")
@app.blob_output("copy", "%DOCUMENTS_CONTAINER%-out/last.txt", "AzureWebJobsStorage")
def order_out(msg: func.QueueMessage, out: func.Out[str], copy: func.Out[str]) -> None:
    items = json.loads(msg.get_body())
    out.set(items)
    copy.set("copied")


# --- events -------------------------------------------------------------------------------------------------------


@app.event_grid_trigger("event")
def storage_event(event: func.EventGridEvent) -> None:
    data = event.get_json()
    trace(
        "storage_event",
        subject=event.subject,
        type=event.event_type,
        data=data,
        id=event.id,
        topic=event.topic,
    )
    if data.get("fail"):
        raise RuntimeError("meant to fail")


@app.event_grid_trigger("event")
def cloud_event(event: func.CloudEvent) -> None:
    trace("cloud_event", subject=event.subject, type=event.type, source=event.source, data=event.get_json())


@app.blob_trigger("client", "%DOCUMENTS_CONTAINER%/{name}", "AzureWebJobsStorage", source="EventGrid")
def document_uploaded(client: blob.BlobClient) -> None:
    properties = client.get_blob_properties()
    trace("document_uploaded", container=client.container_name, name=client.blob_name, size=properties.size)
    if client.blob_name.startswith("fail"):
        raise RuntimeError("meant to fail")


@app.blob_trigger("stream", "%DOCUMENTS_CONTAINER%/{name}", "AzureWebJobsStorage", source="EventGrid")
def document_read(stream: func.InputStream) -> None:
    trace(
        "document_read",
        name=stream.name,
        length=stream.length,
        uri=stream.uri,
        content=stream.read().decode(),
    )


# --- timers -------------------------------------------------------------------------------------------------------


@app.timer_trigger("timer", "%TICK_SCHEDULE%")
def tick(timer: func.TimerRequest) -> None:
    trace("tick", past_due=timer.past_due, status=timer.schedule_status)
    if os.environ.get("TICK_WAITS"):
        wait_for_file(os.environ["TICK_WAITS"])


@app.timer_trigger("timer", "0 0 3 * * *")
def nightly(timer: func.TimerRequest) -> None:
    trace("nightly", past_due=timer.past_due, status=timer.schedule_status)
