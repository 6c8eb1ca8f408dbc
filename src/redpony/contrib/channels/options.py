"""What a layer may be told in `CHANNEL_LAYERS`, ours and channels_redis'.

Each option is honoured, accepted without effect for a reason, or refused with the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn
from urllib.parse import quote

from redpony.alias import Alias, alias_for
from redpony.conf import Misconfigured, alias_config, examine
from redpony.conf.model import Problem, ProblemKind
from redpony.wire.spelling import nearest

WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "random_prefix_length": "messages are numbered, so equal ones are told apart",
    "on_disconnect": "channels_redis does not call it either; see redpony.events",
    "on_reconnect": "channels_redis does not call it either; see redpony.events",
}
"""Options of channels_redis that are accepted, and why they do nothing."""

KNOWN: Final = (
    *("using", "hosts", "prefix", "expiry", "group_expiry", "capacity"),
    *("channel_capacity", "symmetric_encryption_keys", "serializer_format"),
    *("max_message_bytes", *WITHOUT_EFFECT),
)

_HOST: Final = ("address", "host", "port", "db", "username", "password", "ssl")
_SENTINEL: Final = ("master_name", "sentinels", "db", "username", "password")


def refuse(option: str, text: str, kind: ProblemKind = "value") -> NoReturn:
    raise Misconfigured(
        Problem(kind, f'CHANNEL_LAYERS[...]["CONFIG"]["{option}"]', text)
    )


def check(given: Mapping[str, Any]) -> None:
    """Refuse what is not known."""
    for name in given:
        if name not in KNOWN:
            near = nearest(name, KNOWN)
            refuse(name, f"there is no such option.{near}", "unknown")


def positive(option: str, value: Any) -> Any:
    """Return a number that is more than 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        refuse(option, f"takes a number, more than 0. It is {value!r}.")
    return value


def text(option: str, value: Any) -> str:
    if not isinstance(value, str):
        refuse(option, f"takes text. It is {value!r}.")
    return value


def alias_of(using: str | None, hosts: Any) -> Alias:
    """Return the alias that a layer lives on: one of `CACHES`, or of its own."""
    if hosts is None:
        return alias_for(alias_config(using or "default"))
    if using is not None:
        refuse("hosts", 'say either "using", an alias of CACHES, or "hosts".')
    if isinstance(hosts, str | bytes) or not isinstance(hosts, list | tuple):
        refuse("hosts", "takes a list, even if there is one host.")
    if len(hosts) != 1:
        refuse(
            "hosts",
            f"names {len(hosts)} servers. channels_redis spreads channels over servers "
            "that know nothing of each other; this layer takes one, or a cluster: give "
            'CACHES an alias with "redis+cluster://..." and name it in "using".',
            "refused",
        )
    found = examine(None, _location(hosts[0]), {})
    if found.config is None:
        refuse("hosts", "; ".join(each.text for each in found.problems), "location")
    return alias_for(found.config)


def _location(host: Any) -> str:
    if isinstance(host, str):
        return host
    if isinstance(host, list | tuple) and len(host) == 2:
        return f"redis://{host[0]}:{host[1]}"
    if not isinstance(host, Mapping):
        refuse("hosts", "takes URLs, pairs of host and port, or dicts.")
    known = _SENTINEL if "master_name" in host else _HOST
    for name in host:
        if name not in known:
            refuse(
                "hosts",
                f'"{name}" is an option of redis-py\'s connections. Give CACHES an '
                'alias that has what you need in OPTIONS, and name it in "using".',
                "refused",
            )
    if "address" in host and len(host) == 1:
        return str(host["address"])
    login = ""
    if host.get("password"):
        user, password = str(host.get("username") or ""), str(host["password"])
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    if "address" in host:
        scheme, _, rest = str(host["address"]).partition("://")
        found = f"{scheme}://{login}{rest}"
        return f"{found.rstrip('/')}/{host['db']}" if "db" in host else found
    db = int(host.get("db") or 0)
    if "master_name" in host:
        places = ",".join(f"{name}:{port}" for name, port in host["sentinels"])
        return f"redis+sentinel://{login}{places}/{host['master_name']}/{db}"
    scheme = "rediss" if host.get("ssl") else "redis"
    place = f"{host.get('host', 'localhost')}:{host.get('port', 6379)}"
    return f"{scheme}://{login}{place}/{db}"
