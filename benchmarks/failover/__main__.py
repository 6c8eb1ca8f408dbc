"""`python -m benchmarks.failover`: measure, print the tables, write JSON.

`--quick` replaces one primary in each way, which shows that everything works.
`--check` ends with 1 and names the figures that were missed.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.failover import losses, outages, report, resharding
from redpony.testing import chaos
from tests.servers import Server

ROOT = Path(__file__).resolve().parents[2]
LATEST = ROOT / "benchmarks" / "results" / "failover.json"

PARTS = ("outages", "resharding", "losses")


def main() -> int:
    """Measure what the command line asks for."""
    asked = _arguments()
    found: report.Results = {}
    if (asked.parts or asked.write_docs) and LATEST.exists():
        found = json.loads(LATEST.read_text())
    if not asked.write_docs:
        found.update(measure(asked.parts or PARTS, quick=asked.quick))
    print(report.everything(found))
    target = asked.json or (None if asked.quick or asked.write_docs else LATEST)
    if target is not None:
        target.write_text(json.dumps(found, indent=1) + "\n")
        if target == LATEST:
            report.fill_pages(ROOT, found)
    if asked.write_docs:
        report.fill_pages(ROOT, found)
    missed = [each for each in report.targets(found) if not each.reached]
    for each in missed if asked.check else ():
        print(f"missed: {each.what}; measured {each.measured:g}", file=sys.stderr)
    return 1 if missed and asked.check else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.failover", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="one round of each")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, help="the others stay as they were"
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="of the last run, without measuring"
    )
    return parser.parse_args()


def measure(parts: Any, *, quick: bool = False) -> report.Results:
    """Return the results of some parts; a minute if it has to be quick, else 15."""
    kills, failovers, slots = (1, 1, 50) if quick else (20, 10, 1000)
    # A machine that is busy with a whole suite is not what is measured.
    deadline = 2.0 if quick else resharding.DEADLINE
    found: report.Results = {"meta": _meta(quick=quick)}
    if "outages" in parts:
        found["outages"] = {
            topology: _told(outages.measure, topology, "valkey", kills)
            for topology in outages.GROUPS
        }
    if "resharding" in parts:
        found["resharding"] = {
            flavour: _told(resharding.measure, flavour, slots, deadline)
            for flavour in ("valkey", "redis")
        }
    if "losses" in parts:
        found["losses"] = {
            topology: {
                how: _told(losses.measure, topology, "valkey", how, failovers)
                for how in losses.HOW
            }
            for topology in outages.GROUPS
        }
    return found


def _told(measured: Any, *arguments: Any) -> Any:
    what = measured.__module__.rpartition(".")[2]
    print(what, *arguments, "...", file=sys.stderr)
    return measured(*arguments)


def _meta(*, quick: bool) -> dict[str, Any]:
    with Server("valkey") as valkey, Server("redis") as redis:
        servers = (
            f"Valkey {valkey.info('server')['valkey_version']}, "
            f"Redis {redis.info('server')['redis_version']}"
        )
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "servers": servers,
        "redis-py": metadata.version("redis"),
        "down_after_ms": _default(chaos.Sentinel, "down_after_ms"),
        "node_timeout_ms": _default(chaos.Cluster, "node_timeout_ms"),
        "quick": quick,
    }


def _default(made: type[Any], option: str) -> Any:
    return inspect.signature(made).parameters[option].default


if __name__ == "__main__":
    sys.exit(main())
