"""A process that calls what is to be done once, and writes down what happens.

`python -m tests.locks.caller CONFIGURATION NAME FILE SECONDS COLOUR MODE`. The lines of
the file: `begin NAME`, `end NAME`, each by who does it, and `result NAME RESULT` by all.
It takes so many seconds to do it. MODE is "least" or "most": how often it is done.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from tests.locks.children import configure

LEASE = 1.0


def main() -> None:
    configuration, name, path, seconds, colour, mode = sys.argv[1:]
    configure(configuration)
    from redpony.errors import LockLost
    from redpony.locks import once

    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(*words: object) -> None:
        os.write(file, f"{' '.join(map(str, words))}\n".encode())

    remembered = once("work", ttl=60, lease=LEASE, at_most_once=mode == "most")

    @remembered
    def work() -> str:
        write("begin", name)
        time.sleep(float(seconds))
        write("end", name)
        return name

    @remembered
    async def awork() -> str:
        write("begin", name)
        await asyncio.sleep(float(seconds))
        write("end", name)
        return name

    result: str | None
    try:
        result = work() if colour == "sync" else asyncio.run(awork())
    except LockLost:
        result = "lost"
    write("result", name, result)


if __name__ == "__main__":
    main()
