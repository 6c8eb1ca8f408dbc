"""`python -m benchmarks`: run all rows, print the tables, write JSON.

`--only ours:get` runs one contestant's operation alone for some seconds, for a
profiler. `--check` ends with 1 and names the figures that were missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import platform
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from benchmarks import (
    cluster,
    crowd,
    interleave,
    outage,
    report,
    results,
    roundtrips,
    rows,
    tables,
)
from benchmarks.contestants import cache_settings, line_up
from benchmarks.locks import measuring as locks
from benchmarks.realtime import measuring as realtime
from benchmarks.servers import Measured, crowded, running
from benchmarks.targets import TARGETS, verdicts
from tests.servers import Cluster

SECTIONS = ("cluster", "outage", "connections", *report.APART)
ROOT = Path(__file__).resolve().parent.parent
LATEST = ROOT / "benchmarks" / "results" / "latest.json"


def main() -> int:
    """Run what the command line asks for."""
    asked = _arguments()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(asked.server))
        victim = stack.enter_context(running(asked.server))
        mute_port = stack.enter_context(outage.mute())
        nodes = None
        if _wants(asked, "cluster"):
            nodes = stack.enter_context(Cluster(asked.server))
        _configure(server, victim, mute_port, nodes)
        if asked.only:
            return _alone(asked.only, asked.seconds, server)
        found = _run(asked, server, victim, mute_port, nodes)
    apart = [name for name in report.APART if name in found]
    is_whole = not asked.rows or not report.APART.keys() >= set(asked.rows)
    if is_whole:
        written = found
        print(report.everything(found))
    else:
        # What stands in the docs of the other rows remains as it was.
        written = json.loads(LATEST.read_text()) if LATEST.exists() else {}
        written.update({name: found[name] for name in apart})
    for name in apart:
        print(report.apart(found, name))
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    elif (not asked.rows if is_whole else asked.write_docs) and not asked.quick:
        LATEST.parent.mkdir(parents=True, exist_ok=True)
        LATEST.write_text(json.dumps(written, indent=1) + "\n")
    if asked.write_docs:
        _write_docs(found, apart, is_whole=is_whole)
    if asked.check:
        names = list(report.APART) if is_whole else apart
        targets = [each for name in names for each in report.APART[name][1]]
        judged = verdicts(found, [*(TARGETS if is_whole else ()), *targets])
        missed = [(t, value) for t, value, reached in judged if not reached]
        for each, value in missed:
            print(f"missed: {each}; measured {value}", file=sys.stderr)
        return 1 if missed else 0
    return 0


def _write_docs(found: results.Results, apart: list[str], *, is_whole: bool) -> None:
    page = ROOT / "docs" / "explanation" / "benchmarks.md"
    if is_whole:
        tables.fill(ROOT / "README.md", report.readme(found))
        tables.fill(page, report.everything(found))
    for name in apart:
        tables.fill(page, report.apart(found, name), report.APART[name][0].REGION)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few, short rounds")
    parser.add_argument("--server", choices=["valkey", "redis"], default="valkey")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--write-docs", "--write-readme", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--rows", action="append", choices=[*rows.BY_NAME, *SECTIONS])
    parser.add_argument("--only", metavar="CONTESTANT:ROW")
    parser.add_argument("--seconds", type=float, default=5.0, help="with --only")
    parser.add_argument(
        "--overtime",
        type=float,
        default=locks.OVERTIME,
        metavar="SECONDS",
        help="how long a lock is watched that does not give up in time",
    )
    return parser.parse_args()


def _wants(asked: argparse.Namespace, section: str) -> bool:
    return not asked.only and section in (asked.rows or SECTIONS)


def _configure(
    server: Measured, victim: Measured, mute_port: int, nodes: Cluster | None
) -> None:
    ports = {
        "": server.port,
        crowd.SCENE: server.port,
        outage.SCENES["fell silent"]: victim.port,
        outage.SCENES["never spoke"]: mute_port,
    }
    found: dict[str, Any] = cache_settings(ports)
    if nodes is not None:
        found[cluster.SCENE] = {**found["ours"], "LOCATION": nodes.url()}
    settings.configure(
        CACHES={"default": found["ours"], **found},
        SECRET_KEY="of the benchmarks, and of nothing else",
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    django.setup()


def _run(
    asked: argparse.Namespace,
    server: Measured,
    victim: Measured,
    mute_port: int,
    nodes: Cluster | None,
) -> results.Results:
    present, absent = line_up(server.port)
    wanted = asked.rows or [*rows.BY_NAME, *SECTIONS]
    effort = interleave.QUICK if asked.quick else interleave.FULL
    gc.collect()
    gc.freeze()
    found: results.Results = {
        "meta": {
            "date": datetime.now(UTC).date().isoformat(),
            "cpu_count": os.cpu_count(),
            "python": platform.python_version(),
            "server": server.version,
            "versions": {each.name: each.version for each in present},
            "quick": asked.quick,
        },
        "absent": absent,
        "rows": {},
    }
    with asyncio.Runner() as runner:
        for row in rows.ROWS:
            if row.name not in wanted:
                continue
            print(f"{row.name} ...", file=sys.stderr)
            taken = interleave.measure(row, present, effort, runner)
            summary = found["rows"][row.name] = results.summarise(taken)
            for contestant in present:
                if "wall_us" in summary[contestant.name]:
                    trips = roundtrips.count(row, contestant, server)
                    if trips is not None:
                        summary[contestant.name]["round_trips"] = trips
    if nodes is not None:
        print("cluster ...", file=sys.stderr)
        found["cluster"] = cluster.measure(server, nodes, effort)
    if "connections" in wanted:
        print("connections ...", file=sys.stderr)
        found["connections"] = crowd.measure(server)
    if "locks" in wanted:
        with running(asked.server) as own:
            found["locks"] = locks.measure(own, asked.overtime, quick=asked.quick)
    if "realtime" in wanted:
        with crowded(asked.server) as own:
            found["realtime"] = realtime.measure(own, quick=asked.quick)
    if "outage" in wanted:
        print("outage ...", file=sys.stderr)
        patience = outage.PATIENCE_QUICK if asked.quick else outage.PATIENCE
        found["outage"] = outage.measure(victim, mute_port, patience)
    return found


def _alone(what: str, seconds: float, server: Measured) -> int:
    """Run one operation in slices until the time is up."""
    name, _, row_name = what.partition(":")
    present, absent = line_up(server.port)
    contestant = {each.name: each for each in present}.get(name)
    if contestant is None or row_name not in rows.BY_NAME:
        reason = absent.get(name, "no such contestant or row")
        print(f"--only {what}: {reason}", file=sys.stderr)
        return 2
    row = rows.BY_NAME[row_name]
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        run = interleave.prepare(row, contestant, runner, stack)
        end = time.monotonic() + seconds
        taken = []
        while time.monotonic() < end:
            taken.append(run(row.concurrency * 500))
    samples = interleave.Samples(list(taken))
    wall, cpu = sorted(samples.walls()), sorted(samples.cpus())
    middle = len(taken) // 2
    print(f"{what}: {wall[middle]:.2f} us, CPU {cpu[middle]:.2f} us")
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    if threading.active_count() > 1:
        # Peers are still held by the silent server; nothing here waits for them.
        os._exit(status)
    sys.exit(status)
