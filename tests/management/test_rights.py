"""The rights that are granted: none is missing, and none is superfluous."""

from __future__ import annotations

import ast
import contextlib
import itertools
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import redis
from django.core.cache import CacheKeyWarning
from django.test import override_settings
from redis.exceptions import NoPermissionError

import redpony
from redpony import commands
from redpony.cache import RedisCache
from redpony.conf import alias_config
from redpony.errors import NoPermission
from redpony.management.rights import (
    CLUSTER_SCRIPTS,
    LAYER_SCRIPTS,
    LOCK_SCRIPTS,
    SCRIPTS,
    acl_rules,
    called_by,
    key_pattern,
    sent_by,
    user_for,
)
from redpony.wire.config import LinkConfig, Secret, Tcp
from redpony.wire.handshake import Features, handshake
from tests.management.aliases import ours
from tests.management.guard import SECRET, VERSIONS, exercise, raw, refused

SOURCE = Path(redpony.__file__).parent


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, set()),
        ({"db": 3}, {"select"}),
        ({"CLIENT_NAME": "shop"}, {"client|setname"}),
        ({"CLEAR": "flushdb"}, {"flushdb"}),
        ({"protocol": 2}, {"info", "role"}),
    ],
    ids=["plain", "db", "name", "flushdb", "resp2"],
)
def test_what_is_granted_is_what_the_cache_sends(
    cache_of, guarded, both, options, expected
):
    options = dict(options)
    if "protocol" in options:
        options["CONNECTION_POOL_KWARGS"] = {"protocol": options.pop("protocol")}
    target = cache_of(**options)
    guarded.ask("SCRIPT", "FLUSH")
    with Watching(guarded) as sent:
        exercise(both(target))

    granted = set(
        user_for([target.alias.config], server=VERSIONS[guarded.flavour]).commands
    )
    assert refused(guarded) == set()
    assert granted == sent - {"hello", "auth"}
    assert expected <= granted


class Watching:
    """Collects the names of the commands that everybody but the harness sends."""

    def __init__(self, server) -> None:
        self.server = server
        self.sent: set[str] = set()

    def __enter__(self) -> set[str]:
        self.server.ask("CONFIG", "RESETSTAT")
        return self.sent

    def __exit__(self, *exc) -> None:
        stats = self.server.ask("INFO", "commandstats")
        self.sent |= {
            name.removeprefix("cmdstat_")
            for name, each in stats.items()
            if each["calls"]
        } - {"config|resetstat"}
        # The harness says who it is.
        self.sent.discard("auth")


def test_a_right_that_is_taken_away_is_missed_and_named(cache_of, guarded, both):
    target = cache_of()
    cache = both(target)
    cache.set("key", 1)
    guarded.ask("ACL", "SETUSER", "app", "-get")
    with pytest.raises(NoPermission) as caught:
        cache.get("key")

    said = "\n".join((str(caught.value), *caught.value.__notes__))
    assert "'get'" in said
    assert "'app'" in said
    assert 'CACHES["default"]' in said
    assert "manage.py redpony acl" in said
    assert SECRET not in said


def test_a_key_that_may_not_be_touched_is_told_with_operation_and_user(
    cache_of, guarded, both
):
    target = cache_of(KEY_PREFIX="shop")
    guarded.ask("ACL", "SETUSER", "app", "resetkeys", "~other:*")
    with pytest.raises(NoPermission) as caught:
        both(target).get("key")

    said = "\n".join((str(caught.value), *caught.value.__notes__))
    assert "get()" in said
    assert "'app'" in said
    assert "manage.py redpony acl" in said
    assert SECRET not in said


def test_what_is_not_listed_is_refused(cache_of, guarded):
    cache_of(KEY_PREFIX="shop")
    client = raw(guarded)
    client.set("shop:1:key", "1")
    for words in (
        ["FLUSHALL"],
        ["FLUSHDB"],
        ["KEYS", "*"],
        ["CONFIG", "SET", "maxmemory", "1"],
        ["CONFIG", "GET", "*"],
        ["ACL", "LIST"],
        ["SCRIPT", "FLUSH"],
        ["DEBUG", "SLEEP", "0"],
        ["CLIENT", "KILL", "TYPE", "normal"],
        ["REPLICAOF", "NO", "ONE"],
        ["SUBSCRIBE", "news"],
        ["PUBLISH", "news", "1"],
        ["MONITOR"],
        ["SHUTDOWN", "NOSAVE"],
        ["GET", "other:1:key"],
        ["GET", "shopping:1:key"],
        ["SET", "shop", "1"],
        ["EVAL", "return redis.call('GET', 'other:1:key')", "0"],
        ["EVAL", "return redis.call('FLUSHALL')", "0"],
    ):
        with pytest.raises(redis.ResponseError) as caught:
            client.execute_command(*words)
        said = str(caught.value).lower()
        assert "permission" in said or "can't" in said, words
    assert client.get("shop:1:key") == b"1"
    client.close()


def test_valkey_keeps_a_user_to_the_databases_of_his_aliases(
    cache_of, guarded, request
):
    if guarded.flavour != "valkey":
        rules = acl_rules(cache_of(db=3).alias.config, server=VERSIONS["redis"])
        assert not [rule for rule in rules if rule.startswith("db=")]
        return
    cache = cache_of(db=3)
    cache.set("key", 1)
    client = raw(guarded)
    with pytest.raises(redis.ResponseError):
        client.get(":1:key")
    client.execute_command("SELECT", 3)
    with pytest.raises(redis.ResponseError):
        client.execute_command("SELECT", 4)
    client.close()


# -- the list is held against the code -------------------------------------------


def names_in(folder: str):
    for path in sorted((SOURCE / folder).rglob("*.py")):
        yield path, ast.parse(path.read_text())


def test_a_room_reaches_commands_only_by_importing_their_kinds():
    kinds = {
        name
        for name, value in vars(commands).items()
        if isinstance(value, commands.Kind)
    }
    imported: set[str] = set()
    for path, tree in names_in("cache"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "redpony.commands":
                imported |= {each.name for each in node.names} & kinds
            elif isinstance(node, ast.Import):
                assert "redpony.commands" not in {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "redpony":
                assert "commands" not in {each.name for each in node.names}, path
            elif isinstance(node, ast.Call):
                assert getattr(node.func, "id", "") != "Kind", path

    assert imported == {each.name.replace(" ", "_") for each in sent_by(RedisCache)}


def test_the_scripts_are_those_that_the_cache_calls():
    called = {
        node.args[0].value
        for _, tree in names_in("cache")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "script"
    }
    assert called == {*SCRIPTS, *CLUSTER_SCRIPTS}
    assert called_by(*SCRIPTS) == {"exists", "incrby", "rename"}
    assert called_by(*CLUSTER_SCRIPTS) == {"dump", "pttl", "unlink"}


def test_no_script_calls_in_a_way_that_goes_unnoticed():
    for path in (SOURCE / "scripts/lua").glob("*.lua"):
        code = re.sub(r"--.*", "", path.read_text())
        ways = len(re.findall(r"redis\s*\.\s*p?call", code))
        assert ways == len(re.findall(r"redis\.call\('\w+'", code)), path


def test_the_locks_rights_are_what_its_scripts_call():
    scripts = (SOURCE / "scripts/lua").glob("*_*.lua")
    names = {path.stem for path in scripts if not path.stem.startswith("_")}
    names -= set(LAYER_SCRIPTS)
    assert set(LOCK_SCRIPTS) == names
    caches = {"default": ours("redis://127.0.0.1")}
    with override_settings(CACHES=caches):
        user = user_for([alias_config("default")])
    (lock,) = [each for each in user.grants if each.reason == "locks"]

    assert set(lock.commands) == called_by(*names) | {
        "get",
        "zscore",
        "blpop",
        "wait",
        "eval",
        "evalsha",
    }


@pytest.mark.parametrize("sharded", ["", "s"])
def test_channel_layers_are_granted_what_they_need_where_there_are_some(sharded):
    scripts = {each.stem for each in (SOURCE / "scripts/lua").glob("layer_*.lua")}
    assert set(LAYER_SCRIPTS) == scripts
    place = "redis+cluster://127.0.0.1:7000" if sharded else "redis://127.0.0.1"
    caches = {"default": ours("redis://127.0.0.1"), "layers": ours(place)}
    backend = "redpony.contrib.channels.RedisChannelLayer"
    layers = {"default": {"BACKEND": backend, "CONFIG": {"using": "layers"}}}
    with override_settings(CACHES=caches, CHANNEL_LAYERS=layers):
        without = user_for([alias_config("default")])
        user = user_for([alias_config("layers")])
    assert without.channels == ()
    assert "channel layers" not in {each.reason for each in without.grants}
    assert user.channels == ("redpony{*",)
    (grant,) = [each for each in user.grants if each.reason == "channel layers"]
    said = {f"{sharded}{each}" for each in ("publish", "subscribe", "unsubscribe")}
    others = {"xdel", "zrem", "ping", "scan", "unlink", "eval", "evalsha"}
    assert set(grant.commands) == said | others | (
        called_by(*scripts) - {"publish", "spublish"}
    )


@pytest.mark.parametrize(
    ("db", "name", "protocol", "password"),
    list(itertools.product((0, 2), (None, "shop"), (2, 3), (None, SECRET))),
)
def test_the_introduction_needs_no_more_than_is_granted(db, name, protocol, password):
    with override_settings(CACHES={"default": ours("redis://127.0.0.1")}):
        config = alias_config("default")
    link = LinkConfig(
        Tcp("127.0.0.1", 1),
        db=db,
        client_name=name,
        protocol=protocol,
        username="app" if password else None,
        password=Secret(password) if password else None,
    )
    modern = Features("valkey", (9, 1))
    granted = set(user_for([replace(config, link=link)], server=modern).commands)
    without = set(user_for([config]).commands) | {"hello", "auth"}
    flight = next(handshake(link, ("app", SECRET) if password else ()))
    said = {words[0].lower() for words in flight}
    subcommands = {
        f"client|{words[1].lower()}" for words in flight if words[0] == "CLIENT"
    }

    assert said - {"client"} - without <= granted
    assert subcommands <= granted
    superfluous = granted - without - said - subcommands - {"msetex", "delifeq"}
    assert superfluous == set()


# -- keys ------------------------------------------------------------------------


def flat(key, prefix, version):
    return f"{prefix}/v{version}/{key}"


def numbered(key, prefix, version):
    return f"{prefix}:{int(version):03}:{key}"


def hashed(key, prefix, version):
    return sha256(key.encode()).hexdigest()


def shouting(key, prefix, version):
    return f"{prefix}:{version}:{key}".upper()


def spaced(key, prefix, version):
    return f"{prefix} {version} {key}"


@pytest.mark.parametrize(
    ("params", "pattern"),
    [
        ({}, ":*"),
        ({"KEY_PREFIX": "my-shop"}, "my-shop:*"),
        ({"KEY_PREFIX": "a*b[c]?"}, r"a\*b\[c]\?:*"),
        ({"KEY_PREFIX": "two words"}, "two?words:*"),
        ({"KEY_PREFIX": "shop", "KEY_FUNCTION": flat}, "shop/v*/*"),
        ({"KEY_PREFIX": "shop", "KEY_FUNCTION": spaced}, "shop?*?*"),
        ({"KEY_PREFIX": "shop", "KEY_FUNCTION": numbered}, "*"),
        ({"KEY_PREFIX": "shop", "KEY_FUNCTION": hashed}, "*"),
        ({"KEY_PREFIX": "shop", "KEY_FUNCTION": shouting}, "SHOP:*:*"),
    ],
    ids=[
        "none",
        "prefix",
        "glob",
        "space",
        "flat",
        "spaced",
        "numbered",
        "hash",
        "upper",
    ],
)
def test_keys_are_those_of_the_alias(guarded, cache_of, params, pattern):
    cache = cache_of(**params)
    assert key_pattern(cache.alias.config) == pattern
    odd = " " in cache.make_key("key")
    with pytest.warns(CacheKeyWarning) if odd else contextlib.nullcontext():
        cache.set("key", "value")
        assert cache.get("key") == "value"
    client = raw(guarded)
    if pattern != "*":
        with pytest.raises(NoPermissionError):
            client.get("elsewhere:1:key")
    client.close()
