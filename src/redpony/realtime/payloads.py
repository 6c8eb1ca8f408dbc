"""Payloads: a channel's type, as JSON and back.

A dataclass, a TypedDict, a msgspec Struct, a pydantic model, or whatever else JSON and
Django's encoder know: dates, decimals, UUIDs, lazy translations.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass
from typing import Any, get_type_hints, is_typeddict

from redpony.errors import NotSerializable


def to_json(payload: Any, kind: Any, name: str) -> str:
    """Return a payload as JSON; raises `NotSerializable` where it is not of its type."""
    _check(payload, kind, name)
    try:
        return _encode(payload)
    except (TypeError, ValueError) as error:
        raise NotSerializable(
            f"The payload for the channel {name!r} cannot be written as JSON ({error}); "
            "publish what JSON knows, a dataclass, a msgspec Struct or a pydantic model"
        ) from None


def from_json(text: str, kind: Any) -> Any:
    """Return what a text says, as the channel's type."""
    value = json.loads(text)
    if kind is None or is_typeddict(kind) or not isinstance(kind, type):
        return value
    validate = getattr(kind, "model_validate", None)
    if validate is not None:
        return validate(value)
    if hasattr(kind, "__struct_fields__"):
        import msgspec

        return msgspec.convert(value, kind)
    if is_dataclass(kind) and isinstance(value, dict):
        return _dataclass(kind, value)
    return value


def _check(payload: Any, kind: Any, name: str) -> None:
    if kind is None:
        return
    if is_typeddict(kind):
        wanted = kind.__required_keys__
        fits = isinstance(payload, dict) and wanted <= payload.keys() <= set(
            get_type_hints(kind)
        )
    elif isinstance(kind, type):
        fits = isinstance(payload, kind)
    else:
        return
    if not fits:
        raise NotSerializable(
            f"The channel {name!r} carries {kind.__name__}, and this payload is "
            f"{_described(payload)}"
        )


def _described(payload: Any) -> str:
    if isinstance(payload, dict):
        return f"a dict with the keys {sorted(map(str, payload))}"
    return f"of the type {type(payload).__name__}"


def _plain(value: Any) -> Any:
    """Return what JSON knows in place of a value that it does not."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if hasattr(value, "__struct_fields__"):
        import msgspec

        return msgspec.to_builtins(value)
    from django.core.serializers.json import DjangoJSONEncoder

    return DjangoJSONEncoder().default(value)


_encode = json.JSONEncoder(
    default=_plain, ensure_ascii=False, separators=(",", ":")
).encode


def _dataclass(kind: Any, value: dict[str, Any]) -> Any:
    """Return a dataclass, and those within; of fields that it does not know, none."""
    hints = get_type_hints(kind)
    known = {}
    for each in fields(kind):
        if each.name in value and each.init:
            found, hint = value[each.name], hints.get(each.name)
            inner = is_dataclass(hint) and isinstance(found, dict)
            known[each.name] = _dataclass(hint, found) if inner else found
    return kind(**known)
