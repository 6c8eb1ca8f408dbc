"""`manage.py redpony doctor` says what is wrong, unwise, and what would change."""

from __future__ import annotations

import ast

import pytest
from django.test import override_settings

from redpony.conf import read_alias
from redpony.locks import Lock
from tests.management.aliases import LOCMEM, djangos, ours, theirs, valkeys
from tests.servers import free_port

FULL = {
    "CLIENT_CLASS": "django_redis.client.DefaultClient",
    "PARSER_CLASS": "redis.connection.HiredisParser",
    "SOCKET_TIMEOUT": 5,
    "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
    "IGNORE_EXCEPTIONS": True,
    "CONNECTION_POOL_KWARGS": {"max_connections": 50, "retry_on_timeout": True},
}


def offline(manage, alias, **settings):
    return manage("doctor", "--offline", caches={"default": alias}, **settings)


def test_every_option_is_listed_with_its_treatment(manage):
    ran = offline(manage, theirs("redis://127.0.0.1/1", OPTIONS=FULL, KEY_PREFIX="x"))
    table = {
        line.split()[-1 if "no effect" not in line else 2]: line.strip()
        for line in ran.lines
        if line.startswith(("  honoured", "  no effect"))
    }
    text = "\n".join(table.values())

    assert ran.code == 0
    for option in (*FULL, "KEY_PREFIX"):
        assert option in text or option == "CONNECTION_POOL_KWARGS"
    assert "as DEADLINE" in text
    assert "as POOL_SIZE" in text
    assert '["retry_on_timeout"]' in text


@pytest.mark.parametrize(
    ("alias", "family", "says"),
    [
        (theirs("redis://127.0.0.1/1"), "django-redis", "redpony.compat.django_redis"),
        (djangos("redis://127.0.0.1/1"), "Django", "for each thread"),
        (valkeys("redis://127.0.0.1/1"), "django-valkey", "Floating-point numbers"),
    ],
)
def test_what_changes_on_moving_over_is_said_by_backend(manage, alias, family, says):
    text = " ".join(offline(manage, alias).text.split())

    assert f'CACHES["default"], served by {family}, 127.0.0.1:6379/1' in text
    assert "clear() removes the keys of this KEY_PREFIX" in text
    assert says in text


def test_the_time_that_an_operation_takes_is_the_projects_own(manage):
    text = offline(manage, theirs("redis://127.0.0.1", OPTIONS=FULL)).text

    assert "An operation takes 5 s at most" in text


def suggested(ran, alias: str):
    """Return the settings that are printed for the first step."""
    start = f'CACHES["{alias}"] = '
    text = ran.text[ran.text.index(start) + len(start) :]
    return ast.literal_eval(text[: text.index("\n         }\n") + 12].strip())


def test_the_suggested_settings_mean_the_same(manage):
    before = theirs(
        "redis://127.0.0.1/1",
        OPTIONS=FULL,
        KEY_PREFIX='a"b',
        TIMEOUT=None,
        VERSION=2,
        KEY_FUNCTION="django.core.cache.backends.base.default_key_func",
    )
    after = suggested(offline(manage, before), "default")

    assert after["BACKEND"] == "redpony.cache.RedisCache"
    old = read_alias("x", before.pop("LOCATION"), without_backend(before))
    new = read_alias("x", after.pop("LOCATION"), without_backend(after))
    assert new.notes == ()
    assert new.link == old.link
    assert (new.on_error, new.timeout, new.version) == ("degrade", None, 2)
    assert (new.key_prefix, new.key_function) == (old.key_prefix, old.key_function)
    assert (new.codec.serializer, new.codec.format) == ("json", "django_redis")


def test_the_suggested_settings_keep_tls_and_breaker_in_their_parts(manage):
    alias = djangos("rediss://127.0.0.1/1", OPTIONS={"ssl_ca_certs": "/etc/hostname"})
    after = suggested(offline(manage, alias), "default")

    assert after["OPTIONS"] == {
        "TLS": {"CA_FILE": "/etc/hostname"},
        "FORMAT": "django",
        "READ_FORMATS": ["django"],
    }


def without_backend(alias):
    return {name: value for name, value in alias.items() if name != "BACKEND"}


def test_the_four_steps_are_printed_in_order(manage):
    text = offline(manage, theirs("redis://127.0.0.1/1")).text
    steps = [
        '"FORMAT": "django_redis"',
        '["READ_FORMATS"] = ["sealed", "django_redis"]',
        '["FORMAT"] = "sealed"',
        'del CACHES["default"]["OPTIONS"]["FORMAT"]',
    ]
    places = [text.index(step) for step in steps]

    assert places == sorted(places)


def test_values_of_herd_client_start_cold(manage):
    alias = theirs(
        "redis://127.0.0.1", OPTIONS={"CLIENT_CLASS": "django_redis.client.HerdClient"}
    )
    text = offline(manage, alias).text

    assert "another KEY_PREFIX" in " ".join(text.split())
    assert "READ_FORMATS" not in text


def test_what_cannot_be_used_is_an_error_and_exit_code_1(manage):
    ran = offline(
        manage,
        theirs(
            ["redis://10.0.0.1", "redis://10.0.0.2"],
            OPTIONS={
                "CLIENT_CLASS": "django_redis.client.ShardClient",
                "SOKET_TIMEOUT": 1,
            },
        ),
    )
    text = " ".join(ran.text.split())

    assert ran.code == 1
    assert "Redis Cluster does it at the server" in text
    assert 'Did you mean "SOCKET_TIMEOUT"?' in text
    assert "2 errors" in text
    assert "one deploy a step" not in text


def test_warnings_alone_are_exit_code_0(manage):
    ran = offline(manage, ours("redis://:secret@example.com/1"))

    assert ran.code == 0
    assert "No errors, 2 warnings." in ran.text


@pytest.mark.parametrize(
    ("alias", "says"),
    [
        (theirs("redis://example.com/1"), "in plain text"),
        (theirs("redis://:secret@127.0.0.1/1"), "LOCATION holds a password"),
        (theirs("redis://example.com/1"), "without a password"),
        (theirs("rediss://h?ssl_cert_reqs=none"), "is not verified"),
        (ours("redis://127.0.0.1", OPTIONS={"FORMAT": "django"}), "without a seal"),
    ],
)
def test_what_is_unwise_is_said(manage, alias, says):
    assert says in " ".join(offline(manage, alias).text.split())


def test_aliases_that_share_a_prefix_are_said_across_backends(manage):
    ran = manage(
        "doctor",
        "--offline",
        caches={"default": ours("redis://h"), "old": theirs("redis://h")},
    )

    assert 'shares its database and KEY_PREFIX (h:6379/0) with "default"' in " ".join(
        ran.text.split()
    )


def test_a_missing_certificate_is_an_error(manage):
    ran = offline(manage, ours("rediss://h", OPTIONS={"TLS": {"CA_FILE": "/no/ca"}}))

    assert ran.code == 1
    assert "CA_FILE: there is no /no/ca" in ran.text


def test_offline_asks_no_server(manage):
    ran = offline(manage, ours(f"redis://127.0.0.1:{free_port()}"))

    assert ran.code == 0
    assert "Server:" not in ran.text


def test_a_server_that_cannot_be_asked_is_an_error(manage):
    alias = ours(f"redis://127.0.0.1:{free_port()}")
    ran = manage("doctor", caches={"default": alias})

    assert ran.code == 1
    assert "The server cannot be asked" in ran.text


def test_the_server_is_described(manage, server):
    ran = manage("doctor", caches={"default": theirs(server.url())})

    assert f"Server: {server.flavour} " in ran.text
    assert ran.code == 0


SESSIONS = {
    "SESSION_ENGINE": "django.contrib.sessions.backends.cache",
    "SESSION_CACHE_ALIAS": "default",
}


def limited(cold_server, policy: str):
    return cold_server(settings=["maxmemory 50mb", f"maxmemory-policy {policy}"])


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_sessions_that_may_be_evicted_are_a_warning(manage, cold_server, policy):
    server = limited(cold_server, policy)
    ran = manage("doctor", caches={"default": ours(server.url())}, **SESSIONS)

    assert "sessions live here: what is evicted is lost" in " ".join(ran.text.split())
    assert ran.code == 0


def test_sessions_of_another_alias_are_not(manage, cold_server):
    server = limited(cold_server, "allkeys-lru")
    settings = {**SESSIONS, "SESSION_CACHE_ALIAS": "sessions"}
    ran = manage("doctor", caches={"default": ours(server.url())}, **settings)

    assert "evict" not in ran.text


LOCKS = {"REDPONY": {"LOCKS": {"ALIAS": "default"}}}


@pytest.mark.parametrize(
    ("policy", "which"),
    [
        ("allkeys-lfu", "any key"),
        ("volatile-ttl", "any key that has a lifetime, as these have,"),
    ],
)
def test_locks_that_may_be_evicted_are_a_warning(manage, cold_server, policy, which):
    server = limited(cold_server, policy)
    ran = manage("doctor", caches={"default": ours(server.url())}, **LOCKS)

    assert (
        f"The server may evict {which} at 52.4 MB (maxmemory-policy {policy}), and "
        "locks live here: what is evicted is lost before its time. Give that data a "
        "server of its own with noeviction. For locks, name its alias in "
        'REDPONY["LOCKS"]["ALIAS"].'
    ) in " ".join(ran.text.split())
    assert ran.code == 0


def test_locks_are_noticed_where_no_setting_tells_of_them(manage, cold_server):
    server = limited(cold_server, "allkeys-lru")
    caches = {"default": ours(server.url()), "cache": ours(server.url(1))}
    with override_settings(CACHES=caches):
        cache_alone = manage("doctor", caches=caches)
        with Lock("job"):
            pass
    told = manage("doctor", "default", caches=caches)
    other = manage("doctor", "cache", caches=caches)

    assert "evict" not in cache_alone.text
    assert "and locks live here" in " ".join(told.text.split())
    assert "evict" not in other.text


def test_a_user_who_may_only_look_is_told_of_servers_alone(manage, cold_server):
    server = cold_server(
        settings=["maxmemory 50mb", "maxmemory-policy allkeys-lru"],
        acl=["user watcher on >pw +ping +info +client +hello +select"],
    )
    location = f"redis://watcher:pw@127.0.0.1:{server.port}"
    ran = manage("doctor", caches={"default": ours(location)})

    assert ran.code == 0
    assert "evict" not in ran.text


def test_locks_of_another_alias_are_not_a_warning(manage, cold_server):
    server = limited(cold_server, "allkeys-lfu")
    caches = {"default": ours(server.url()), "locks": ours("redis://h:1")}
    ran = manage(
        "doctor", "default", caches=caches, REDPONY={"LOCKS": {"ALIAS": "locks"}}
    )

    assert "evict" not in ran.text


def test_looking_for_locks_starts_no_embedded_server(manage, tmp_path):
    caches = {"default": ours(f"embedded://{tmp_path}")}
    ran = manage("doctor", caches=caches, DEBUG=True, **LOCKS)

    assert "not running; it starts with its first use" in ran.text


def test_what_is_wrong_with_the_setting_of_rooms_is_an_error(manage):
    ran = manage(
        "doctor",
        "--offline",
        caches={"default": ours("redis://h")},
        REDPONY={"LOCKS": {"ALIAS": "no"}},
    )

    assert ran.code == 1
    assert ran.lines[:3] == ["REDPONY", "=======", ""]
    assert 'REDPONY["LOCKS"]["ALIAS"]: CACHES has no alias "no".' in ran.text
    assert "1 error, " in ran.text


def test_a_server_without_limit_evicts_nothing(manage, server):
    ran = manage("doctor", caches={"default": ours(server.url())}, **SESSIONS)

    assert "evict" not in ran.text


def test_a_server_that_refuses_writes_when_full_is_a_warning(manage, cold_server):
    server = limited(cold_server, "noeviction")
    ran = manage("doctor", caches={"default": ours(server.url())})

    assert "a full cache then raises" in " ".join(ran.text.split())


def test_an_alias_outside_of_redis_is_not_looked_at(manage):
    ran = manage("doctor", caches={"default": LOCMEM})

    assert ran.code == 0
    assert '"LOCATION": "embedded://"' in ran.text
    assert manage("doctor", "default", caches={"default": LOCMEM}).code == 1


SECRET = "hunter2hunter2hunter2"


@pytest.mark.parametrize(
    "alias",
    [
        theirs(f"redis://:{SECRET}@127.0.0.1/1"),
        theirs(f"redis://{SECRET}@127.0.0.1/1"),
        theirs(f"redis://u:{SECRET}@127.0.0.1:x/1"),
        theirs(f"redis://:{SECRET}@127.0.0.1/1,redis://:{SECRET}@127.0.0.2/1"),
        theirs([f"redis://:{SECRET}@127.0.0.1/1", f"redis://:{SECRET}@127.0.0.2"]),
        theirs(f"redis://127.0.0.1/1?password={SECRET}"),
        theirs("redis://127.0.0.1/1", OPTIONS={"PASSWORD": SECRET}),
        theirs("redis://127.0.0.1/1", OPTIONS={"PASSWORD": [SECRET]}),
        theirs(
            "redis://127.0.0.1/1",
            OPTIONS={"CONNECTION_POOL_KWARGS": {"password": SECRET}},
        ),
        theirs(
            "redis://127.0.0.1/1", OPTIONS={"SENTINEL_KWARGS": {"password": SECRET}}
        ),
        djangos("rediss://127.0.0.1/1", OPTIONS={"ssl_password": SECRET}),
        djangos("redis://127.0.0.1/1", OPTIONS={"pasword": SECRET}),
        ours("redis://127.0.0.1/1", OPTIONS={"SEAL_KEYS": [SECRET]}),
        ours("redis://127.0.0.1/1", OPTIONS={"SEAL_KEYS": SECRET}),
        ours("rediss://127.0.0.1/1", OPTIONS={"TLS": {"KEY_PASSWORD": SECRET}}),
    ],
)
def test_no_command_prints_a_secret(manage, alias):
    for words in (["doctor", "--offline"], ["doctor"], ["status"]):
        ran = manage(*words, caches={"default": alias}, SECRET_KEY=SECRET)
        assert ran.text
        assert SECRET not in ran.text
