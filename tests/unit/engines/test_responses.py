"""How long a service asks to wait, in each form that it may say so."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from shared.engines.azure_language import service
from shared.engines.responses import retry_after


def _in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.3"}, 0.3),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "86400"}, 86_400),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_how_long_the_service_asks_to_wait(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(httpx.Headers(headers)) == seconds


def test_a_date_to_wait_for_is_seconds_from_now() -> None:
    found = retry_after(httpx.Headers({"retry-after": _in_an_hour()}))
    assert found is not None
    assert 3_000 <= found <= 3_600


@pytest.mark.parametrize("value", ["", "soon", "nan", "-1", "Wed, 21 Oct 2015 07:28:00", "Wed, 99 Oct 2015"])
def test_a_wait_that_cannot_be_read_is_ignored(value: str) -> None:
    assert retry_after(httpx.Headers({"retry-after": value})) is None


@pytest.mark.parametrize("value", ["9" * 5_000, "inf", "301", "Thu, 31 Dec 2099 23:59:59 GMT"])
def test_azure_language_is_given_so_many_whole_seconds_at_most(value: str) -> None:
    assert service.retry_after(httpx.Headers({"retry-after": value})) == service.MAX_RETRY_AFTER
    assert service.retry_after(httpx.Headers({"retry-after": "0.3"})) == 1
