"""What one connection needs: from a URL and the options that count for it."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings

from redpony.conf.reading import Rank, Reading
from redpony.conf.table import rows
from redpony.wire.config import Address, LinkConfig, Tcp, Tls, Unix
from redpony.wire.topology_url import ClusterUrl, SentinelUrl
from redpony.wire.url import EmbeddedUrl, ServerUrl

_PRIVATE = "the embedded server is reached by a private socket"


def link(
    reading: Reading, url: ServerUrl | SentinelUrl | ClusterUrl, address: Address
) -> LinkConfig | None:
    """Return what connections to the servers of a URL need; None if there is a fault."""
    take(reading, url)
    fields = reading.part("link")
    if url.password is not None and not url.password.reveal():
        fields.setdefault("password", url.password)
    check_credentials(
        reading,
        "link",
        fields,
        "For a password alone write redis://:PASSWORD@HOST or "
        'OPTIONS["PASSWORD"]; for a user without one write redis://USER:@HOST.',
    )
    tls = made_tls(
        reading,
        "tls",
        wanted=url.tls,
        remedy="belongs to TLS, and LOCATION asks for a plain connection; write "
        "rediss:// there, or remove this.",
    )
    if reading.problems:
        return None
    return LinkConfig(address=address, tls=tls, **fields)


def take(reading: Reading, url: ServerUrl | SentinelUrl | ClusterUrl) -> None:
    """Read what a URL says besides where the servers are."""
    known = rows("redis-py")
    for name, value in (
        ("db", None if isinstance(url, ClusterUrl) else url.db),
        ("username", url.username),
        ("password", None if url.password is None else url.password.reveal()),
        *url.options,
    ):
        # Who is the primary is the topology's to say.
        if value is None or name == "is_master" or (name, value) == ("password", ""):
            continue
        reading.take(known[name], value, f'["LOCATION"]: {name}', Rank.URL)
    if isinstance(url, ServerUrl):
        return
    for name, value in url.ours:
        label = f'["LOCATION"]: {name.lower()}'
        reading.take(rows("options")[name], value, label, Rank.URL)


def check_credentials(
    reading: Reading, part: str, fields: Mapping[str, Any], remedy: str
) -> None:
    """Refuse a user without a password, and two kinds of credentials."""
    provider = fields.get("credential_provider")
    if provider and (fields.get("username") or fields.get("password")):
        reading.fault(
            "value",
            reading.chosen[f"{part}.credential_provider"].label,
            "stands beside a user name or password; leave one of them.",
        )
    if fields.get("username") and "password" not in fields and not provider:
        reading.fault(
            "value",
            reading.chosen[f"{part}.username"].label,
            f"names a user without a password. {remedy}",
        )


def made_tls(reading: Reading, part: str, *, wanted: bool, remedy: str) -> Tls | None:
    """Return how TLS is spoken; None for plain text.

    Where it is not wanted, options for it are faults with this remedy.
    """
    fields, labels = reading.part(part), reading.labels(part)
    if not wanted:
        for label in labels.values():
            reading.fault("value", label, remedy)
        return None
    if not fields.get("verify", True):
        fields["check_hostname"] = False
    if "key_file" in fields and "cert_file" not in fields:
        reading.fault(
            "value",
            labels["key_file"],
            "names a key without a certificate; name that too (CERT_FILE).",
        )
    return Tls(**fields)


def is_local(address: Address) -> bool:
    """Whether the server is on this machine, so that no network lies between."""
    if not isinstance(address, Tcp):
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return address.host.casefold() == "localhost"


def hint(address: Tcp | Unix) -> str:
    """Return what to say under `DEBUG` where a local server is missing."""
    if settings.DEBUG and isinstance(address, Tcp) and is_local(address):
        return ' With LOCATION "embedded://" none needs to be installed.'
    return ""


def embedded(reading: Reading, url: EmbeddedUrl) -> LinkConfig | None:
    """Return what connections to the project's own server need."""
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
    credentials = ("username", "password", "credential_provider")
    reading.idle("link", f"{_PRIVATE}, without password", *credentials)
    reading.idle("tls", _PRIVATE)
    fields = reading.part("link")
    for name in credentials:
        fields.pop(name, None)
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
