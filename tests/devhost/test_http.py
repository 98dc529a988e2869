"""What the real host does between the socket and the function."""

import json
import re
import signal
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse

import pytest

from tests.devhost.support import KEYS, SAMPLE, Program, running_host, until


def test_ready_line_is_all_of_standard_output(host):
    assert re.fullmatch(r"ready http://127\.0\.0\.1:\d+\n", host.stdout)


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/echo/a/b", "a/b"),
        ("/echo/a%20b/%C3%BC", "a b/ü"),
        ("/echo/a%2Fb", "a%2Fb"),  # the server leaves an encoded slash as it is
        ("/echo/%FF", "%FF"),  # and what is not UTF-8
        ("/echo/x/../y", "y"),
        ("/echo/x/%2e%2e/y", "y"),
        ("/ECHO/Case", "Case"),
    ],
)
def test_route_values_are_decoded_as_by_the_real_server(host, path, rest):
    assert host.get(path)["route"] == {"rest": rest}


def test_missing_catch_all_is_no_route_value(host):
    assert host.get("/echo")["route"] == {}


def test_nul_in_path_is_refused(host):
    assert host.request("GET", "/echo/a%00b").status == 400


def test_headers_have_lower_case_names_and_joined_values(host):
    with socket.create_connection(("127.0.0.1", host.port)) as connection:
        connection.sendall(b"GET /echo HTTP/1.0\r\nX-Mixed: one\r\nx-mixed: two\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]["x-mixed"] == "one,two"


def test_headers_are_utf_8(host):
    assert host.request("GET", "/echo", headers={"x-name": "ü".encode()}).json["headers"]["x-name"] == "ü"
    assert host.request("GET", "/echo", headers={"x-name": b"\xfc"}).status == 400


def test_empty_values_are_dropped_and_repeated_ones_joined(host):
    seen = host.get("/echo?a=1&empty=&b=x+y%26&A=&A=2")
    assert seen["params"] == {"A": "1,2", "b": "x y&"}
    assert seen["url"] == f"{host.address}/echo?a=1&empty=&b=x+y%26&A=&A=2"


def test_address_is_rebuilt_from_the_decoded_path(host):
    assert host.get("/echo/%2B/%252F/../a%20b")["url"] == f"{host.address}/echo/+/a%20b"


@pytest.mark.parametrize("method", ["get", "PURGE", "X-Y"])
def test_methods_are_taken_in_any_case_and_unknown_ones_too(host, method):
    assert host.request(method, "/echo").json["method"] == method.upper()
    assert host.request(method, "/items/1").status == (200 if method == "get" else 404)


def test_body_with_content_length_arrives(host):
    assert host.request("POST", "/echo", bytes(range(256))).json["body"].encode("latin-1") == bytes(
        range(256)
    )


def test_chunked_body_is_lost(host):
    with socket.create_connection(("127.0.0.1", host.port)) as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(b"5\r\nhello\r\n0\r\n\r\n")
        answer = HTTPResponse(connection)
        answer.begin()
        assert (answer.status, json.loads(answer.read())["body"]) == (200, "")


def test_body_over_100_mb_is_refused_before_it_is_read(host):
    answer = host.request("POST", "/echo", headers={"Content-Length": str(100 * 1024 * 1024 + 1)})
    assert (answer.status, answer.body) == (500, b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/items/12", 200),
        ("GET", "/items/-12", 200),
        ("GET", "/items/x", 404),  # not an int
        ("GET", "/items/99999999999", 404),  # nor is this one of 32 bits
        ("PUT", "/items/x", 200),  # another function takes the method
        ("POST", "/items/12", 404),  # none does: 404, not 405
        ("HEAD", "/items/12", 404),  # HEAD is not part of GET
        ("HEAD", "/echo", 200),  # a function without methods takes all
        ("OPTIONS", "/echo", 200),
        ("GET", "/nowhere", 404),
        ("GET", f"/runtime/webhooks/none?code={KEYS['master']}", 404),
    ],
)
def test_methods_and_constraints_are_part_of_the_route(host, method, path, status):
    answer = host.request(method, path)
    assert answer.status == status
    assert method != "HEAD" or not answer.body


def test_literal_segments_may_begin_with_a_colon(host):
    assert host.request("POST", "/projects/p%3A1/documents/:scan").json == {
        "function": "project_scan",
        "projectName": "p:1",
    }


def test_functions_are_tried_in_the_order_of_their_names(host):
    # project_scan takes only POST; what it leaves goes to the route that is tried later.
    assert host.get("/projects/p/documents/:scan")["function"] == "project_x_document"
    assert host.get("/projects/p/documents") == {"function": "project_x_document", "projectName": "p"}


def test_response_keeps_status_bytes_headers_and_cookies(host):
    answer = host.request("GET", "/respond")
    assert (answer.status, answer.body) == (207, bytes([0, 255, 10]))
    assert answer.header("x-one") == ["first"]
    assert answer.header("content-type") == ["application/octet-stream"]
    assert answer.header("set-cookie") == [
        "a=1; domain=; path=/; samesite=lax; httponly",
        "b=2; max-age=60; domain=; path=; secure",
    ]


def test_204_has_no_body(host):
    answer = host.request("GET", "/nothing")
    assert (answer.status, answer.body, answer.header("content-length")) == (204, b"", [])


def test_text_is_answered_as_text(host):
    answer = host.request("GET", "/returns/str")
    assert (answer.status, answer.body) == (200, b"plain text")
    assert answer.header("content-type") == ["text/plain; charset=utf-8"]


@pytest.mark.parametrize("what", ["none", "dict", "tuple"])
def test_values_that_the_worker_cannot_encode_fail(host, what):
    assert host.request("GET", f"/returns/{what}").status == 500


def test_failure_is_logged_once_with_function_invocation_and_traceback(host):
    before = len(host.stderr)
    answer = host.request("POST", "/fails", b"secret text of a document")
    assert (answer.status, answer.body) == (500, b"")
    logged = host.stderr[before:]
    assert len(re.findall(r"function fails failed, invocation [0-9a-f-]{36}: Traceback", logged)) == 1
    assert "RuntimeError: meant to fail" in logged
    assert "secret" not in logged


def test_longer_body_than_the_limit_is_refused_unread(storage, tmp_path):
    with running_host(storage, tmp_path, FUNCTIONS_REQUEST_BODY_SIZE_LIMIT="1000") as host:
        assert host.request("POST", "/echo", b"x" * 1000).status == 200
        with socket.create_connection(("127.0.0.1", host.port)) as connection:
            connection.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n")
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert answer.endswith(b"\r\n\r\n")


def is_answered(host) -> bool:
    try:
        return host.request("GET", "/echo").status == 200
    except OSError:
        return False


def test_function_timeout_ends_the_worker_with_all_that_it_was_doing(storage, tmp_path):
    # Settings of this form override host.json, as in the real host.
    settings = {"AzureFunctionsJobHost__functionTimeout": "00:00:02", "TICK_SCHEDULE": "0 0 4 1 1 *"}
    with running_host(storage, tmp_path, settings=settings) as host, ThreadPoolExecutor(2) as pool:
        orders = host.environment["ORDERS_QUEUE"]
        late = pool.submit(host.request, "GET", "/slow?until=never")
        until(lambda: host.traces("slow"))
        storage.send(orders, "wait:later")
        until(lambda: host.traces("order"))
        meanwhile = pool.submit(host.request, "GET", "/slow?until=never")
        assert [(a.status, a.body) for a in (late.result(), meanwhile.result())] == [(500, b"")] * 2
        assert "function slow failed" in host.stderr
        assert "ran longer than functionTimeout, 2 s" in host.stderr
        until(lambda: [seen["count"] for seen in host.traces("order")] == [1, 2])
        host.touch("later")
        until(lambda: host.traces("order_done", body="wait:later"))
        assert is_answered(host)
        assert host.stdout.count("ready") == 1


def test_killed_worker_is_replaced_and_the_third_exit_ends_the_host(storage, tmp_path):
    with running_host(storage, tmp_path, TICK_SCHEDULE="0 0 4 1 1 *") as host, ThreadPoolExecutor(1) as pool:
        for exits in range(3):
            begun = len(host.traces("slow", step="begin"))
            running = pool.submit(host.request, "GET", "/slow?until=never")
            until(lambda: len(host.traces("slow", step="begin")) > begun)  # noqa: B023 - called at once
            host.signal(signal.SIGUSR1)
            assert running.result().status == 500
            if exits < 2:
                assert is_answered(host)
        assert host.end() == 0
        assert "the worker ended 3 times; the host stops" in host.stderr


def test_answers_of_the_host_can_be_asked_for(storage, tmp_path):
    file = tmp_path / "answers.json"
    with running_host(storage, tmp_path, "--answers", str(file)) as host:
        assert host.get("/echo/a")["route"] == {"rest": "a"}
        file.write_text(json.dumps([{"path": "/echo", "method": "GET", "status": 429, "times": 1}]))
        answer = host.request("GET", "/echo/a")
        assert (answer.status, answer.body, answer.header("x-function-scaleout")) == (429, b"", ["1"])
        assert host.request("GET", "/echo/a").status == 200
        for status in (400, 401, 403, 408, 414, 431, 500):
            file.write_text(json.dumps([{"path": "/echo/a", "status": status}]))
            answer = host.request("POST", "/echo/a")
            assert (answer.status, answer.body) == (status, b"")
        file.write_text(json.dumps([{"path": "/", "status": 503}]))
        assert host.request("GET", "/items/1").body == b"Function host is not running."
        file.write_text(json.dumps([{"path": "/", "status": 418}]))
        assert host.request("GET", "/echo").status == 200
        assert "is not a list of answers" in host.stderr
        file.unlink()
        assert host.request("GET", "/echo").status == 200


def test_settings_come_from_the_file_and_the_environment_wins(host):
    assert host.get("/settings/FROM_FILE") == {"value": "file", "folder": "sample"}
    assert host.get("/settings/ORDERS_QUEUE")["value"] == host.environment["ORDERS_QUEUE"]


def test_keys_are_ignored_unless_asked_for(storage, tmp_path):
    with running_host(storage, tmp_path, keys=False) as host:
        assert host.request("GET", "/guarded").status == 200
        assert host.request("GET", "/masters?code=wrong").status == 200
        assert host.request("GET", "/admin/functions").status == 200


def test_one_key_for_both_extensions(storage, tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"master": "m", "function": "f", "system": "s"}))
    with running_host(storage, tmp_path, "--enable-auth", str(file), keys=False) as host:

        def status(path: str) -> int:
            return host.request("GET", path).status

        assert status("/runtime/webhooks/EventGrid?functionName=storage_event&code=s") == 400
        assert status("/runtime/webhooks/blobs?functionName=x&code=S") == 400
        assert status("/runtime/webhooks/blobs?functionName=x&code=f") == 403
        assert status("/runtime/webhooks/blobs?functionName=x") == 401
        assert status("/admin/functions?code=s") == 403
        assert status("/guarded?code=s") == 401
        assert status("/guarded?code=f") == 200


def test_file_of_keys_that_is_wrong(storage, tmp_path):
    file = tmp_path / "keys.json"
    file.write_text('{"master": "m"}')
    arguments = ["host", "--app", str(SAMPLE), "--port", "0", "--azurite-port", str(storage.port)]
    program = Program([*arguments, "--enable-auth", str(file)], tmp_path / "output").start()
    assert program.end() == 1
    assert "`function`" in program.stderr


def test_answers_do_not_wait_for_the_clients_acknowledgement(host):
    """With Nagle's algorithm on, an answer with a body takes at least 40 ms on a kept connection."""
    times = []
    connection = HTTPConnection("127.0.0.1", host.port)
    for _ in range(15):
        started = time.perf_counter()
        connection.request("GET", "/echo")
        connection.getresponse().read()
        times.append(time.perf_counter() - started)
    connection.close()
    assert statistics.median(times) < 0.035
