"""One alias's settings to one `AliasConfig`: what the options mean together."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder

from redpony.codec import Codec, CodecConfig
from redpony.conf import location as places
from redpony.conf.model import AliasConfig, Examination
from redpony.conf.reading import Rank, Reading
from redpony.conf.table import rows
from redpony.errors import InvalidSetting
from redpony.wire.config import Address, LinkConfig, Tcp, Tls, Unix
from redpony.wire.url import EmbeddedUrl, ServerUrl

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
    common = reading.copy()
    try:
        urls = places.servers(location)
    except InvalidSetting as error:
        reading.fault("location", '["LOCATION"]', str(error))
        urls = []
    links: list[LinkConfig] = []
    for index, url in enumerate(urls):
        one = reading if index == 0 else common.copy()
        before = len(one.problems)
        link = _link(one, url)
        if index and len(one.problems) > before:
            reading.problems.extend(one.problems[before:])
        if link:
            links.append(link)
    if len(links) > 1:
        reading.without_effect(
            '["LOCATION"]',
            "reads and writes go to the first server; reading from replicas comes "
            "with a later release",
        )
    codec = _codec(reading, options)
    config = None
    if links and codec and not reading.problems:
        config = AliasConfig(
            alias=alias or "",
            link=links[0],
            replicas=tuple(links[1:]),
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
    known = {name: value for name, value in params.items() if name != "OPTIONS"}
    for name, value in known.items():
        option = rows("alias").get(name)
        if option:
            reading.take(option, value, f'["{name}"]', Rank.OWN)
        else:
            reading.take_all({name: value}, "", Rank.OWN, "alias", among="An alias")
    if not isinstance(options, Mapping):
        reading.fault(
            "value",
            '["OPTIONS"]',
            f"takes a dict. It is of the type {type(options).__name__}.",
        )
        return
    reading.take_all(options, '["OPTIONS"]', Rank.FOREIGN, "options", "redis-py")


def _link(reading: Reading, url: ServerUrl | EmbeddedUrl) -> LinkConfig | None:
    if isinstance(url, EmbeddedUrl):
        return _embedded(reading, url)
    for name, value in (
        ("db", url.db),
        ("username", url.username),
        ("password", None if url.password is None else url.password.reveal()),
        *url.options,
    ):
        if value is not None and (name, value) != ("password", ""):
            option = rows("redis-py")[name]
            reading.take(option, value, f'["LOCATION"]: {name}', Rank.URL)
    fields = reading.part("link")
    if url.password is not None and not url.password.reveal():
        fields.setdefault("password", url.password)
    _check_credentials(reading, fields)
    tls = _tls(reading, url)
    if reading.problems:
        return None
    return LinkConfig(address=url.address, tls=tls, hint=_hint(url.address), **fields)


def is_local(address: Address) -> bool:
    """Whether the server is on this machine, so that no network lies between."""
    if not isinstance(address, Tcp):
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return address.host.casefold() == "localhost"


def _hint(address: Tcp | Unix) -> str:
    if settings.DEBUG and isinstance(address, Tcp) and is_local(address):
        return ' With LOCATION "embedded://" none needs to be installed.'
    return ""


def _check_credentials(reading: Reading, fields: Mapping[str, Any]) -> None:
    provider = fields.get("credential_provider")
    if provider and (fields.get("username") or fields.get("password")):
        reading.fault(
            "value",
            reading.chosen["link.credential_provider"].label,
            "stands beside a user name or password; leave one of them.",
        )
    if fields.get("username") and "password" not in fields and not provider:
        reading.fault(
            "value",
            reading.chosen["link.username"].label,
            "names a user without a password. For a password alone write "
            'redis://:PASSWORD@HOST or OPTIONS["PASSWORD"]; for a user without one '
            "write redis://USER:@HOST.",
        )


def _tls(reading: Reading, url: ServerUrl) -> Tls | None:
    fields = reading.part("tls")
    if url.tls:
        if not fields.get("verify", True):
            fields["check_hostname"] = False
        if "key_file" in fields and "cert_file" not in fields:
            reading.fault(
                "value",
                reading.chosen["tls.key_file"].label,
                "names a key without a certificate; name that too (CERT_FILE).",
            )
        return Tls(**fields)
    for name, each in reading.chosen.items():
        if name.startswith("tls."):
            reading.fault(
                "value",
                each.label,
                "belongs to TLS, and LOCATION asks for a plain connection; write "
                "rediss:// there, or remove this.",
            )
    return None


def _embedded(reading: Reading, url: EmbeddedUrl) -> LinkConfig | None:
    # Loaded only by projects that use it.
    from redpony.embedded import Embedded

    if not (url.production or settings.DEBUG or _under_test()):
        reading.fault(
            "embedded",
            '["LOCATION"]',
            "embedded:// is meant for development, and DEBUG is False. Write "
            "redis://HOST:6379/1; or embedded://?production=1 if one machine and a "
            "cache that ends with its last process are enough.",
        )
        return None
    fields = reading.part("link")
    for name in ("username", "password", "credential_provider"):
        if fields.pop(name, None) is not None:
            reading.without_effect(
                reading.chosen[f"link.{name}"].label,
                "the embedded server is reached by a private socket, without password",
            )
    for name, each in reading.chosen.items():
        if name.startswith("tls."):
            reading.without_effect(
                each.label, "the embedded server is reached by a private socket"
            )
    if url.db is not None:
        fields["db"] = url.db
    if reading.problems:
        return None
    directory = url.directory or project_directory()
    address: Address = Embedded(directory=directory, persist=url.persist)
    return LinkConfig(address=address, **fields)


def project_directory() -> str:
    """Return the directory of the project: `BASE_DIR`, or where its settings lie."""
    base = getattr(settings, "BASE_DIR", None)
    if base:
        return str(Path(base).resolve())
    module = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    spec = find_spec(module.partition(".")[0]) if module else None
    if spec and spec.origin:
        package = Path(spec.origin).resolve().parent
        return str(package.parent if "." in module else package)
    return str(Path.cwd())


def _under_test() -> bool:
    # Django's and pytest's runners set DEBUG to False, whatever the project says.
    testing = sys.modules.get("django.test.utils")
    return hasattr(getattr(testing, "_TestState", None), "saved_data")


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
