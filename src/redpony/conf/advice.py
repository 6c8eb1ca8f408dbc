"""What is unwise in settings that work, said without asking a server.

System checks and `manage.py redpony doctor` both say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from django.conf import settings

from redpony.conf.links import is_local
from redpony.conf.location import items
from redpony.conf.model import AliasConfig, Examination
from redpony.errors import InvalidSetting
from redpony.wire.config import LinkConfig, Tcp, Unix
from redpony.wire.masking import masked
from redpony.wire.url import EmbeddedUrl, ServerUrl, parse

Topic = Literal[
    "embedded",
    "plain",
    "unverified",
    "unsealed",
    "no password",
    "shared",
    "no prefix",
    "secret",
]

_OTHERS: Final = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "BROKER_URL")


@dataclass(frozen=True, slots=True)
class Advice:
    """One unwise thing, and what to do about it; without a secret in it."""

    topic: Topic
    alias: str
    text: str
    remedy: str


def on_location(alias: str, location: Any) -> Iterator[Advice]:
    """Look at LOCATION as it stands in the settings."""
    for url in _written(location):
        try:
            found = parse(url)
        except InvalidSetting:
            continue
        if isinstance(found, EmbeddedUrl):
            if not found.production:
                yield Advice(
                    "embedded",
                    alias,
                    "LOCATION is embedded://, which is refused when DEBUG is False.",
                    "Name a server for production, for instance by "
                    "LOCATION = env://REDIS_URL.",
                )
        elif found.password is not None and found.password.reveal():
            yield Advice(
                "secret",
                alias,
                f'LOCATION holds a password ("{masked(url)}"). Django\'s page for '
                "errors under DEBUG shows LOCATION as it is.",
                "Write env://NAME for the environment variable NAME, or put the "
                'password into OPTIONS["PASSWORD"].',
            )


def on_config(config: AliasConfig) -> Iterator[Advice]:
    """Look at what one alias comes to."""
    yield from _on_link(config.alias, config.link)
    codec = config.codec
    legacy = {codec.format, *codec.read_formats} - {"sealed"}
    if "django" in legacy or (legacy and codec.serializer == "pickle"):
        yield Advice(
            "unsealed",
            config.alias,
            f"values in the format {' and '.join(sorted(legacy))} are unpickled "
            "without a seal: whoever can write to the server can run code here.",
            'When the migration is done, take FORMAT "sealed" and READ_FORMATS '
            '["sealed"].',
        )


def on_company(configs: Sequence[AliasConfig]) -> Iterator[Advice]:
    """Look at what several aliases, and Celery, have in common."""
    for index, one in enumerate(configs):
        for other in configs[:index]:
            if _place(one.link) != _place(other.link):
                continue
            flush = "flushdb" in (one.clear, other.clear)
            if one.key_prefix == other.key_prefix or flush:
                what = "database" if flush else "database and KEY_PREFIX"
                yield Advice(
                    "shared",
                    one.alias,
                    f'it shares its {what} ({one.link.label}) with "{other.alias}": '
                    "clear() on one empties the other too.",
                    'Give each its own KEY_PREFIX and leave CLEAR at "scan".',
                )
            elif not (one.key_prefix and other.key_prefix):
                bare = one if not one.key_prefix else other
                yield from _bare(bare, f'"{(other if bare is one else one).alias}"')
    for config in configs:
        for name in _OTHERS:
            if _place(config.link) not in _places_of(getattr(settings, name, None)):
                continue
            if config.clear == "flushdb":
                yield Advice(
                    "shared",
                    config.alias,
                    f"it shares its database ({config.link.label}) with {name}, and "
                    "clear() empties the whole database.",
                    'Take another database, or leave CLEAR at "scan".',
                )
            elif not config.key_prefix:
                yield from _bare(config, name)


def on_project(examined: Iterable[tuple[Any, Examination]]) -> list[Advice]:
    """Everything there is to say of these aliases, by pairs with LOCATION."""
    found: list[Advice] = []
    configs: list[AliasConfig] = []
    for location, each in examined:
        found.extend(on_location(each.alias, location))
        if each.config:
            configs.append(each.config)
            found.extend(on_config(each.config))
    found.extend(on_company(configs))
    return found


def _on_link(alias: str, link: LinkConfig) -> Iterator[Advice]:
    if is_local(link.address):
        return
    if link.tls is None:
        yield Advice(
            "plain",
            alias,
            f"it talks to {link.address} in plain text: keys, values and the password "
            "can be read on the way.",
            "Write rediss:// in LOCATION, if the server speaks TLS; or keep both in "
            "one private network and silence this check.",
        )
    elif not link.tls.verify:
        yield Advice(
            "unverified",
            alias,
            f"the certificate of {link.address} is not verified: anybody on the way "
            "can pretend to be the server.",
            'Name the authority instead: OPTIONS = {"TLS": {"CA_FILE": ...}}.',
        )
    shows_certificate = link.tls is not None and link.tls.cert_file is not None
    if not (link.password or link.credential_provider or shows_certificate):
        yield Advice(
            "no password",
            alias,
            f"it connects to {link.address} without a password.",
            'Set one at the server, and OPTIONS["PASSWORD"] here.',
        )


def _bare(config: AliasConfig, company: str) -> Iterator[Advice]:
    yield Advice(
        "no prefix",
        config.alias,
        f"it has no KEY_PREFIX, and shares its database ({config.link.label}) with "
        f"{company}.",
        "Give it a KEY_PREFIX, so that its keys can be told from others.",
    )


def _place(link: LinkConfig) -> tuple[Any, int]:
    if isinstance(link.address, Tcp) and is_local(link.address):
        return Tcp("localhost", link.address.port), link.db
    return link.address, link.db


def _places_of(url: Any) -> set[tuple[Tcp | Unix, int]]:
    if not isinstance(url, str):
        return set()
    try:
        found = parse(url)
    except InvalidSetting:
        return set()
    if not isinstance(found, ServerUrl):
        return set()
    address = found.address
    if isinstance(address, Tcp) and is_local(address):
        address = Tcp("localhost", address.port)
    return {(address, found.db or 0)}


def _written(location: Any) -> list[str]:
    """The URLs that stand in LOCATION itself, not in the environment."""
    if isinstance(location, str):
        location = [location]
    if not isinstance(location, list | tuple):
        return []
    try:
        return [
            url
            for each in location
            if isinstance(each, str) and "env://" not in each
            for url in items(each)
        ]
    except InvalidSetting:
        return []
