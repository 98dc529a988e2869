"""The OpenAPI description is made once in a process: that takes tens of milliseconds of its one event loop."""

from typing import Any, cast

import pytest

from functions import system
from functions.call import Call


async def test_the_description_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    call = cast("Call", None)  # the handler does not look at its request
    first = await system.openapi(call)

    def never(*_: object) -> Any:
        raise AssertionError("The description is made again.")

    monkeypatch.setattr(system, "describe", never)
    assert (await system.openapi(call)).data is first.data
