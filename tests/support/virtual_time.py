"""Time that passes only when everything waits: an event loop for tests of back-off and rates, without a sleep.

with asyncio.Runner(loop_factory=VirtualLoop) as runner:
    runner.run(scenario())
"""

import asyncio
import selectors
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, override

_START = datetime(2030, 1, 1, tzinfo=UTC)


class _Selector(selectors.SelectSelector):
    now = 0.0

    @override
    def select(self, timeout: float | None = None) -> Any:
        """What is ready; if that is nothing, the time of the next timer has come."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("Everything waits, and nothing is due.")
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` begins with 0 and jumps to the next timer. Work for threads is done at once, and takes no time."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    @override
    def time(self) -> float:
        return self._clock.now

    @override
    def run_in_executor[*Ts, T](  # pyright: ignore[reportIncompatibleMethodOverride]
        self, executor: Any, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits it raises it
            future.set_exception(error)
        return future


def virtual_now() -> datetime:
    """The time of the running loop as a date, for stores that take a clock."""
    return _START + timedelta(seconds=asyncio.get_running_loop().time())
