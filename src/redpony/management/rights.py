"""Rights: what a server's user must be allowed for the aliases that it serves.

What is granted follows from what the code sends. A room of the cache imports the
kinds of commands that it uses and no others, so its namespace is the list; what
the wire says by itself stands in the tables below. HELLO and AUTH are not among
them: every server allows them to everybody. A test runs the whole cache as this
user, and counts that each right is needed.

No password is printed: a placeholder stands for it, or its SHA-256 if asked for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from django.conf import settings

from redpony.cache import RedisCache
from redpony.commands import (
    ASKING,
    BLPOP,
    CLUSTER_INFO,
    CLUSTER_SLOTS,
    EXEC,
    FLUSHDB,
    GET,
    MSETEX,
    MULTI,
    RESTORE,
    ROLE,
    SENTINEL_ADDRESS,
    SENTINEL_MASTER,
    SENTINEL_REPLICAS,
    SENTINEL_SENTINELS,
    WAIT,
    ZSCORE,
    Kind,
)
from redpony.conf import AliasConfig, realtime_settings
from redpony.keys import INTERNAL, glob
from redpony.locks.plain import DELEX, DELIFEQ, is_known
from redpony.realtime import registry
from redpony.realtime.places import PATTERN
from redpony.scripts import script
from redpony.wire.config import Cluster, LinkConfig, Secret, Sentinels
from redpony.wire.handshake import Features
from redpony.wire.topology.sentinel import CHANNELS

PLACEHOLDER: Final = ">PASSWORD"
"""What stands for a password: replace the word, not the sign before it."""

OLDEST: Final = Features("redis", (7, 0))
"""The server that is assumed where none can be asked and none is named."""

# The cache's scripts, by name; their text says what they call in turn. Those of a
# cluster carry from server to server what else is done in place.
SCRIPTS: Final[tuple[str, ...]] = ("incr", "rename")
CLUSTER_SCRIPTS: Final[tuple[str, ...]] = ("dump", "discard")

# A lock's commands and scripts, and where all that is no cache entry lies.
_LOCK: Final = (GET, ZSCORE, BLPOP, WAIT)
LOCK_SCRIPTS: Final = (
    *("lock_acquire", "lock_release", "lock_cancel", "lock_extend"),
    "lock_raise",
    *("semaphore_acquire", "semaphore_release", "semaphore_extend", "semaphore_room"),
    "once_keep",
    *("latch_wait", "latch_down", "latch_close"),
    *("barrier_wait", "barrier_break", "barrier_look"),
    *("lock_look", "semaphore_look"),
)
# What a channel layer sends besides, and its scripts; granted where one names the alias.
_LAYER: Final = ("xdel", "zrem", "ping", "scan", "unlink")
_HEARING: Final = ("publish", "subscribe", "unsubscribe")
LAYER_SCRIPTS: Final = (
    *("layer_send", "layer_group_send", "layer_join", "layer_since"),
    *("layer_put", "layer_take", "layer_return"),
)
INTERNAL_KEYS: Final = f"{INTERNAL}*"

# What channels need: on a cluster, what is said in a slot.
REALTIME_SCRIPTS: Final = ("publish", "position", "presence", "present")
REALTIME_COMMANDS: Final = {
    False: (("subscribe", "unsubscribe"), ("publish",)),
    True: (("ssubscribe", "sunsubscribe"), ("spublish",)),
}

_CALLED = re.compile(r"redis\.call\('(\w+)'")

When = Callable[[AliasConfig, Features], bool]


def _in_a_cluster(config: AliasConfig, _: Features) -> bool:
    return isinstance(config.topology, Cluster)


# Commands of the cache that only some configurations or servers come to.
_ONLY: Final[dict[Kind, When]] = {
    FLUSHDB: lambda config, _: config.clear == "flushdb",
    MSETEX: lambda _, server: server.at_least((8, 4), (9, 1)),
    RESTORE: _in_a_cluster,
}


@dataclass(frozen=True, slots=True)
class Grant:
    """Commands that are granted for one reason; named as in ACL rules."""

    reason: str
    commands: tuple[str, ...]


GREETING: Final = "introducing itself"
FINDING: Final = "who is who"
LOOKING: Final = Grant("status and doctor", ("ping", "info"))


@dataclass(frozen=True, slots=True)
class User:
    """A user of a server, as its ACL describes one."""

    name: str
    where: str
    aliases: tuple[str, ...]
    server: Features
    grants: tuple[Grant, ...]
    keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    databases: tuple[int, ...] = ()
    password: Secret | None = None

    @property
    def commands(self) -> tuple[str, ...]:
        """Every command that is granted, once, by name."""
        return tuple(sorted({each for grant in self.grants for each in grant.commands}))

    def rules(self, password: str = PLACEHOLDER) -> list[str]:
        """Return the rules of ACL SETUSER; they replace what the user had before."""
        # What a new user may do by default is a setting of the server.
        rules = ["reset", "on", password, "resetchannels"]
        rules += [f"~{each}" for each in self.keys]
        rules += [f"&{each}" for each in self.channels]
        if self.databases and self.server.at_least((10**6,), (9, 1)):
            rules.append(f"db={','.join(map(str, self.databases))}")
        return [*rules, "-@all", *(f"+{each}" for each in self.commands)]


def acl_rules(
    *configs: AliasConfig,
    server: Features = OLDEST,
    password: str = PLACEHOLDER,
) -> list[str]:
    """Return the rules of ACL SETUSER for one user who serves these aliases.

    `password` is a rule: `>the password`, `#its SHA-256`, or `nopass`.
    """
    return user_for(configs, server=server).rules(password)


def user_for(
    configs: Sequence[AliasConfig], *, name: str = "", server: Features = OLDEST
) -> User:
    """Return the user of the servers that these aliases share."""
    link = configs[0].link
    return User(
        name=name or link.username or "redpony",
        where=str(link.address),
        aliases=tuple(each.alias for each in configs),
        server=server,
        grants=tuple(_merged(_grants(each, server) for each in configs)),
        keys=_key_patterns(configs),
        channels=tuple(_channel_patterns(configs)),
        databases=tuple(sorted({each.link.db for each in configs})),
        password=link.password,
    )


def sentinel_user(
    configs: Sequence[AliasConfig], *, name: str = "", server: Features = OLDEST
) -> User | None:
    """Return the user of the sentinels of these aliases, who have ACLs of their own."""
    watched = [each for each in configs if isinstance(each.topology, Sentinels)]
    if not watched:
        return None
    topology = watched[0].topology
    assert isinstance(topology, Sentinels)
    link = topology.sentinels[0]
    kinds = (
        SENTINEL_MASTER,
        SENTINEL_ADDRESS,
        SENTINEL_REPLICAS,
        SENTINEL_SENTINELS,
    )
    return User(
        name=name or link.username or "redpony",
        where=", ".join(str(each.address) for each in topology.sentinels),
        aliases=tuple(each.alias for each in watched),
        server=server,
        grants=(
            *_introduction(link, server),
            Grant(FINDING, (*map(word, kinds), "subscribe")),
        ),
        channels=CHANNELS,
        password=link.password,
    )


def operator_for(user: User, name: str) -> User:
    """Return a user who looks, at what `status` and `doctor` show, and reads no key."""
    finding = [each for each in user.grants if each.reason in (GREETING, FINDING)]
    return replace(user, name=name, keys=(), grants=(*finding, LOOKING), password=None)


def _key_patterns(configs: Sequence[AliasConfig]) -> tuple[str, ...]:
    found = dict.fromkeys([*map(key_pattern, configs), INTERNAL_KEYS])
    # A server takes no other pattern beside the one of everything.
    return ("*",) if "*" in found else tuple(found)


def key_pattern(config: AliasConfig) -> str:
    """Return the pattern of an alias' keys; `*` where KEY_FUNCTION has none."""
    prefix = re.sub(r"([\\*?\[])", r"\\\1", config.key_prefix)
    function = config.key_function
    if function is None:
        return _without_spaces(f"{prefix}:*")
    try:
        # A glob is no version; whether the function minds is what we find out.
        star: Any = "*"
        pattern = str(function("*", prefix, star))
        sample = str(function("some key", config.key_prefix, config.version))
    except (TypeError, ValueError):
        return "*"
    if glob(pattern).fullmatch(sample) is None:
        return "*"
    return _without_spaces(pattern)


def _without_spaces(pattern: str) -> str:
    # A rule cannot hold one.
    return re.sub(r"\s", "?", pattern)


def digest(password: Secret) -> str:
    """Return the rule that stands for a password without saying it."""
    return f"#{sha256(password.reveal().encode()).hexdigest()}"


def _grants(config: AliasConfig, server: Features) -> Iterator[Grant]:
    yield from _introduction(config.link, server)
    yield from _topology(config)
    always: When = lambda *_: True  # noqa: E731
    kinds = [
        kind for kind in sent_by(RedisCache) if _ONLY.get(kind, always)(config, server)
    ]
    yield Grant("the cache", tuple(map(word, kinds)))
    scripts = SCRIPTS
    if _in_a_cluster(config, server):
        scripts += CLUSTER_SCRIPTS
    yield Grant("its scripts", ("evalsha", "eval", *sorted(called_by(*scripts))))
    called = sorted(called_by(*LOCK_SCRIPTS))
    plain = [kind for kind in (DELIFEQ, DELEX) if is_known(kind, server)]
    sent = map(word, (*_LOCK, *plain))
    yield Grant("locks", (*sent, "evalsha", "eval", *called))
    if _has_channels(config):
        yield Grant("real time", _of_channels(_in_a_cluster(config, server)))
    if _has_layer(config):
        sharded = "s" if _in_a_cluster(config, server) else ""
        hearing = [f"{sharded}{each}" for each in _HEARING]
        called = sorted(called_by(*LAYER_SCRIPTS) - {"publish", "spublish"})
        words = (*_LAYER, *hearing, "evalsha", "eval", *called)
        yield Grant("channel layers", words)


def _has_channels(config: AliasConfig) -> bool:
    """Whether messages of channels go through an alias."""
    if not registry.is_used():
        return False
    named = {each.using for each in registry.classes()}
    return config.alias in {each or realtime_settings().alias for each in named}


def _of_channels(sharded: bool) -> tuple[str, ...]:
    subscribing, publishing = REALTIME_COMMANDS[sharded]
    scripts = called_by(*REALTIME_SCRIPTS) - {"publish", "spublish"}
    return (
        *("get", "xrange", "ping", "evalsha", "eval"),
        *subscribing,
        *publishing,
        *sorted(scripts),
    )


def _has_layer(config: AliasConfig) -> bool:
    """Whether a channel layer lives on an alias."""
    layers: Mapping[str, Any] = getattr(settings, "CHANNEL_LAYERS", None) or {}
    for layer in layers.values():
        given = layer.get("CONFIG") or {}
        if str(layer.get("BACKEND", "")).startswith("redpony.contrib.channels."):
            named = "" if given.get("hosts") else given.get("using") or "default"
            if named == config.alias:
                return True
    return False


def _channel_patterns(configs: Sequence[AliasConfig]) -> Iterator[str]:
    """Yield the patterns of what is said and heard."""
    if any(map(_has_layer, configs)):
        yield INTERNAL_KEYS
    elif any(map(_has_channels, configs)):
        yield PATTERN


def sent_by(backend: type) -> list[Kind]:
    """Return the kinds of commands that a cache's rooms use, by name."""
    rooms = {room.__module__ for room in backend.__mro__}
    found = {
        value
        for room in rooms & sys.modules.keys()
        for value in vars(sys.modules[room]).values()
        if isinstance(value, Kind)
    }
    return sorted(found, key=lambda kind: kind.name)


def called_by(*names: str) -> set[str]:
    """Return the commands that scripts call."""
    return {
        word.lower()
        for name in names
        for word in _CALLED.findall(script(name).source.decode())
    }


def _introduction(link: LinkConfig, server: Features) -> Iterator[Grant]:
    words: list[str] = []
    if server.at_least((7, 2), (7, 2)):
        words.append("client|setinfo")
    if link.client_name:
        words.append("client|setname")
    if link.db:
        words.append("select")
    if link.protocol == 2:
        words += ["info", "role"]
    if words:
        yield Grant(GREETING, tuple(words))


def _topology(config: AliasConfig) -> Iterator[Grant]:
    topology = config.topology
    if isinstance(topology, Cluster):
        words = [word(CLUSTER_SLOTS), word(CLUSTER_INFO)]
        if topology.read_from == "replica":
            words.append("readonly")
        yield Grant(FINDING, tuple(words))
        yield Grant("keys on several servers", (word(ASKING), word(MULTI), word(EXEC)))
    elif topology is not None:
        yield Grant(FINDING, (word(ROLE),))


def _merged(several: Iterable[Iterable[Grant]]) -> Iterator[Grant]:
    by_reason: dict[str, dict[str, None]] = {}
    for grants in several:
        for grant in grants:
            by_reason.setdefault(grant.reason, {}).update(dict.fromkeys(grant.commands))
    for reason, words in by_reason.items():
        yield Grant(reason, tuple(words))


def word(kind: Kind) -> str:
    """Return a command's name as ACL rules have it: `client|setname`."""
    return kind.name.lower().replace(" ", "|")
