"""What any release has written, this one reads."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.codec import write_golden as golden

FILES = sorted(golden.HERE.glob("[0-9]*/*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_old_bytes_decode_for_ever(path: Path) -> None:
    cases = json.loads(path.read_text())
    assert cases
    for case in cases:
        value = golden.decode(case)
        assert value == golden.VALUES[case["value"]], case
        assert type(value) is type(golden.VALUES[case["value"]]), case


def test_the_files_of_this_release_hold_every_case() -> None:
    for name, case in golden.cases():
        known = map(golden.identity, golden.read(golden.RELEASE / f"{name}.json"))
        assert golden.identity(case) in known, "run python -m tests.codec.write_golden"


def reproducible(case: dict[str, Any]) -> bool:
    """Whether the bytes depend on us alone, not on a library's version."""
    config = case.get("config", {})
    return "compressor" not in config and config.get("serializer") in (None, "json")


def test_this_release_still_writes_the_same_bytes() -> None:
    for name in ("values", "fields", "members"):
        cases = golden.read(golden.RELEASE / f"{name}.json")
        for case in filter(reproducible, cases):
            # How pickle orders a set is its own affair.
            if name == "members" or "set" not in case["value"]:
                assert golden.encode(case) == base64.b64decode(case["data"]), case
