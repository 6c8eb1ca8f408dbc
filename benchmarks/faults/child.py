"""One contestant under one fault: `python -m benchmarks.faults.child NAME FAULT`.

Prints the figures as JSON. A process of its own, because a contestant may hold its
threads for longer than anybody waits, and because Django is set up once.
"""

from __future__ import annotations

import json
import os
import sys

from benchmarks.faults import interrupts, page
from benchmarks.faults.scenes import LONG, SCENES, Ground
from tests.servers import Server

PAGES = {"page-killed": "killed", "page-frozen": "frozen"}
SECONDS = {False: 3.0, True: 0.5}
LONGEST = {False: LONG, True: 1.0}
OUTAGE = {False: 10.0, True: 1.0}
INTERRUPTS = {False: 20_000, True: 300}


def main(name: str, fault: str, flavour: str, quick: bool) -> None:
    """Measure and print."""
    with Server(flavour, settings=("maxclients 2000", "tcp-backlog 1024")) as server:
        seconds = OUTAGE[quick] if fault in PAGES else SECONDS[quick]
        ground = Ground(name, server, seconds, LONGEST[quick])
        if fault in PAGES:
            found = page.outage(ground, PAGES[fault])
        elif fault == "interrupted":
            found = interrupts.interrupted(ground, INTERRUPTS[quick])
        else:
            found = SCENES[fault][1](ground)
        print(json.dumps(found), flush=True)
        server.resume()
    # Threads may still be held; nothing waits for them.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:4], quick="--quick" in sys.argv)
