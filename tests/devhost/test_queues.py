"""Queue triggers by the rules of the storage extension."""

import errno
import signal
import socket

import pytest

from devhost.settings import HostError, QueueOptions, parse_time_span, read_host_options
from tests.devhost.support import running_host, unique, until


def test_message_arrives_with_its_metadata_and_is_deleted(host, storage, orders):
    body = unique("hello ü")
    storage.send(orders, body)
    (seen,) = until(lambda: host.traces("order", body=body))
    assert seen["count"] == 1
    assert seen["id"]
    assert seen["inserted"].startswith("20")
    until(lambda: storage.count(orders) == 0)


def test_failed_message_comes_back_at_once(host, storage, orders):
    body = unique("twice")
    storage.send(orders, body)
    until(lambda: host.traces("order_done", body=body))
    assert [seen["count"] for seen in host.traces("order", body=body)] == [1, 2]


def test_message_is_poison_after_five_tries(host, storage, orders):
    body = unique("fail")
    storage.send(orders, body)
    until(lambda: host.traces("order_poison", body=body))
    assert [seen["count"] for seen in host.traces("order", body=body)] == [1, 2, 3, 4, 5]
    until(lambda: storage.count(f"{orders}-poison") == 0)


def test_failure_on_a_poison_queue_runs_once_and_stays_hidden(host, storage, orders):
    body, later = unique("fail again"), unique("later")
    storage.send(f"{orders}-poison", body)
    until(lambda: host.traces("order_poison", body=body))
    storage.send(f"{orders}-poison", later)
    until(lambda: host.traces("order_poison", body=later))
    until(lambda: storage.count(f"{orders}-poison") == 1)
    assert storage.visible(f"{orders}-poison") == []
    assert not storage.exists(f"{orders}-poison-poison")
    assert len(host.traces("order_poison", body=body)) == 1


def test_message_that_cannot_be_read_is_poison_without_a_run(storage, tmp_path):
    with running_host(storage, tmp_path, settings={"AzureWebJobs.order_poison.Disabled": "true"}) as host:
        orders = host.environment["ORDERS_QUEUE"]
        storage.create(orders)
        for text in ("not base64!", "/w=="):  # the second is not UTF-8
            storage.queue(orders).send_message(text)
        until(lambda: storage.exists(f"{orders}-poison") and storage.count(f"{orders}-poison") == 2)
        assert sorted(storage.visible(f"{orders}-poison")) == ["/w==", "not base64!"]
        assert not host.traces("order")
        # A disabled function has no listener, but the others have.
        storage.send(orders, "works")
        until(lambda: host.traces("order_done", body="works"))
        assert not host.traces("order_poison")


def test_host_creates_no_queue(storage, tmp_path):
    with running_host(storage, tmp_path) as host:
        orders = host.environment["ORDERS_QUEUE"]
        until(lambda: host.traces("tick"))
        assert not storage.exists(orders)
        storage.send(orders, "works")
        until(lambda: host.traces("order_done", body="works"))


def test_value_without_a_return_binding_fails(host, storage, orders):
    storage.send(f"{orders}-value", "x")
    until(lambda: storage.exists(f"{orders}-value-poison") and storage.count(f"{orders}-value-poison"))
    assert [seen["count"] for seen in host.traces("order_value")] == [1, 2, 3, 4, 5]


def test_list_output_is_split_into_messages_and_wakes_the_listener(host, storage, orders):
    first, second = unique("out"), unique("out")
    storage.send(f"{orders}-out", f'["{first}", "{second}"]')
    until(lambda: host.traces("order_done", body=first) and host.traces("order_done", body=second))
    # One output is written after another: the messages may have run before the blob is there.
    copy = storage.container(f"{host.environment['DOCUMENTS_CONTAINER']}-out").get_blob_client("last.txt")
    until(copy.exists)
    assert copy.download_blob().readall() == b"copied"


def test_no_more_than_batch_and_threshold_run_at_once(storage, tmp_path):
    # batchSize 4, newBatchThreshold 2: the next 4 are fetched when no more than 2 are left. All of them wait before
    # the host polls: if it found only the first two, it would fetch 4 more.
    orders = unique("orders")
    storage.queue(orders).create_queue()
    storage.send(orders, "wait:a", "wait:a", "wait:b", "wait:b", *["wait:c"] * 6)
    with running_host(storage, tmp_path, ORDERS_QUEUE=orders) as host:
        until(lambda: len(host.traces("order")) == 4)
        assert len(storage.visible(orders)) == 6
        host.touch("a")
        until(lambda: len(host.traces("order", body="wait:c")) == 4)
        assert len(storage.visible(orders)) == 2
        assert len(host.traces("order_done")) == 2
        host.touch("b")
        host.touch("c")
        until(lambda: len(host.traces("order_done")) == 10)


def test_running_message_is_hidden_for_as_long_as_it_runs(storage, tmp_path):
    with running_host(storage, tmp_path, "--message-invisibility", "1") as host:
        orders = host.environment["ORDERS_QUEUE"]
        storage.send(orders, "wait:gate")
        until(lambda: host.traces("order"))
        ticks = len(host.traces("tick"))
        # Without renewal the message would have shown up again after 1 s.
        until(lambda: len(host.traces("tick")) >= ticks + 3)
        assert storage.visible(orders) == []
        assert [seen["count"] for seen in host.traces("order")] == [1]
        host.touch("gate")


def test_killed_host_leaves_its_message_to_the_next(storage, tmp_path):
    with running_host(storage, tmp_path / "1", "--message-invisibility", "1") as first:
        orders = first.environment["ORDERS_QUEUE"]
        storage.send(orders, "wait:gate")
        until(lambda: first.traces("order"))
        first.signal(signal.SIGKILL)
        first.end()
        with running_host(storage, tmp_path / "2", ORDERS_QUEUE=orders) as second:
            (seen,) = until(lambda: second.traces("order"))
            assert seen["count"] == 2
            second.touch("gate")
            until(lambda: second.traces("order_done"))


def test_sigterm_lets_running_invocations_end(storage, tmp_path):
    with running_host(storage, tmp_path) as host:
        orders = host.environment["ORDERS_QUEUE"]
        storage.send(orders, "wait:gate")
        until(lambda: host.traces("order"))
        host.signal(signal.SIGTERM)
        until(lambda: refuses_connections(host))
        assert host.process.poll() is None
        host.touch("gate")
        assert host.end() == 0
        assert host.traces("order_done")
        assert storage.count(orders) == 0


def test_sigterm_waits_no_longer_than_its_limit(storage, tmp_path):
    with running_host(storage, tmp_path, "--stop-seconds", "0.2") as host:
        orders = host.environment["ORDERS_QUEUE"]
        storage.send(orders, "wait:never")
        until(lambda: host.traces("order"))
        host.signal(signal.SIGTERM)
        assert host.end(5) == 0
        assert not host.traces("order_done")
        assert storage.count(orders) == 1


def refuses_connections(host) -> bool:
    """Not even the system accepts them, for nobody to serve."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", host.port)) == errno.ECONNREFUSED


def test_host_json_has_the_real_hosts_defaults(tmp_path):
    options = read_host_options(tmp_path)
    assert (options.route_prefix, options.function_timeout, options.queues.batch_size) == ("api", 1800, 16)
    assert (options.queues.max_dequeue_count, options.queues.max_polling_interval) == (5, 60)
    assert (options.timer_lease_retry, options.max_body) == (60, 104_857_600)
    assert options.queues.base64_messages


def test_host_json_is_obeyed(tmp_path):
    (tmp_path / "host.json").write_text(
        '{"functionTimeout": "-1", "extensions": {"queues": {"batchSize": 32, "newBatchThreshold": 1,'
        ' "maxDequeueCount": 2, "visibilityTimeout": "00:00:30", "maxPollingInterval": "00:00:02",'
        ' "messageEncoding": "none"}}}'
    )
    options = read_host_options(tmp_path)
    assert options.function_timeout is None
    assert options.queues == QueueOptions(32, 1, 2, 30.0, 2.0, base64_messages=False)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"extensions": {"queues": {"batchSize": 33}}}',
        '{"functionTimeout": "5 min"}',
        '{"singleton": {"listenerLockRecoveryPollingInterval": "00:00:14"}}',
        '{"singleton": {"listenerLockPeriod": "00:00:05"}}',
    ],
)
def test_host_json_that_is_wrong(tmp_path, text):
    (tmp_path / "host.json").write_text(text)
    with pytest.raises(HostError):
        read_host_options(tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:05:00", 300), ("00:00:02.5", 2.5), ("1.06:00:00", 108_000), ("-1", -1), ("01:30", 5400)],
)
def test_time_spans(text, seconds):
    assert parse_time_span(text) == seconds
