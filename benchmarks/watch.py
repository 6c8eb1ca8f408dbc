"""Count a server's clients from outside, and print the largest number seen.

`python -m benchmarks.watch PORT DATABASE` says `ready`, polls the clients that
selected the database until its input closes, and prints the number. It is a
process of its own: in the process that is watched it would wait for the
interpreter behind 300 threads.
"""

from __future__ import annotations

import select
import sys

import redis

from benchmarks.servers import HOST


def main(port: int, database: str) -> None:
    """Poll until standard input is closed."""
    client = redis.Redis(host=HOST, port=port)
    peak = 0
    print("ready", flush=True)
    while True:
        # The end is seen before the last look, so that nothing is missed.
        closed = bool(select.select([sys.stdin], [], [], 0.0005)[0])
        clients = client.client_list()
        peak = max(peak, sum(each["db"] == database for each in clients))
        if closed:
            break
    print(peak)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
