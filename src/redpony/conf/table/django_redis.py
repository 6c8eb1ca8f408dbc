"""The options and settings of django-redis and django-valkey."""

from __future__ import annotations

from typing import Final

from redpony.conf import addresses, kinds, paths
from redpony.conf.model import Reader
from redpony.conf.table.option import (
    DJANGO,
    DJANGO_REDIS,
    DJANGO_VALKEY,
    Does,
    Option,
)
from redpony.conf.table.ours import NO_CULL

_CLOSE: Final = kinds.ignored(
    "connections belong to the process and are shared by its threads; closing them "
    "after a request would break off the others"
)
_REPLICAS: Final = kinds.ignored(
    "writes go to the primary alone; a write to another server would fork the data"
)
_COMPRESSION_DETAIL: Final = kinds.ignored(
    "the compressor's defaults apply; COMPRESS_LEVEL and COMPRESS_MIN_BYTES stand "
    "in OPTIONS"
)


def options() -> tuple[Option, ...]:
    def row(
        name: str, does: Does, reads: Reader, sets: str = "", whose: str = DJANGO_REDIS
    ) -> Option:
        return Option(name, whose, does, reads, sets)

    valkey = DJANGO_VALKEY
    return (
        row("CLIENT_CLASS", "by value", paths.client_class),
        row(
            "PICKLE_VERSION", "honoured", kinds.pickle_protocol, "codec.pickle_protocol"
        ),
        row("SOCKET_TIMEOUT", "honoured", kinds.seconds_or_none, "link.deadline"),
        row(
            "SOCKET_CONNECT_TIMEOUT",
            "honoured",
            kinds.seconds_or_none,
            "link.connect_timeout",
        ),
        row("PARSER_CLASS", "no effect", kinds.optional(paths.parser_class)),
        row("PARSER_CLS", "no effect", kinds.optional(paths.parser_class), "", valkey),
        row("CONNECTION_POOL_CLASS", "by value", kinds.optional(paths.pool_class)),
        row("CONNECTION_POOL_KWARGS", "honoured", kinds.mapping, "redis-py"),
        row("REDIS_CLIENT_CLASS", "by value", kinds.optional(paths.base_client_class)),
        row("REDIS_CLIENT_KWARGS", "honoured", kinds.mapping, "redis-py"),
        row(
            "BASE_CLIENT_CLASS",
            "by value",
            kinds.optional(paths.base_client_class),
            "",
            valkey,
        ),
        row("BASE_CLIENT_KWARGS", "honoured", kinds.mapping, "redis-py", valkey),
        row("CONNECTION_FACTORY", "by value", kinds.optional(paths.connection_factory)),
        row("REPLICA_READ_ONLY", "no effect", _REPLICAS),
        row("IGNORE_EXCEPTIONS", "honoured", kinds.degrade, "alias.on_error"),
        row("LOG_IGNORED_EXCEPTIONS", "honoured", kinds.switch, "alias.log_degraded"),
        row(
            "LOG_IGNORE_EXCEPTIONS",
            "honoured",
            kinds.switch,
            "alias.log_degraded",
            valkey,
        ),
        row("CLOSE_CONNECTION", "no effect", _CLOSE),
        row(
            "SENTINELS",
            "honoured",
            kinds.optional(addresses.sentinels),
            "sentinel.addresses",
        ),
        row(
            "SENTINEL_KWARGS",
            "honoured",
            kinds.optional(kinds.mapping),
            "sentinel arguments",
        ),
        row("MAX_ENTRIES", "no effect", NO_CULL, "", DJANGO),
        row("CULL_FREQUENCY", "no effect", NO_CULL, "", DJANGO),
    )


def settings() -> tuple[Option, ...]:
    def row(
        name: str, does: Does, reads: Reader, sets: str = "", whose: str = DJANGO_REDIS
    ) -> Option:
        return Option(name, whose, does, reads, sets, "settings")

    valkey = DJANGO_VALKEY
    herd = kinds.ignored("HerdClient's grace period; see CLIENT_CLASS")
    names: tuple[tuple[str, Does, Reader, str], ...] = (
        ("IGNORE_EXCEPTIONS", "honoured", kinds.degrade, "alias.on_error"),
        ("LOG_IGNORED_EXCEPTIONS", "honoured", kinds.switch, "alias.log_degraded"),
        ("LOGGER", "honoured", kinds.optional(kinds.text), "alias.logger"),
        ("SCAN_ITERSIZE", "honoured", kinds.count(1), "alias.scan_page"),
        ("CLOSE_CONNECTION", "no effect", _CLOSE, ""),
        (
            "CONNECTION_FACTORY",
            "by value",
            kinds.optional(paths.connection_factory),
            "",
        ),
    )
    both = tuple(
        row(f"{prefix}_{name}", does, reads, sets, whose)
        for prefix, whose in (("DJANGO_REDIS", DJANGO_REDIS), ("DJANGO_VALKEY", valkey))
        for name, does, reads, sets in names
    )
    details = (
        "COMPRESS_BROTLI_LGWIN",
        "COMPRESS_BROTLI_LGBLOCK",
        "COMPRESS_BROTLI_MODE",
        "COMPRESS_LZ4_BLOCK_SIZE",
        "COMPRESS_LZ4_CONTENT_CHECKSUM",
        "COMPRESS_LZ4_BLOCK_LINKED",
        "COMPRESS_LZ4_STORE_SIZE",
        "COMPRESS_LZMA_FORMAT",
        "COMPRESS_LZMA_CHECK",
        "COMPRESS_LZMA_FILTERS",
        "DECOMPRESS_LZMA_MEMLIMIT",
        "DECOMPRESS_LZMA_FORMAT",
        "DECOMPRESS_LZMA_FILTERS",
        "COMPRESS_ZLIB_WBITS",
        "COMPRESS_ZSTD_OPTIONS",
        "COMPRESS_ZSTD_DICT",
        "DECOMPRESS_ZSTD_OPTIONS",
        "DECOMPRESS_ZSTD_DICT",
    )
    return (
        *both,
        row("CACHE_HERD_TIMEOUT", "no effect", herd),
        row(
            "CACHE_COMPRESS_MIN_LENGTH",
            "honoured",
            kinds.optional(kinds.count(0)),
            "codec.compress_min_bytes",
            valkey,
        ),
        row(
            "CACHE_COMPRESS_LEVEL",
            "honoured",
            kinds.optional(kinds.level),
            "codec.compress_level",
            valkey,
        ),
        *(row(name, "no effect", _COMPRESSION_DETAIL, "", valkey) for name in details),
    )
