"""What this release writes, kept for ever: run as `python -m tests.codec.write_golden`.

Files of released versions are never changed: whoever upgrades has such bytes on
the server. The script adds what is missing for the version at hand and leaves
what is there. Values may be added to `VALUES`, never changed.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import redpony
from tests.codec.making import LIBRARY_COMPRESSORS, LIBRARY_SERIALIZERS, codec

HERE = Path(__file__).parent / "golden"
RELEASE = HERE / ".".join(redpony.__version__.split(".")[:2])

VALUES: dict[str, Any] = {
    "integer": 42,
    "negative integer": -(2**63),
    "huge integer": 2**64,
    "text": "caf\u00e9",
    "long text": "departures by country " * 50,
    "float": -0.25,
    "true": True,
    "none": None,
    "dict": {"id": 1, "name": "alice", "tags": ["a", "b"], "ok": True},
    "bytes": b"\x00\xff\xc1",
    "decimal": Decimal("1.50"),
    "uuid": UUID(int=5),
    "date": datetime.date(2026, 3, 1),
    "time": datetime.time(12, 30),
    "datetime": datetime.datetime(2026, 3, 1, 12, 0, 0, 5),
    "aware datetime": datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC),
    "timedelta": datetime.timedelta(days=-1, microseconds=5),
    "tuple": (1, "a", None),
    "list": [1, [2, "b"]],
    "set": {"b", "a", 1},
    "frozenset": frozenset({1.5, False}),
    "nested dict": {"b": {"c": (1, 2)}, "a": b"x"},
}
EVERYWHERE = ("integer", "text", "long text", "float", "true", "none", "dict")
CONFIGURATIONS: list[dict[str, Any]] = [
    *({"serializer": name} for name in LIBRARY_SERIALIZERS),
    *({"compressor": name} for name in LIBRARY_COMPRESSORS),
    {"serializer": "json", "compressor": "zstd"},
    {"algorithm": "hmac-sha256"},
    {"scope": "shop"},
]
KEYS = {"short": "user:1", "long": "k" * 300, "unicode": "caf\u00e9"}


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each file's name and its cases, without their bytes."""
    for config in CONFIGURATIONS:
        plain = config.get("serializer", "pickle") != "pickle"
        for name in EVERYWHERE if plain else VALUES:
            yield "values", {"config": config, "key": KEYS["short"], "value": name}
    for key in KEYS.values():
        yield "values", {"config": {}, "key": key, "value": "dict"}
        for name in EVERYWHERE:
            case = {"config": {}, "key": key, "field": "f\u00fcr", "value": name}
            yield "fields", case
    for name in VALUES:
        yield "members", {"value": name}


def identity(case: dict[str, Any]) -> str:
    """Return what tells a case from others: all but its bytes."""
    known = {key: value for key, value in case.items() if key != "data"}
    return json.dumps(known, sort_keys=True)


def encode(case: dict[str, Any]) -> bytes:
    """Return what the code at hand writes for a case."""
    value = VALUES[case["value"]]
    ours = codec(**case.get("config", {}))
    if "field" in case:
        return ours.encode_field(case["key"], case["field"], value)
    if "key" in case:
        return ours.encode(case["key"], value)
    return ours.encode_member(value)


def decode(case: dict[str, Any]) -> Any:
    """Return what the code at hand reads from a case's bytes."""
    data = base64.b64decode(case["data"])
    ours = codec(scope=case.get("config", {}).get("scope", ""))
    if "field" in case:
        return ours.decode_field(case["key"], case["field"], data)
    if "key" in case:
        return ours.decode(case["key"], data)
    return ours.decode_member(data)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the cases of a file, none if there is no file."""
    return json.loads(path.read_text()) if path.exists() else []


def main() -> None:
    RELEASE.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[dict[str, Any]]] = {}
    for name, case in cases():
        known = files.setdefault(name, read(RELEASE / f"{name}.json"))
        if identity(case) not in map(identity, known):
            data = base64.b64encode(encode(case)).decode()
            known.append({**case, "data": data})
    for name, known in files.items():
        lines = ",\n".join(json.dumps(case, sort_keys=True) for case in known)
        (RELEASE / f"{name}.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
