"""Taking locks in an order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def in_thread(work: Callable[[], object], name: str = "worker") -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def nest(*claims: Any) -> None:
    """Take these, each while the ones before it are held."""
    if claims:
        with claims[0]:
            nest(*claims[1:])


async def anest(*claims: Any) -> None:
    if claims:
        async with claims[0]:
            await anest(*claims[1:])
