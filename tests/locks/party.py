"""A process that waits for others, and writes down what comes of it.

`python -m tests.locks.party CONFIGURATION NAME FILE KIND PARTIES TIMEOUT [ROUNDS]`.
"""

from __future__ import annotations

import os
import sys

from tests.locks.children import configure


def main() -> None:
    configuration, name, path, kind, parties, timeout, *rest = sys.argv[1:]
    configure(configuration)
    from redpony.locks import Barrier, BrokenBarrier, Latch

    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(*words: object) -> None:
        os.write(file, f"{' '.join(map(str, (name, *words)))}\n".encode())

    if kind == "latch":
        latch = Latch("job", int(parties))
        write("came")
        latch.count_down()
        write(latch.wait(float(timeout)))
        return
    barrier = Barrier("job", int(parties))
    for _ in range(int(rest[0]) if rest else 1):
        write("came")
        try:
            write(barrier.wait(float(timeout)))
        except BrokenBarrier:
            write("broken")


if __name__ == "__main__":
    main()
