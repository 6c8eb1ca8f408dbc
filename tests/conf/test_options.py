"""Options of Redpony, django-redis, django-valkey and Django come to one config."""

from __future__ import annotations

import ssl

import pytest
from django.test import override_settings

from redpony.conf import AliasConfig, Misconfigured, read_alias
from redpony.conf.table import TABLE, Option
from redpony.wire.config import Secret, Tls


def read(options=None, location="redis://h", **params) -> AliasConfig:
    return read_alias("main", location, {**params, "OPTIONS": options or {}})


def value_of(config: AliasConfig, field: str):
    part, _, name = field.partition(".")
    sentinels = getattr(config.topology, "sentinels", None)
    holders = {
        "link": config.link,
        "tls": config.link.tls,
        "codec": config.codec,
        "topology": config.topology,
        "sentinel": sentinels and sentinels[0],
    }
    return getattr(holders.get(part, config), name)


class Provider:
    def get_credentials(self):
        return ("me", "secret")


class OwnSerializer:
    def __init__(self, options):
        self.options = options

    def dumps(self, value):
        return repr(value).encode()

    def loads(self, data):
        return data


class OwnCompressor:
    def compress(self, data):
        return data

    def decompress(self, data):
        return data


def own_key(key, prefix, version):
    return f"{prefix}/{version}/{key}"


def own_reverse(key):
    return key.rsplit("/", 1)[1]


def own_remap(host, port):
    return "gateway", port


PROVIDER = Provider()
HERE = __name__

# name -> (given, field, becomes); the place is the row's.
HONOURED = {
    "TIMEOUT": (60, "alias.timeout", 60),
    "timeout": (0.5, "alias.timeout", 0.5),
    "VERSION": (2, "alias.version", 2),
    "KEY_PREFIX": ("shop", "alias.key_prefix", "shop"),
    "KEY_FUNCTION": (own_key, "alias.key_function", own_key),
    "REVERSE_KEY_FUNCTION": (own_reverse, "alias.reverse_key_function", own_reverse),
    "DEADLINE": (0.1, "link.deadline", 0.1),
    "CONNECT_TIMEOUT": (1, "link.connect_timeout", 1.0),
    "POOL_SIZE": (5, "link.pool_size", 5),
    "RETRIES": (0, "link.retries", 0),
    "ON_ERROR": ("degrade", "alias.on_error", "degrade"),
    "FORMAT": ("django_redis", "codec.format", "django_redis"),
    "READ_FORMATS": (
        ["sealed", "django"],
        "codec.read_formats",
        ("sealed", "django"),
    ),
    "SERIALIZER": ("json", "codec.serializer", "json"),
    "COMPRESSOR": ("zlib", "codec.compressor", "zlib"),
    "COMPRESS_MIN_BYTES": (10, "codec.compress_min_bytes", 10),
    "COMPRESS_LEVEL": (3, "codec.compress_level", 3),
    "MAX_VALUE_BYTES": (1000, "codec.max_value_bytes", 1000),
    "SEAL_KEYS": (["k" * 16, b"l" * 16], "codec.seal_keys", (b"k" * 16, b"l" * 16)),
    "SEAL_ALGORITHM": ("hmac-sha256", "codec.algorithm", "hmac-sha256"),
    "SCOPE": ("here", "codec.scope", "here"),
    "CLEAR": ("flushdb", "alias.clear", "flushdb"),
    "SCAN_PAGE": (10, "alias.scan_page", 10),
    "PASSWORD": ("secret", "link.password", Secret("secret")),
    "CREDENTIAL_PROVIDER": (PROVIDER, "link.credential_provider", PROVIDER),
    "DB": (3, "link.db", 3),
    "PROTOCOL": (2, "link.protocol", 2),
    "CLIENT_NAME": ("web", "link.client_name", "web"),
    "KEEPALIVE": (False, "link.keepalive", False),
    "READ_FROM": ("replica", "topology.read_from", "replica"),
    "READ_YOUR_WRITES": (0, "topology.read_your_writes", 0.0),
    "ADDRESS_REMAP": (own_remap, "topology.remap", own_remap),
    "TOPOLOGY_REFRESH": (10, "topology.refresh", 10.0),
    "SENTINEL_PASSWORD": ("secret", "sentinel.password", Secret("secret")),
    "SENTINEL_TLS": (True, "sentinel.tls", Tls()),
    "VERIFY": (False, "tls.verify", False),
    "CHECK_HOSTNAME": (False, "tls.check_hostname", False),
    "CA_FILE": ("/ca", "tls.ca_file", "/ca"),
    "CA_PATH": ("/cas", "tls.ca_path", "/cas"),
    "CA_DATA": ("-----BEGIN", "tls.ca_data", "-----BEGIN"),
    "CERT_FILE": ("/cert", "tls.cert_file", "/cert"),
    "KEY_PASSWORD": ("secret", "tls.key_password", Secret("secret")),
    "SERVER_NAME": ("redis.test", "tls.server_name", "redis.test"),
    "CIPHERS": ("HIGH", "tls.ciphers", "HIGH"),
    "FAILURES": (9, "link.breaker_failures", 9),
    "COOLDOWN": (0.2, "link.breaker_cooldown", 0.2),
    "PICKLE_VERSION": (4, "codec.pickle_protocol", 4),
    "SENTINEL_KWARGS": ({"socket_timeout": 3}, "sentinel.deadline", 3.0),
    "SOCKET_TIMEOUT": (5, "link.deadline", 5.0),
    "SOCKET_CONNECT_TIMEOUT": (2, "link.connect_timeout", 2.0),
    "CONNECTION_POOL_KWARGS": ({"max_connections": 50}, "link.pool_size", 50),
    "REDIS_CLIENT_KWARGS": ({"client_name": "web"}, "link.client_name", "web"),
    "BASE_CLIENT_KWARGS": ({"client_name": "web"}, "link.client_name", "web"),
    "BREAKER": ({"FAILURES": 7}, "link.breaker_failures", 7),
    "TLS": ({"VERIFY": False}, "tls.verify", False),
    "IGNORE_EXCEPTIONS": (True, "alias.on_error", "degrade"),
    "LOG_IGNORED_EXCEPTIONS": (False, "alias.log_degraded", False),
    "LOG_IGNORE_EXCEPTIONS": (False, "alias.log_degraded", False),
    "db": (3, "link.db", 3),
    "password": ("secret", "link.password", Secret("secret")),
    "credential_provider": (PROVIDER, "link.credential_provider", PROVIDER),
    "socket_timeout": (5, "link.deadline", 5.0),
    "socket_connect_timeout": (2, "link.connect_timeout", 2.0),
    "max_connections": (50, "link.pool_size", 50),
    "socket_keepalive": (False, "link.keepalive", False),
    "client_name": ("web", "link.client_name", "web"),
    "protocol": (2, "link.protocol", 2),
    "serializer": (
        "django.core.cache.backends.redis.RedisSerializer",
        "codec.serializer",
        "pickle",
    ),
    "ssl_cert_reqs": (None, "tls.verify", False),
    "ssl_check_hostname": (False, "tls.check_hostname", False),
    "ssl_ca_certs": ("/ca", "tls.ca_file", "/ca"),
    "ssl_ca_path": ("/cas", "tls.ca_path", "/cas"),
    "ssl_ca_data": ("-----BEGIN", "tls.ca_data", "-----BEGIN"),
    "ssl_certfile": ("/cert", "tls.cert_file", "/cert"),
    "ssl_password": ("secret", "tls.key_password", Secret("secret")),
    "ssl_ciphers": ("HIGH", "tls.ciphers", "HIGH"),
    "DJANGO_REDIS_IGNORE_EXCEPTIONS": (True, "alias.on_error", "degrade"),
    "DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS": (False, "alias.log_degraded", False),
    "DJANGO_REDIS_LOGGER": ("shop.cache", "alias.logger", "shop.cache"),
    "DJANGO_REDIS_SCAN_ITERSIZE": (50, "alias.scan_page", 50),
    "DJANGO_VALKEY_IGNORE_EXCEPTIONS": (True, "alias.on_error", "degrade"),
    "DJANGO_VALKEY_LOG_IGNORED_EXCEPTIONS": (False, "alias.log_degraded", False),
    "DJANGO_VALKEY_LOGGER": ("shop.cache", "alias.logger", "shop.cache"),
    "DJANGO_VALKEY_SCAN_ITERSIZE": (50, "alias.scan_page", 50),
    "CACHE_COMPRESS_MIN_LENGTH": (10, "codec.compress_min_bytes", 10),
    "CACHE_COMPRESS_LEVEL": (3, "codec.compress_level", 3),
}

# These need company, and have tests of their own below.
IN_COMPANY = {
    "USERNAME",
    "username",
    "KEY_FILE",
    "ssl_keyfile",
    "SENTINELS",
    "SENTINEL_USERNAME",
}
SENTINEL = "redis+sentinel://h/main"


def given(name: str, value, row: Option | None = None) -> AliasConfig:
    """Read an alias that has this option in its place, and what it needs beside."""
    row = row or next(each for each in TABLE if each.name == name)
    location = "redis://h"
    if row.sets.startswith(("topology", "sentinel")):
        location = SENTINEL
    elif "tls" in row.sets or name == "TLS":
        location = "rediss://h"
    options: dict = {"COMPRESSOR": "zlib"} if "LEVEL" in name else {}
    match row.place:
        case "alias":
            return read(options, location, **{name: value})
        case "tls" | "breaker":
            return read({**options, row.place.upper(): {name: value}}, location)
        case "settings":
            with override_settings(**{name: value}):
                return read(options, location)
    return read({**options, name: value}, location)


def test_every_honoured_option_is_tried_here():
    rows = {each.name for each in TABLE if each.does == "honoured"}

    assert rows == HONOURED.keys() | IN_COMPANY


@pytest.mark.parametrize("name", HONOURED)
def test_an_honoured_option_does_what_it_says(name):
    value, field, becomes = HONOURED[name]
    config = given(name, value)

    assert value_of(config, field) == becomes
    assert config.notes == ()


@pytest.mark.parametrize("name", HONOURED)
def test_an_honoured_option_differs_from_the_default(name):
    _, field, becomes = HONOURED[name]
    topological = field.startswith(("topology", "sentinel"))
    plain = read(location=SENTINEL if topological else "rediss://h")

    assert value_of(plain, field) != becomes or name == "serializer"


def test_a_user_stands_beside_a_password():
    link = read({"USERNAME": "me", "PASSWORD": "secret"}).link

    assert (link.username, link.password) == ("me", Secret("secret"))
    assert read({"username": "me", "password": "secret"}).link == link


def test_a_key_stands_beside_a_certificate():
    options = {"ssl_certfile": "/cert", "ssl_keyfile": "/key"}
    ours = {"TLS": {"CERT_FILE": "/cert", "KEY_FILE": "/key"}}
    expected = Tls(cert_file="/cert", key_file="/key")

    assert read(options, "rediss://h").link.tls == expected
    assert read(ours, "rediss://h").link.tls == expected


def test_the_defaults_are_those_of_the_documentation():
    config = read(location="redis://h")
    link, codec = config.link, config.codec

    assert (link.deadline, link.connect_timeout, link.pool_size) == (0.25, 0.5, 20)
    assert (link.db, link.tls, link.password, link.protocol) == (0, None, None, 3)
    assert (codec.format, codec.read_formats) == ("sealed", ("sealed",))
    assert (codec.serializer, codec.compressor) == ("pickle", "none")
    assert (config.on_error, config.clear, config.timeout) == ("raise", "scan", 300)
    assert (config.key_prefix, config.version, config.scan_page) == ("", 1, 1000)
    assert config.topology is None


WITHOUT_EFFECT = {
    "max_entries": 10,
    "cull_frequency": 3,
    "PARSER_CLASS": "redis.connection.HiredisParser",
    "PARSER_CLS": "valkey.asyncio.connection.HiredisParser",
    "REPLICA_READ_ONLY": False,
    "CLOSE_CONNECTION": True,
    "MAX_ENTRIES": 10,
    "CULL_FREQUENCY": 3,
    "CLIENT_CLASS": "django_redis.client.DefaultClient",
    "CONNECTION_POOL_CLASS": "redis.BlockingConnectionPool",
    "REDIS_CLIENT_CLASS": "redis.client.StrictRedis",
    "BASE_CLIENT_CLASS": "valkey.client.Valkey",
    "CONNECTION_FACTORY": "django_redis.pool.ConnectionFactory",
    "ssl_min_version": ssl.TLSVersion.TLSv1_2,
    "ssl_validate_ocsp": False,
    "ssl_validate_ocsp_stapled": False,
    "ssl_ocsp_context": None,
    "ssl_ocsp_expected_cert": None,
    "ssl_include_verify_flags": None,
    "ssl_exclude_verify_flags": None,
    "ssl": False,
    "pool_class": "redis.connection.ConnectionPool",
    "parser_class": "redis.connection.PythonParser",
    "connection_class": "redis.connection.Connection",
    "decode_responses": False,
    "encoding": "utf-8",
    "is_master": True,
    "DJANGO_REDIS_CONNECTION_FACTORY": "django_redis.pool.ConnectionFactory",
    "DJANGO_VALKEY_CONNECTION_FACTORY": "django_valkey.pool.ConnectionFactory",
}


def test_every_option_without_effect_is_tried_here():
    rows = {each.name for each in TABLE if each.does == "by value"}

    assert rows <= WITHOUT_EFFECT.keys()


@pytest.mark.parametrize(
    "row",
    [each for each in TABLE if each.does in ("no effect", "by value")],
    ids=lambda row: row.name,
)
def test_an_option_without_effect_changes_nothing_and_says_why(row):
    config = given(row.name, WITHOUT_EFFECT.get(row.name, 1), row)
    (note,) = config.notes

    assert row.name in note.option
    assert len(note.reason.split()) > 1
    assert config.link == read().link
    assert config.codec == read().codec


REFUSED = {
    "CLIENT_CLASS": (
        ("django_redis.client.ShardClient", "Redis Cluster does it at the server"),
        ("django_redis.client.sharded.ShardClient", "Redis Cluster"),
        ("django_redis.client.SentinelClient", "needs SENTINELS"),
        (
            "django_valkey.cluster_cache.client.DefaultClusterClient",
            "write redis+cluster://",
        ),
        ("django_redis.client.DefautClient", 'Did you mean "DefaultClient"'),
        ("shop.cache.Client", "a subclass of redpony.cache.RedisCache"),
    ),
    "CONNECTION_POOL_CLASS": (
        ("redis.sentinel.SentinelConnectionPool", "needs SENTINELS"),
        ("redis.cluster.ClusterConnectionPool", "write redis+cluster://"),
        ("shop.cache.Pool", "POOL_SIZE"),
    ),
    "pool_class": (("shop.cache.Pool", "POOL_SIZE"),),
    "REDIS_CLIENT_CLASS": (
        ("redis.cluster.RedisCluster", "write redis+cluster://"),
        ("redis.sentinel.Sentinel", "needs SENTINELS"),
        ("fakeredis.FakeRedis", "embedded://"),
    ),
    "BASE_CLIENT_CLASS": (("valkey.cluster.ValkeyCluster", "write redis+cluster://"),),
    "CONNECTION_FACTORY": (
        ("django_redis.pool.SentinelConnectionFactory", "needs SENTINELS"),
        ("shop.cache.Factory", "LOCATION and OPTIONS"),
    ),
    "DJANGO_REDIS_CONNECTION_FACTORY": (
        ("shop.cache.Factory", "LOCATION and OPTIONS"),
    ),
    "DJANGO_VALKEY_CONNECTION_FACTORY": (
        ("shop.cache.Factory", "LOCATION and OPTIONS"),
    ),
    "connection_class": (
        ("redis.SSLConnection", "rediss://"),
        ("redis.UnixDomainSocketConnection", "unix://"),
        ("redis.sentinel.SentinelManagedConnection", "needs SENTINELS"),
        ("redis.sentinel.SentinelManagedSSLConnection", "SENTINEL_TLS"),
        ("shop.Connection", "LOCATION and OPTIONS"),
    ),
    "ssl": ((True, "rediss://"),),
    "ssl_min_version": ((ssl.TLSVersion.TLSv1_3, "demand 1.3 at the server"),),
    "ssl_validate_ocsp": ((True, "OCSP is not offered"),),
    "ssl_validate_ocsp_stapled": ((True, "OCSP is not offered"),),
    "ssl_ocsp_context": ((object(), "use TLS"),),
    "ssl_ocsp_expected_cert": ((b"x", "use TLS"),),
    "ssl_include_verify_flags": (([1], "use TLS"),),
    "ssl_exclude_verify_flags": (([1], "use TLS"),),
    "decode_responses": ((True, "decoded by the serializer"),),
    "encoding": (("latin-1", "UTF-8"),),
    "NEAR": (({"MAX_ENTRIES": 1}, "later release"),),
    "is_master": ((False, 'write READ_FROM: "replica"'),),
    "redis_connect_func": ((print, "CREDENTIAL_PROVIDER"),),
    "cache": ((object(), "later release"),),
    "cache_config": ((object(), "later release"),),
    "host": (("h", "LOCATION"),),
    "port": ((6379, "LOCATION"),),
    "path": (("/s", "LOCATION"),),
    "unix_socket_path": (("/s", "LOCATION"),),
    "connection_pool": ((object(), "POOL_SIZE"),),
}


def test_every_refused_option_is_tried_here():
    rows = {each.name for each in TABLE if each.does in ("refused", "by value")}

    assert rows == REFUSED.keys()


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [(name, *case) for name, cases in REFUSED.items() for case in cases],
)
def test_a_refused_option_says_what_to_do_instead(name, value, remedy):
    with pytest.raises(Misconfigured) as caught:
        given(name, value)

    assert name in str(caught.value)
    assert remedy in str(caught.value)
    assert [each.kind for each in caught.value.problems] == ["refused"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("django_redis.serializers.pickle.PickleSerializer", "pickle"),
        ("django_redis.serializers.json.JSONSerializer", "json"),
        ("django_redis.serializers.msgpack.MSGPackSerializer", "msgpack"),
        ("django_valkey.serializers.msgspec.MsgSpecJsonSerializer", "msgspec_json"),
        (
            "django_valkey.serializers.msgspec.MsgSpecMsgPackSerializer",
            "msgspec_msgpack",
        ),
        (f"{HERE}.OwnSerializer", f"{HERE}.OwnSerializer"),
        (OwnSerializer, f"{HERE}.OwnSerializer"),
    ],
)
def test_a_serializer_is_known_by_its_path(path, name):
    assert read({"SERIALIZER": path}).codec.serializer == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("django_redis.compressors.identity.IdentityCompressor", "none"),
        ("django_redis.compressors.zlib.ZlibCompressor", "zlib"),
        ("django_redis.compressors.gzip.GzipCompressor", "gzip"),
        ("django_redis.compressors.lzma.LzmaCompressor", "lzma"),
        ("django_redis.compressors.lz4.Lz4Compressor", "lz4"),
        ("django_redis.compressors.zstd.ZStdCompressor", "zstd"),
        ("django_valkey.compressors.brotli.BrotliCompressor", "brotli"),
        (f"{HERE}.OwnCompressor", f"{HERE}.OwnCompressor"),
    ],
)
def test_a_compressor_is_known_by_its_path(path, name):
    assert read({"COMPRESSOR": path}).codec.compressor == name


def test_a_compressor_that_is_not_offered_names_others():
    with pytest.raises(Misconfigured, match='write "lzma"'):
        read({"COMPRESSOR": "django_valkey.compressors.bz2.Bz2Compressor"})


def test_a_class_of_ones_own_gets_the_options():
    options = {"SERIALIZER": f"{HERE}.OwnSerializer", "COMPRESS_LEVEL": 3}

    assert read(options).codec.options == options


def test_options_are_kept_from_serializers_of_ours():
    assert read({"PASSWORD": "secret"}).codec.options == {}


def test_functions_may_be_dotted_paths():
    config = read(
        KEY_FUNCTION=f"{HERE}.own_key", REVERSE_KEY_FUNCTION=f"{HERE}.own_reverse"
    )

    assert config.key_function is own_key
    assert config.reverse_key_function is own_reverse


def test_a_credential_provider_may_be_a_dotted_path():
    link = read({"CREDENTIAL_PROVIDER": f"{HERE}.Provider"}).link

    assert isinstance(link.credential_provider, Provider)


def test_herd_values_cannot_be_shared():
    options = {
        "CLIENT_CLASS": "django_redis.client.HerdClient",
        "READ_FORMATS": ["sealed", "django_redis"],
    }
    with pytest.raises(Misconfigured, match="another KEY_PREFIX"):
        read(options)


def test_a_herd_client_alone_is_accepted():
    config = read({"CLIENT_CLASS": "django_redis.client.HerdClient"})

    assert "stampedes" in str(config.notes[0])


def test_sealing_takes_the_projects_keys():
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old", "older"]):
        assert read().codec.seal_keys == (b"new", b"old", b"older")


def test_the_scope_is_the_prefix():
    assert read(KEY_PREFIX="shop").codec.scope == "shop"


def test_a_lower_rank_gives_way_and_says_so():
    config = read({"DEADLINE": 0.1, "SOCKET_TIMEOUT": 5})

    assert config.link.deadline == 0.1
    assert [str(each) for each in config.notes] == [
        'OPTIONS["SOCKET_TIMEOUT"]: OPTIONS["DEADLINE"] says otherwise'
    ]


def test_what_stands_in_the_url_wins():
    config = read({"PASSWORD": "one", "DB": 1}, "redis://:two@h/2?socket_timeout=3")

    assert (config.link.password, config.link.db) == (Secret("two"), 2)
    assert config.link.deadline == 3
    assert [each.option for each in config.notes] == [
        'OPTIONS["DB"]',
        'OPTIONS["PASSWORD"]',
    ]


def test_arguments_of_the_pool_win_over_options_as_in_django_redis():
    config = read(
        {"SOCKET_TIMEOUT": 5, "CONNECTION_POOL_KWARGS": {"socket_timeout": 3}}
    )

    assert config.link.deadline == 3


def test_settings_of_the_project_give_way():
    with override_settings(DJANGO_REDIS_IGNORE_EXCEPTIONS=True):
        assert read({"IGNORE_EXCEPTIONS": False}).on_error == "raise"


def test_saying_the_same_twice_is_no_fault():
    assert read({"DEADLINE": 5, "SOCKET_TIMEOUT": 5.0}).notes == ()


def test_two_names_of_one_rank_that_differ_are_a_fault():
    with pytest.raises(Misconfigured, match="says something else than"):
        read({"SOCKET_TIMEOUT": 5, "socket_timeout": 3})


def test_a_time_out_that_would_wait_for_ever_changes_nothing():
    config = read({"SOCKET_TIMEOUT": None})

    assert config.link.deadline == 0.25
    assert "for ever" in str(config.notes[0])


def test_numbers_as_text_count_where_django_takes_them():
    config = read(TIMEOUT="60", VERSION="2")

    assert (config.timeout, config.version) == (60, 2)


def test_not_verifying_leaves_the_name_unchecked_too():
    tls = read({"TLS": {"VERIFY": False}}, "rediss://h").link.tls

    assert tls == Tls(verify=False, check_hostname=False)


def test_all_faults_are_told_at_once():
    with pytest.raises(Misconfigured) as caught:
        read({"DEADLIN": 1, "POOL_SIZE": 0}, "redis://h:x", TIMEOUT="soon")

    assert [each.kind for each in caught.value.problems] == [
        "value",
        "unknown",
        "value",
        "location",
    ]


def test_a_configuration_never_shows_a_secret():
    config = read({"PASSWORD": "hunter2", "SEAL_KEYS": ["hunter2" * 3]}, "redis://h")

    assert "hunter2" not in repr(config)
