"""Redpony's own options, and Django's keys of an alias."""

from __future__ import annotations

from typing import Final

from redpony.conf import addresses, kinds, paths
from redpony.conf.model import Reader
from redpony.conf.table.option import DJANGO, DJANGO_REDIS, REDPONY, Does, Option

_FORMATS: Final = ("sealed", "django_redis", "django")
NO_CULL: Final = kinds.ignored(
    "the server evicts by its own maxmemory and maxmemory-policy"
)


def alias() -> tuple[Option, ...]:
    def row(name: str, whose: str, reads: Reader, sets: str = "") -> Option:
        does: Does = "honoured" if sets else "no effect"
        return Option(name, whose, does, reads, sets, "alias")

    return (
        row("TIMEOUT", DJANGO, kinds.lifetime, "alias.timeout"),
        row("timeout", DJANGO, kinds.lifetime, "alias.timeout"),
        row("VERSION", DJANGO, kinds.key_version, "alias.version"),
        row("KEY_PREFIX", DJANGO, kinds.text, "alias.key_prefix"),
        row(
            "KEY_FUNCTION",
            DJANGO,
            kinds.optional(kinds.function),
            "alias.key_function",
        ),
        row(
            "REVERSE_KEY_FUNCTION",
            DJANGO_REDIS,
            kinds.optional(kinds.function),
            "alias.reverse_key_function",
        ),
        row("max_entries", DJANGO, NO_CULL),
        row("cull_frequency", DJANGO, NO_CULL),
    )


def ours() -> tuple[Option, ...]:
    def row(name: str, reads: Reader, sets: str) -> Option:
        return Option(name, REDPONY, "honoured", reads, sets)

    return (
        row("DEADLINE", kinds.seconds, "link.deadline"),
        row("CONNECT_TIMEOUT", kinds.seconds, "link.connect_timeout"),
        row("POOL_SIZE", kinds.count(1), "link.pool_size"),
        row("RETRIES", kinds.count(0), "link.retries"),
        row("BREAKER", kinds.mapping, "breaker"),
        row("ON_ERROR", kinds.choice("raise", "degrade"), "alias.on_error"),
        row("FORMAT", kinds.choice(*_FORMATS), "codec.format"),
        row("READ_FORMATS", kinds.choices(*_FORMATS), "codec.read_formats"),
        row("SERIALIZER", paths.serializer, "codec.serializer"),
        row("COMPRESSOR", paths.compressor, "codec.compressor"),
        row(
            "COMPRESS_MIN_BYTES",
            kinds.optional(kinds.count(0)),
            "codec.compress_min_bytes",
        ),
        row("COMPRESS_LEVEL", kinds.optional(kinds.level), "codec.compress_level"),
        row("MAX_VALUE_BYTES", kinds.count(1), "codec.max_value_bytes"),
        row("SEAL_KEYS", kinds.seal_keys, "codec.seal_keys"),
        row(
            "SEAL_ALGORITHM",
            kinds.choice("blake2b", "hmac-sha256"),
            "codec.algorithm",
        ),
        row("SCOPE", kinds.text, "codec.scope"),
        row("CLEAR", kinds.choice("scan", "flushdb"), "alias.clear"),
        row("SCAN_PAGE", kinds.count(1), "alias.scan_page"),
        row("USERNAME", kinds.optional(kinds.user), "link.username"),
        row("PASSWORD", kinds.secret, "link.password"),
        row(
            "CREDENTIAL_PROVIDER",
            kinds.optional(kinds.credential_provider),
            "link.credential_provider",
        ),
        row("DB", kinds.count(0), "link.db"),
        row("PROTOCOL", kinds.protocol, "link.protocol"),
        row("CLIENT_NAME", kinds.optional(kinds.word), "link.client_name"),
        row("TLS", kinds.mapping, "tls"),
        row("KEEPALIVE", kinds.switch, "link.keepalive"),
        row("READ_FROM", kinds.choice("primary", "replica"), "topology.read_from"),
        row("READ_YOUR_WRITES", kinds.seconds_or_zero, "topology.read_your_writes"),
        row("ADDRESS_REMAP", addresses.remap, "topology.remap"),
        row("TOPOLOGY_REFRESH", kinds.seconds, "topology.refresh"),
        row("SENTINEL_USERNAME", kinds.optional(kinds.user), "sentinel.username"),
        row("SENTINEL_PASSWORD", kinds.secret, "sentinel.password"),
        row("SENTINEL_TLS", kinds.optional(kinds.switch_or_mapping), "sentinel_tls"),
        Option(
            "NEAR",
            REDPONY,
            "refused",
            kinds.refused("the near cache comes with a later release; remove it"),
        ),
    )


def parts() -> tuple[Option, ...]:
    def tls(name: str, reads: Reader, sets: str) -> Option:
        return Option(name, REDPONY, "honoured", reads, f"tls.{sets}", "tls")

    def breaker(name: str, reads: Reader, sets: str) -> Option:
        return Option(name, REDPONY, "honoured", reads, f"link.{sets}", "breaker")

    return (
        tls("VERIFY", kinds.switch, "verify"),
        tls("CHECK_HOSTNAME", kinds.switch, "check_hostname"),
        tls("CA_FILE", kinds.text, "ca_file"),
        tls("CA_PATH", kinds.text, "ca_path"),
        tls("CA_DATA", kinds.pem, "ca_data"),
        tls("CERT_FILE", kinds.text, "cert_file"),
        tls("KEY_FILE", kinds.text, "key_file"),
        tls("KEY_PASSWORD", kinds.secret, "key_password"),
        tls("SERVER_NAME", kinds.text, "server_name"),
        tls("CIPHERS", kinds.text, "ciphers"),
        breaker("FAILURES", kinds.count(1), "breaker_failures"),
        breaker("COOLDOWN", kinds.seconds, "breaker_cooldown"),
    )
