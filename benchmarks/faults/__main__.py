"""`python -m benchmarks.faults`: the fault suite, then the peers, then the tables.

Writes `build/faults.json` and `build/faults.md`. A part that is not run is kept
from the last run. `--write-docs` also writes the committed figures and the page of
the docs. Ends with 1 where a test failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.faults import report
from benchmarks.faults.child import PAGES
from benchmarks.faults.contestants import CONTESTANTS
from benchmarks.faults.scenes import SCENES
from tests.servers import Server

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LATEST = ROOT / "benchmarks" / "results" / "faults.json"
PAGE = ROOT / "docs" / "explanation" / "scoreboard.md"

FAULTS = (*SCENES, "interrupted", *PAGES)
PATIENCE = 180.0


def main() -> int:
    """Run what the command line asks for."""
    asked = _arguments()
    target: Path = asked.json
    found: report.Results = json.loads(target.read_text()) if target.exists() else {}
    failed = False
    if asked.board is not None:
        found["suite"] = {**json.loads(asked.board.read_text()), "meta": meta({})}
    elif "suite" in asked.parts:
        found["suite"], failed = suite(asked)
    if "peers" in asked.parts:
        found["peers"] = peers(asked)
    soaked = BUILD / "soak.json"
    if soaked.exists():
        found["soak"] = json.loads(soaked.read_text())
    text = report.everything(found)
    print(text)
    written = [target]
    if asked.write_docs:
        written.append(LATEST)
        report.fill(PAGE, text)
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")
    target.with_suffix(".md").write_text(f"# Faults\n\n{text}\n")
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.faults", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=["suite", "peers", []])
    parser.add_argument("--quick", action="store_true", help="short faults")
    parser.add_argument("--server", choices=["valkey", "redis"], default="valkey")
    parser.add_argument("--fault", action="append", choices=FAULTS)
    parser.add_argument("--contestant", action="append", choices=list(CONTESTANTS))
    parser.add_argument("--json", type=Path, default=BUILD / "faults.json")
    parser.add_argument("--write-docs", action="store_true")
    parser.add_argument(
        "--board",
        type=Path,
        help="take the suite's from what `pytest --scoreboard` has just written (JSON)",
    )
    parser.add_argument("-k", metavar="TESTS", help="of the suite, only these")
    asked = parser.parse_args()
    asked.parts = asked.parts or ["suite", "peers"]
    if asked.write_docs and (asked.quick or asked.fault or asked.contestant or asked.k):
        parser.error("--write-docs wants whole figures: every fault, at full length")
    return asked


# -- the suite ------------------------------------------------------------------


def suite(asked: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Run tests/faults, and return its board and whether something failed."""
    board = BUILD / "suite.md"
    command = [sys.executable, "-m", "pytest", "tests/faults", "--scoreboard", board]
    # Most of them wait most of the time. (One seed: both workers have to give tests
    # the same names.)
    command += ["-n", "2", "--dist", "loadfile"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    if asked.k:
        command += ["-k", asked.k]
    board.with_suffix(".json").unlink(missing_ok=True)
    ran = subprocess.run(command, cwd=ROOT, check=False, env=environment)
    path = board.with_suffix(".json")
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    found["meta"] = meta({})
    return found, ran.returncode != 0


# -- the peers ------------------------------------------------------------------


def peers(asked: argparse.Namespace) -> dict[str, Any]:
    """Hurt every contestant in every way, each in a process of its own."""
    faults: dict[str, dict[str, Any]] = {}
    for fault in asked.fault or FAULTS:
        row = faults[fault] = {}
        for name in asked.contestant or CONTESTANTS:
            print(f"{fault}: {name} ...", file=sys.stderr)
            row[name] = one(name, fault, asked)
    versions = {
        each.title: each.version for each in CONTESTANTS.values() if not each.options
    }
    return {"meta": {**meta(versions), "quick": asked.quick}, "faults": faults}


def one(name: str, fault: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one contestant under one fault."""
    module = "benchmarks.faults.child"
    command = [sys.executable, "-m", module, name, fault, asked.server]
    if asked.quick:
        command.append("--quick")
    try:
        ran = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"crashed": f"no end within {PATIENCE:g} s"}
    if ran.returncode or not ran.stdout.strip():
        print(ran.stderr[-2000:], file=sys.stderr)
        return {"crashed": report.crash(ran.returncode)}
    found: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return found


def meta(versions: dict[str, str]) -> dict[str, Any]:
    """Return when and on what this is measured."""
    servers = {}
    for flavour in ("valkey", "redis"):
        with Server(flavour) as server:
            info = server.info("server")
        name = "Valkey" if "valkey_version" in info else "Redis"
        servers[name] = info.get("valkey_version") or info["redis_version"]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {**servers, **versions},
    }


if __name__ == "__main__":
    sys.exit(main())
