"""One alias's settings to one `AliasConfig`: what the options mean together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder

from redpony.codec import Codec, CodecConfig
from redpony.conf import location as places
from redpony.conf import topologies
from redpony.conf.model import AliasConfig, Examination
from redpony.conf.reading import Rank, Reading
from redpony.conf.table import rows
from redpony.conf.topologies import Linked
from redpony.errors import InvalidSetting

_HERD: Final = ("HerdClient", "AsyncHerdClient")


def examine(alias: str | None, location: Any, params: Mapping[str, Any]) -> Examination:
    """Look through the settings of one alias to the end, collecting all faults.

    Costs no round trip. `alias` is None for a backend that no alias of `CACHES`
    describes.
    """
    base = f'CACHES["{alias}"]' if alias else "RedisCache"
    reading = Reading(base)
    options = params.get("OPTIONS") or {}
    _read_project(reading)
    _read_alias(reading, params, options)
    found: Linked | None = None
    try:
        found = topologies.linked(reading, places.urls(location))
    except InvalidSetting as error:
        reading.fault("location", '["LOCATION"]', str(error))
    codec = _codec(reading, options)
    config = None
    if found and codec and not reading.problems:
        link, topology = found
        config = AliasConfig(
            alias=alias or "",
            link=link,
            topology=topology,
            codec=codec,
            notes=tuple(reading.notes),
            **reading.part("alias"),
        )
    return Examination(
        alias=alias or "",
        config=config,
        problems=tuple(reading.problems),
        treatments=tuple(reading.treatments),
        chosen={
            name: each.value
            for name, each in reading.chosen.items()
            if each.rank < Rank.URL
        },
    )


def _read_project(reading: Reading) -> None:
    for name, option in rows("settings").items():
        if hasattr(settings, name):
            reading.take(option, getattr(settings, name), name, Rank.SETTINGS)


def _read_alias(reading: Reading, params: Mapping[str, Any], options: Any) -> None:
    for name, value in params.items():
        if name == "OPTIONS":
            continue
        option = rows("alias").get(name)
        if option:
            reading.take(option, value, f'["{name}"]', Rank.OWN)
        else:
            alone = {name: value}
            reading.take_all(alone, "", Rank.OWN, rows("alias"), among="An alias")
    if not isinstance(options, Mapping):
        reading.fault(
            "value",
            '["OPTIONS"]',
            f"takes a dict. It is of the type {type(options).__name__}.",
        )
        return
    known = rows("options", "redis-py")
    reading.take_all(options, '["OPTIONS"]', Rank.FOREIGN, known)


def _codec(reading: Reading, options: Any) -> CodecConfig | None:
    fields = reading.part("codec")
    accepted = {
        *fields.get("read_formats", ("sealed",)),
        fields.get("format", "sealed"),
    }
    _check_herd(reading, options, accepted)
    if "sealed" in accepted and "seal_keys" not in fields:
        fields["seal_keys"] = _project_keys(reading)
    fields.setdefault("scope", reading.part("alias").get("key_prefix", ""))
    fields["json_encoder"] = DjangoJSONEncoder
    if any("." in fields.get(name, "") for name in ("serializer", "compressor")):
        fields["options"] = options
    if reading.problems:
        return None
    config = CodecConfig(**fields)
    try:
        Codec(config)
    except InvalidSetting as error:
        reading.fault("value", '["OPTIONS"]', str(error))
        return None
    return config


def uses_herd(options: Any) -> bool:
    """Whether values were written by HerdClient, which wraps them."""
    client = options.get("CLIENT_CLASS") if isinstance(options, Mapping) else None
    return getattr(client, "__name__", str(client)).rpartition(".")[2] in _HERD


def _check_herd(reading: Reading, options: Any, accepted: set[str]) -> None:
    if uses_herd(options) and "django_redis" in accepted:
        reading.fault(
            "refused",
            '["OPTIONS"]["CLIENT_CLASS"]',
            "wraps every value in a marker of its own, so they cannot be shared with "
            'Redpony: leave "django_redis" out of FORMAT and READ_FORMATS, and take '
            "another KEY_PREFIX.",
        )


def _project_keys(reading: Reading) -> tuple[bytes, ...]:
    try:
        keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    except ImproperlyConfigured:
        keys = []
    found = tuple(
        each.encode() if isinstance(each, str) else each for each in keys if each
    )
    if not found:
        reading.fault(
            "value",
            "SECRET_KEY",
            'is empty, and values are sealed with it; set it, or OPTIONS["SEAL_KEYS"].',
        )
    return found
