"""Apps that cannot be loaded, and the contract with Microsoft's library."""

import re
import subprocess
import sys
from pathlib import Path

import azure_functions_runtime
import pytest

from devhost import protos
from tests.devhost.support import KEYS, ROOT, Program, running_host

HEAD = "import azure.functions as func\napp = func.FunctionApp()\n"


def load(tmp_path, storage, text: str, **files: str) -> str:
    """What the host says in strict mode when it is given an app; it must not start."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text(text)
    for name, content in files.items():
        (app / f"{name}.json").write_text(content)
    arguments = ["host", "--strict", "--app", str(app), "--port", "0", "--azurite-port", str(storage.port)]
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
            "function f is left out: this host does not know its bindings (serviceBusTrigger)",
        ),
        (
            f"{HEAD}@app.blob_trigger('b', 'c/x', 'AzureWebJobsStorage')\n"
            "def f(b: func.InputStream) -> None: ...\n",
            "function f is left out: only blob triggers with source EventGrid are supported",
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


def test_function_that_cannot_be_served_is_left_out_and_the_rest_is_served(storage, tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text(
        f"{HEAD}"
        "@app.queue_trigger('msg', '%NOT_SET%', 'AzureWebJobsStorage')\n"
        "def lost(msg: func.QueueMessage) -> None: ...\n"
        "@app.timer_trigger('t', '%EMPTY%')\n"
        "def never(t: func.TimerRequest) -> None: ...\n"
        "@app.timer_trigger('t', 'often')\n"
        "def wrong(t: func.TimerRequest) -> None: ...\n"
        "@app.route('works', auth_level=func.AuthLevel.ANONYMOUS)\n"
        "def works(req: func.HttpRequest) -> str:\n    return 'yes'\n"
    )
    with running_host(storage, tmp_path, app=app, EMPTY="") as host:
        assert host.request("GET", "/api/works").body == b"yes"

        def errors(name: str) -> list[str] | None:
            return host.get(f"/admin/functions/{name}/status?code={KEYS['master']}").get("errors")

        assert errors("lost") == ["'%NOT_SET%' in '%NOT_SET%' does not resolve to a value: set NOT_SET"]
        assert errors("never") == ["'%EMPTY%' in '%EMPTY%' does not resolve to a value: set EMPTY"]
        assert errors("wrong") == ["'often' is not a time span such as 00:05:00"]
        assert errors("works") is None
        assert host.request("GET", f"/admin/functions/none/status?code={KEYS['master']}").status == 404
        assert "function lost is left out" in host.stderr


def test_app_that_cannot_be_indexed_has_no_functions(storage, tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text(f"{HEAD}@app.route('a')\ndef f(request) -> str: ...\n")
    with running_host(storage, tmp_path, app=app) as host:
        assert host.request("GET", "/api/a").status == 404
        assert host.get(f"/admin/functions?code={KEYS['master']}") == []
        assert "cannot load the f function" in host.stderr


def test_settings_file_can_be_left_out(storage, tmp_path):
    with running_host(storage, tmp_path, "--no-settings-file", TICK_SCHEDULE="0 0 4 1 1 *") as host:
        assert host.get("/settings/FROM_FILE")["value"] is None


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (
            "@app.route('a')\ndef f(req: func.HttpRequest) -> str: ...\n",
            0,
            "index: 1 functions (1 httpTrigger)",
        ),
        ("@app.route('a')\ndef f(req: int) -> str: ...\n", 1, "cannot load the f function"),
        ("@app.route('{a')\ndef f(req) -> str: ...\n", 1, "function f: route segment '{a' has an open brace"),
        ("@app.timer_trigger('t', '%NONE%')\ndef f(t) -> None: ...\n", 1, "'%NONE%' does not resolve"),
    ],
    ids=["good", "annotation", "route", "setting"],
)
def test_lint_indexes_the_app(tmp_path, text, status, said):
    (tmp_path / "function_app.py").write_text(f"{HEAD}{text}")
    command = [sys.executable, ROOT / "scripts" / "index_functions.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done


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
