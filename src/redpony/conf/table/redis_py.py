"""redis-py's arguments, which Django's backend takes as options."""

from __future__ import annotations

from typing import Final

from redpony.conf import kinds, paths
from redpony.conf.model import Reader
from redpony.conf.table.option import DJANGO, REDIS_PY, Does, Option

_IN_LOCATION: Final = kinds.refused("it stands in LOCATION: redis://HOST:PORT/DB")
_REPEATS: Final = kinds.ignored(
    "a command is repeated by what it is (see RETRIES), never by a list of errors"
)
_OCSP: Final = kinds.only(
    False, "False is the default", "OCSP is not offered; pin the authority in TLS"
)
_FLAGS: Final = kinds.only(
    None, "None is the default", "verification flags are not offered; use TLS"
)
_PRIMARY: Final = kinds.only(
    True,
    "writes go to the primary",
    'write READ_FROM: "replica" instead; writes go to the primary',
)
_CHECKED: Final = kinds.ignored("every server is asked for its role when it connects")
_INNER: Final = kinds.ignored("it is a detail of redis-py's own connections")


def arguments() -> tuple[Option, ...]:
    def row(
        name: str, does: Does, reads: Reader, sets: str = "", whose: str = REDIS_PY
    ) -> Option:
        return Option(name, whose, does, reads, sets, "redis-py")

    def tls(name: str, reads: Reader, sets: str) -> Option:
        return row(name, "honoured", kinds.optional(reads), f"tls.{sets}")

    later = kinds.refused
    return (
        row("db", "honoured", kinds.optional(kinds.count(0)), "link.db"),
        row("username", "honoured", kinds.optional(kinds.user), "link.username"),
        row("password", "honoured", kinds.secret, "link.password"),
        row(
            "credential_provider",
            "honoured",
            kinds.optional(kinds.credential_provider),
            "link.credential_provider",
        ),
        row("socket_timeout", "honoured", kinds.seconds_or_none, "link.deadline"),
        row(
            "socket_connect_timeout",
            "honoured",
            kinds.seconds_or_none,
            "link.connect_timeout",
        ),
        row(
            "max_connections",
            "honoured",
            kinds.optional(kinds.count(1)),
            "link.pool_size",
        ),
        row(
            "socket_keepalive",
            "honoured",
            kinds.optional(kinds.switch),
            "link.keepalive",
        ),
        row("client_name", "honoured", kinds.optional(kinds.word), "link.client_name"),
        row("protocol", "honoured", kinds.optional(kinds.protocol), "link.protocol"),
        row("serializer", "honoured", paths.serializer, "codec.serializer", DJANGO),
        row("ssl_cert_reqs", "honoured", kinds.certificates, "tls.verify"),
        tls("ssl_check_hostname", kinds.switch, "check_hostname"),
        tls("ssl_ca_certs", kinds.text, "ca_file"),
        tls("ssl_ca_path", kinds.text, "ca_path"),
        tls("ssl_ca_data", kinds.pem, "ca_data"),
        tls("ssl_certfile", kinds.text, "cert_file"),
        tls("ssl_keyfile", kinds.text, "key_file"),
        row("ssl_password", "honoured", kinds.secret, "tls.key_password"),
        tls("ssl_ciphers", kinds.text, "ciphers"),
        row("ssl_min_version", "by value", kinds.optional(kinds.least_tls)),
        row("ssl_validate_ocsp", "by value", _OCSP),
        row("ssl_validate_ocsp_stapled", "by value", _OCSP),
        row("ssl_ocsp_context", "by value", _FLAGS),
        row("ssl_ocsp_expected_cert", "by value", _FLAGS),
        row("ssl_include_verify_flags", "by value", _FLAGS),
        row("ssl_exclude_verify_flags", "by value", _FLAGS),
        row(
            "ssl",
            "by value",
            kinds.only(
                False, "LOCATION says so", "write rediss:// in LOCATION instead"
            ),
        ),
        row("pool_class", "by value", kinds.optional(paths.pool_class), "", DJANGO),
        row(
            "parser_class", "no effect", kinds.optional(paths.parser_class), "", DJANGO
        ),
        row("connection_class", "by value", kinds.optional(paths.connection_class)),
        row(
            "decode_responses",
            "by value",
            kinds.only(
                False,
                "values are decoded by the serializer",
                "values are decoded by the serializer; for the raw client decode the "
                "answers where they are used",
            ),
        ),
        row(
            "encoding",
            "by value",
            kinds.only("utf-8", "keys are UTF-8", "keys are always UTF-8; remove it"),
        ),
        row("encoding_errors", "no effect", kinds.ignored("keys are always UTF-8")),
        row(
            "health_check_interval",
            "no effect",
            kinds.ignored(
                "a broken connection is noticed when it is used, and what certainly "
                "never left is sent again; no PING is needed"
            ),
        ),
        row("retry", "no effect", _REPEATS),
        row("retry_on_timeout", "no effect", _REPEATS),
        row("retry_on_error", "no effect", _REPEATS),
        row(
            "timeout",
            "no effect",
            kinds.ignored("the wait for a free connection is part of DEADLINE"),
        ),
        row("is_master", "by value", _PRIMARY),
        row("check_connection", "no effect", _CHECKED),
        row("queue_class", "no effect", _INNER),
        row("socket_read_size", "no effect", _INNER),
        row("socket_keepalive_options", "no effect", _INNER),
        row("socket_type", "no effect", _INNER),
        row("command_packer", "no effect", _INNER),
        row("legacy_responses", "no effect", _INNER),
        row("event_dispatcher", "no effect", _INNER),
        row("maint_notifications_config", "no effect", _INNER),
        row("single_connection_client", "no effect", _INNER),
        row(
            "lib_name",
            "no effect",
            kinds.ignored("the library that the server sees is Redpony"),
        ),
        row(
            "lib_version",
            "no effect",
            kinds.ignored("the library that the server sees is Redpony"),
        ),
        row(
            "driver_info",
            "no effect",
            kinds.ignored("the library that the server sees is Redpony"),
        ),
        row(
            "redis_connect_func",
            "refused",
            later("a function of your own is not called; use CREDENTIAL_PROVIDER"),
        ),
        row("cache", "refused", later("the near cache comes with a later release")),
        row(
            "cache_config",
            "refused",
            later("the near cache comes with a later release"),
        ),
        row("host", "refused", _IN_LOCATION),
        row("port", "refused", _IN_LOCATION),
        row("path", "refused", _IN_LOCATION),
        row("unix_socket_path", "refused", _IN_LOCATION),
        row("connection_pool", "refused", later("bound the pool with POOL_SIZE")),
    )
