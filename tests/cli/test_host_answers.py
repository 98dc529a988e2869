"""Each answer that the Functions host makes by itself: a sentence and a status, repeated where that can help.

docs/reference/errors.md lists them; devhost gives each on demand.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from devhost.answers import ANSWERS
from labelbridge.cli.output import explain
from labelbridge.client import ApiError, Client
from samples.api import PROJECTS, Api, ApiFailed, Refused
from tests.cli.terminal import Cli
from tests.support.api import unique
from tests.support.hosts import KEY, QUIET, Host

#: What is said of each, and the exit status of the command line.
SAID = {
    400: ("The request has a header that the Functions host cannot read.", 7),
    401: ("The Functions host refused the key.", 4),
    403: ("The Functions host refused the key.", 4),
    408: ("The upload was too slow for the Functions host; repeat it on a faster connection.", 3),
    414: ("The request line is longer than 8 KiB; use shorter filters.", 7),
    429: ("The function app is throttled; wait a few seconds and repeat.", 3),
    431: ("The request has more than 100 headers or more than 32 KiB of them.", 7),
    500: (
        "The worker of the function app ended during the request, or the body was too large; repeat the request once.",
        3,
    ),
    503: ("The function app is starting; wait a few seconds and repeat.", 3),
}
PASSING = (408, 429, 500, 503)


@contextmanager
def answering(host: Host, path: str, status: int, times: int = 1_000) -> Iterator[None]:
    """The host gives this answer for requests that begin with the path."""
    host.answers.write_text(json.dumps([{"path": path, "status": status, "times": times}]))
    try:
        yield
    finally:
        host.answers.unlink()


def test_every_answer_is_tried():
    assert SAID.keys() == ANSWERS.keys()


@pytest.mark.parametrize("status", SAID)
def test_the_client_raises_a_sentence(host: Host, status: int):
    name = unique(QUIET)
    with (
        Client(host.url, key=KEY, pauses=(0, 0)) as client,
        answering(host, f"{PROJECTS}/{name}", status),
        pytest.raises(ApiError) as refused,
    ):
        client.project(name).get()
    error = refused.value
    assert (str(error), error.status, error.from_host) == (SAID[status][0], status, True)
    assert error.repeated == (status in PASSING)


@pytest.mark.parametrize("status", SAID)
def test_the_command_line_says_a_sentence(cli: Cli, host: Host, status: int):
    name = unique(QUIET)
    sentence, code = SAID[status]
    cli.signed_in()
    if status not in PASSING:
        with answering(host, f"{PROJECTS}/{name}", status):
            assert sentence in cli("projects", "show", name, status=code).err
        return
    with answering(host, f"{PROJECTS}/{name}", status, times=1):
        said = cli("projects", "show", name, status=5).err
    assert f"{sentence} Trying again in 1 s." in said


@pytest.mark.parametrize("status", SAID)
def test_the_command_line_ends_with_the_status_of_the_last_answer(status: int):
    assert explain(ApiError(httpx.Response(status)))[1] == SAID[status][1]


@pytest.mark.parametrize("status", [411, 413])
def test_a_proxy_that_refuses_a_body_is_a_sentence_too(status: int):
    assert "proxy" in str(ApiError(httpx.Response(status)))


@pytest.mark.parametrize("status", SAID)
def test_the_samples_report_a_sentence(host: Host, status: int):
    name = unique(QUIET)
    with (
        Api(host.url, KEY, pauses=(0, 0)) as api,
        answering(host, f"{PROJECTS}/{name}", status),
        pytest.raises(Refused) as refused,
    ):
        api.project(name).get()
    assert refused.value.reason == f"{status}: {SAID[status][0]}"


@pytest.mark.parametrize("status", PASSING)
def test_the_samples_try_again(host: Host, status: int):
    with Api(host.url, KEY, pauses=(0, 0)) as api, answering(host, PROJECTS, status, times=2):
        assert "value" in api.call("GET", PROJECTS).json()


def test_the_samples_do_not_wait_for_a_host_that_ended(host: Host):
    def ended() -> None:
        raise ApiFailed("The local host ended.")

    with (
        Api(host.url, KEY, ended) as api,
        answering(host, PROJECTS, 503),
        pytest.raises(ApiFailed, match="The local host ended"),
    ):
        api.call("GET", PROJECTS)
