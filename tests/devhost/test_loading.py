"""Apps that cannot be loaded, and the contract with Microsoft's library that loads them."""

import re
from pathlib import Path

import azure_functions_runtime
import pytest

from devhost import protos
from tests.devhost.support import Program

HEAD = "import azure.functions as func\napp = func.FunctionApp()\n"


def load(tmp_path, storage, text: str, **files: str) -> str:
    """What the host says when it is given an app; it must not start."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text(text)
    for name, content in files.items():
        (app / f"{name}.json").write_text(content)
    arguments = ["host", "--app", str(app), "--port", "0", "--azurite-port", str(storage.port)]
    program = Program(arguments, tmp_path / "output").start()
    assert program.end() == 1
    assert program.stdout == ""
    return program.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}other = func.FunctionApp()\n", "More than one FunctionApp"),
        ("x = 1\n", "Could not find top level function app instances"),
        (f"{HEAD}@app.route('a')\ndef f(request) -> str: ...\n", "cannot load the f function"),
        (
            f"{HEAD}@app.route('a')\ndef f(req) -> str: ...\n"
            "@app.function_name('f')\n@app.route('b')\ndef g(req) -> str: ...\n",
            "does not have a unique function name",
        ),
        (
            f"{HEAD}@app.queue_trigger('msg', '%NOT_SET%', 'AzureWebJobsStorage')\n"
            "def f(msg: func.QueueMessage) -> None: ...\n",
            "'%NOT_SET%' does not resolve to a value: set NOT_SET",
        ),
        (
            f"{HEAD}@app.service_bus_queue_trigger('msg', 'c', 'q')\n"
            "def f(msg: func.ServiceBusMessage) -> None: ...\n",
            "function f: this host does not know its bindings (serviceBusTrigger)",
        ),
        (
            f"{HEAD}@app.blob_trigger('b', 'c/x', 'AzureWebJobsStorage')\n"
            "def f(b: func.InputStream) -> None: ...\n",
            "function f: only blob triggers with source EventGrid are supported",
        ),
        (
            f"{HEAD}@app.timer_trigger('t', 'often')\ndef f(t: func.TimerRequest) -> None: ...\n",
            "'often' is not",
        ),
    ],
    ids=["two apps", "no app", "unbound", "same name", "setting", "service bus", "polling blob", "schedule"],
)
def test_apps_that_are_wrong(tmp_path, storage, text, said):
    assert said in load(tmp_path, storage, text)


def test_port_that_is_taken(tmp_path, host, storage):
    arguments = [
        "host",
        "--app",
        str(tmp_path),
        "--port",
        str(host.port),
        "--azurite-port",
        str(storage.port),
    ]
    program = Program(arguments, tmp_path / "output").start()
    assert program.end() == 1
    assert f"port {host.port} is taken (PORT)" in program.stderr


def test_every_message_that_the_library_names_is_there():
    folder = Path(azure_functions_runtime.__file__).parent
    used = {
        name for file in folder.rglob("*.py") for name in re.findall(r"protos\.([A-Z]\w+)", file.read_text())
    }
    assert len(used) > 15
    assert {name for name in used if not hasattr(protos, name)} == set()


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("TypedData", {"string": b"x"}),
        ("TypedData", {"json": {}}),
        ("TypedData", {"bytes": "x"}),
        ("TypedData", {"unknown": "x"}),
        ("RpcHttp", {"status_code": 200}),
        ("RpcHttp", {"headers": {"x-count": 1}}),
        ("RpcHttp", {"query": {"a": None}}),
        ("InvocationResponse", {"invocation_id": "1", "result": None, "unknown": 1}),
    ],
)
def test_messages_are_as_strict_as_protobuf(message, fields):
    with pytest.raises(TypeError):
        getattr(protos, message)(**fields)
