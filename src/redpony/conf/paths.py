"""Dotted paths into other packages, as data.

A path of django_redis, django_valkey, redis or valkey is never imported: the
package may be gone, and the name too (`redis.connection.HiredisParser`, which
many projects still name, does not exist any more). The last word decides.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from redpony.conf.kinds import imported
from redpony.conf.model import Ignored, Reader, Refusal, Unfit
from redpony.wire.spelling import nearest
from redpony.wire.topology_url import CLUSTER_EXAMPLE, SENTINEL_EXAMPLE

_FOREIGN: Final = frozenset({"django_redis", "django_valkey", "redis", "valkey"})

_SERIALIZERS: Final[dict[str, str]] = {
    "PickleSerializer": "pickle",
    "JSONSerializer": "json",
    "MSGPackSerializer": "msgpack",
    "MsgSpecJsonSerializer": "msgspec_json",
    "MsgSpecMsgPackSerializer": "msgspec_msgpack",
    "RedisSerializer": "pickle",
}

_COMPRESSORS: Final[dict[str, str]] = {
    "IdentityCompressor": "none",
    "ZlibCompressor": "zlib",
    "GzipCompressor": "gzip",
    "LzmaCompressor": "lzma",
    "Lz4Compressor": "lz4",
    "ZStdCompressor": "zstd",
    "BrotliCompressor": "brotli",
}

_NOT_OFFERED: Final[dict[str, str]] = {
    "Bz2Compressor": 'bz2 is not offered; write "lzma" (as small) or "zstd" (faster)',
}

SERIALIZER_NAMES: Final = tuple(dict.fromkeys(_SERIALIZERS.values()))
COMPRESSOR_NAMES: Final = tuple(dict.fromkeys(_COMPRESSORS.values()))


class _Library(NamedTuple):
    modules: tuple[str, ...]
    install: str


_LIBRARIES: Final[dict[str, _Library]] = {
    "msgpack": _Library(("msgpack",), "redpony[msgpack]"),
    "msgspec_json": _Library(("msgspec",), "redpony[msgspec]"),
    "msgspec_msgpack": _Library(("msgspec",), "redpony[msgspec]"),
    "zstd": _Library(("compression.zstd", "backports.zstd"), "redpony[zstd]"),
    "lz4": _Library(("lz4.frame",), "redpony[lz4]"),
    "brotli": _Library(("brotli",), "redpony[brotli]"),
}

_ONE_OBJECT: Final = "RedisCache has all methods of this client, in both colours"
_SENTINEL: Final = Ignored(
    "Redpony asks the sentinels itself",
    "sentinels",
    "it needs SENTINELS, a list of pairs of host and port; or write "
    f"{SENTINEL_EXAMPLE} in LOCATION and remove this",
)
_CLUSTER: Final = Ignored(
    "Redpony knows clusters itself",
    "cluster",
    f"write {CLUSTER_EXAMPLE} in LOCATION and remove this",
)
_OWN: Final = "a class of your own is never called here; remove it, and "

CLIENTS: Final[dict[str, Ignored | Refusal]] = {
    "DefaultClient": Ignored(_ONE_OBJECT),
    "HashClient": Ignored(_ONE_OBJECT),
    "AsyncDefaultClient": Ignored(_ONE_OBJECT),
    "AsyncHashClient": Ignored(_ONE_OBJECT),
    "HerdClient": Ignored(
        "the protection against stampedes comes as a feature of its own in a later "
        "release; until then every process computes what has expired"
    ),
    "AsyncHerdClient": Ignored(
        "the protection against stampedes comes as a feature of its own in a later "
        "release; until then every process computes what has expired"
    ),
    "SentinelClient": _SENTINEL,
    "AsyncSentinelClient": _SENTINEL,
    "ShardClient": Refusal(
        "sharding by the client is not offered, for a changed list of servers moves "
        f"most keys. Redis Cluster does it at the server: {CLUSTER_EXAMPLE} in "
        "LOCATION; or name one server there"
    ),
    "DefaultClusterClient": _CLUSTER,
}

_POOLS: Final[dict[str, Ignored | Refusal]] = {
    "ConnectionPool": Ignored("Redpony has one bounded pool, which waits"),
    "BlockingConnectionPool": Ignored("Redpony has one bounded pool, which waits"),
    "SentinelConnectionPool": _SENTINEL,
    "ClusterConnectionPool": _CLUSTER,
}

_BASE_CLIENTS: Final[dict[str, Ignored | Refusal]] = {
    "Redis": Ignored("get_redis(alias) hands out redis.Redis"),
    "StrictRedis": Ignored("get_redis(alias) hands out redis.Redis"),
    "Valkey": Ignored("get_redis(alias) hands out redis.Redis"),
    "StrictValkey": Ignored("get_redis(alias) hands out redis.Redis"),
    "RedisCluster": _CLUSTER,
    "ValkeyCluster": _CLUSTER,
    "Sentinel": _SENTINEL,
}

_FACTORIES: Final[dict[str, Ignored | Refusal]] = {
    "ConnectionFactory": Ignored("Redpony makes its connections itself"),
    "AsyncConnectionFactory": Ignored("Redpony makes its connections itself"),
    "SentinelConnectionFactory": _SENTINEL,
    "AsyncSentinelConnectionFactory": _SENTINEL,
    "ClusterConnectionFactory": _CLUSTER,
}

_CONNECTIONS: Final[dict[str, Ignored | Refusal]] = {
    "Connection": Ignored("Redpony makes its connections itself"),
    "SSLConnection": Refusal("write rediss:// in LOCATION instead"),
    "UnixDomainSocketConnection": Refusal("write unix:// in LOCATION instead"),
    "SentinelManagedConnection": _SENTINEL,
    "SentinelManagedSSLConnection": Refusal(
        "write rediss:// in LOCATION instead; SENTINEL_TLS is for the sentinels"
    ),
}


def _path_of(value: Any) -> str:
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if not isinstance(value, str) or "." not in value:
        raise Unfit("a class or its dotted path")
    return value


def _by_name(table: dict[str, Ignored | Refusal], own: str) -> Reader:
    def read(value: Any) -> Ignored:
        path = _path_of(value)
        root, name = path.partition(".")[0], path.rpartition(".")[2]
        found = table.get(name) if root in _FOREIGN else None
        if isinstance(found, Ignored):
            return found
        if found is not None:
            raise Refusal(str(found), found.kind)
        near = nearest(name, tuple(table)) if root in _FOREIGN else ""
        raise Refusal(f"{_OWN}{own}{'.' + near if near else ''}")

    return read


client_class = _by_name(
    CLIENTS, "put what it adds into a subclass of redpony.cache.RedisCache"
)
pool_class = _by_name(_POOLS, "bound the pool with POOL_SIZE")
base_client_class = _by_name(
    _BASE_CLIENTS,
    "for a stand-in in tests write embedded:// in LOCATION, which is a real server",
)
connection_factory = _by_name(_FACTORIES, "say what it did in LOCATION and OPTIONS")
connection_class = _by_name(_CONNECTIONS, "say what it did in LOCATION and OPTIONS")


def parser_class(value: Any) -> Ignored:
    """A parser: ours is always hiredis."""
    _path_of(value)
    return Ignored("replies are always parsed by hiredis")


def serializer(value: Any) -> str:
    """A short name, a known path, or a user's class (which must be importable)."""
    return _codec(value, _SERIALIZERS, ("dumps", "loads"))


def compressor(value: Any) -> str:
    """A short name, a known path, or a user's class (which must be importable)."""
    return _codec(value, _COMPRESSORS, ("compress", "decompress"))


def _codec(value: Any, table: dict[str, str], methods: tuple[str, str]) -> str:
    names = tuple(dict.fromkeys(table.values()))
    if isinstance(value, str) and "." not in value:
        if value not in names:
            listed = ", ".join(f'"{each}"' for each in names)
            raise Unfit(
                f"{listed}, or the dotted path of a class.{nearest(value, names)}"
            )
        return _installed(value)
    if not isinstance(value, str | type):
        raise Unfit("a name, or the dotted path of a class (not an object)")
    path = _path_of(value)
    root, name = path.partition(".")[0], path.rpartition(".")[2]
    if root in _FOREIGN or path == "django.core.cache.backends.redis.RedisSerializer":
        if name in table:
            return _installed(table[name])
        if name in _NOT_OFFERED:
            raise Refusal(_NOT_OFFERED[name])
        raise Refusal(
            f'"{path}" is unknown.{nearest(name, tuple(table))} Or name one of '
            f"{', '.join(names)}",
            "value",
        )
    found = imported(path)
    if isinstance(value, type) and found is not value:
        raise Unfit("a class that can be imported by its path")
    if not all(hasattr(found, each) for each in methods):
        raise Unfit(f"a class with the methods {methods[0]} and {methods[1]}")
    return path


def _installed(name: str) -> str:
    library = _LIBRARIES.get(name)
    if library and not any(_present(module) for module in library.modules):
        raise Refusal(
            f'"{name}" needs a library that is not installed; '
            f'run python -m pip install "{library.install}"',
            "library",
        )
    return name


def _present(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # its package is missing
        return False
