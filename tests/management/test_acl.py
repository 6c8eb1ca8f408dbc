"""`manage.py redpony acl`: a user who may do what the project does, and nothing else."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import subprocess
from dataclasses import replace
from hashlib import sha256
from itertools import product
from pathlib import Path

import pytest
import redis
from django.core.cache import CacheKeyWarning
from django.core.management import call_command
from django.test import override_settings
from redis.exceptions import NoPermissionError
from redis.lock import Lock

import redpony
from redpony import commands
from redpony.cache import RedisCache
from redpony.conf import alias_config
from redpony.errors import NoPermission
from redpony.management.rights import (
    SCRIPTS,
    acl_rules,
    called_by,
    key_pattern,
    operator_for,
    sent_by,
    sentinel_user,
    user_for,
)
from redpony.wire.config import (
    Cluster,
    Elsewhere,
    LinkConfig,
    Secret,
    Sentinels,
    Tcp,
)
from redpony.wire.handshake import Features, handshake
from tests.cache.test_unavailable import BY_ARGUMENTS, CALLS, COUNTED
from tests.management.aliases import LOCMEM, ours
from tests.servers import HARNESS, Server, free_port, redis_binary

SOURCE = Path(redpony.__file__).parent
SECRET = "hunter2hunter2hunter2"
VERSIONS = {
    "valkey": Features("valkey", (9, 1, 2)),
    "redis": Features("redis", (7, 0, 15)),
}


@pytest.fixture
def acl():
    """Return a function that runs the command: standard output, standard error."""

    def run(*words, caches, **settings):
        out, err = io.StringIO(), io.StringIO()
        with override_settings(CACHES=caches, **settings):
            call_command("redpony", "acl", *words, stdout=out, stderr=err)
        return out.getvalue(), err.getvalue()

    return run


@pytest.fixture
def guarded(server):
    """Return a server with a user "app" who may do nothing yet."""
    server.ask("ACL", "SETUSER", "app", "reset", "on", f">{SECRET}", "-@all")
    server.ask("ACL", "LOG", "RESET")
    yield server
    server.ask("ACL", "DELUSER", "app")


@pytest.fixture
def cache_of(guarded, cache_on):
    """Return a function that makes a cache whose user has been granted its rights."""

    def make(**options):
        url = guarded.url(options.pop("db", 0), user="app", password=SECRET)
        cache = cache_on(None, LOCATION=url, **options)
        allow(guarded, cache.alias.config)
        return cache

    return make


def allow(server, config, *more):
    rules = acl_rules(config, server=VERSIONS[server.flavour], password=f">{SECRET}")
    server.ask("ACL", "SETUSER", "app", *rules, *more)


def refused(server) -> list[str]:
    """Return what the server has refused, as its log has it."""
    entries = [
        dict(zip(each[::2], each[1::2], strict=True))
        for each in server.ask("ACL", "LOG")
    ]
    return [f"{each[b'reason']} {each[b'object']}" for each in entries]


def raw(server) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=server.socket_path,
        username="app",
        password=SECRET,
        protocol=2,
        retry=None,
    )


# -- nothing is missing, and nothing is superfluous ----------------------------

ROWS = [
    (name, args)
    for name, (args, _) in (*CALLS.items(), *COUNTED.items(), *BY_ARGUMENTS.items())
]
MORE = [
    ("set", ("counter", 1, None)),
    ("set", ("key", 1, None)),
    ("touch", ("key", None)),
    ("expire", ("key", None)),
    ("set_many", ({"a": 1, "b": 2}, None)),
    ("set_many", ({"a": 1, "b": 2}, 10)),
    ("get_or_set", ("fresh", 1)),
    ("incr", ("counter",)),
    ("incr", ("new", 1, None, True)),
    ("incr_version", ("counter",)),
    ("zrange", ("z", 0, -1)),
]


def exercise(cache, target) -> None:
    """Call every method of a cache, and its lock."""
    for name, args in ROWS + MORE:
        try:
            getattr(cache, name)(*args)
        except NoPermission:
            raise
        except (ValueError, redpony.RedponyError, redis.ResponseError):
            pass  # a key that is missing, or holds another type
    list(cache.iter_keys("*"))
    list(cache.sscan_iter("set"))
    with target.lock("job", timeout=5) as lock:
        assert lock.locked()
        assert lock.owned()
        lock.extend(5)
        lock.reacquire()


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
        exercise(both(target), target)

    granted = set(
        user_for([target.alias.config], server=VERSIONS[guarded.flavour]).commands
    )
    assert refused(guarded) == []
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
    assert called == set(SCRIPTS)
    assert called_by("incr", "rename") == {"exists", "incrby", "rename"}


def test_no_script_calls_in_a_way_that_goes_unnoticed():
    for path in (SOURCE / "scripts/lua").glob("*.lua"):
        code = re.sub(r"--.*", "", path.read_text())
        ways = len(re.findall(r"redis\s*\.\s*p?call", code))
        assert ways == len(re.findall(r"redis\.call\('\w+'", code)), path


def test_the_locks_rights_are_those_of_redis_pys_scripts():
    scripts = [
        getattr(Lock, name)
        for name in vars(Lock)
        if re.fullmatch("LUA_.*_SCRIPT", name)
    ]
    assert len(scripts) == 3
    called = {
        word for text in scripts for word in re.findall(r"redis\.call\('(\w+)'", text)
    }
    caches = {"default": ours("redis://127.0.0.1")}
    with override_settings(CACHES=caches):
        user = user_for([alias_config("default")])
    (lock,) = [each for each in user.grants if each.reason == "cache.lock"]

    assert set(lock.commands) == called | {"set", "evalsha", "script|load"}


@pytest.mark.parametrize(
    ("db", "name", "protocol", "password"),
    list(product((0, 2), (None, "shop"), (2, 3), (None, SECRET))),
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
    superfluous = granted - without - said - subcommands - {"msetex"}
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


# -- the command -----------------------------------------------------------------


def test_standard_output_is_a_file_that_the_server_loads(acl, cold_server, tmp_path):
    for flavour in ("redis", "valkey"):
        port = free_port()
        caches = {
            "default": ours(f"redis://shop:{SECRET}@127.0.0.1:{port}/2"),
            "sessions": ours(
                f"redis://login:{SECRET}@127.0.0.1:{port}", KEY_PREFIX="my-ses"
            ),
        }
        version = {"redis": "redis-7.0.15", "valkey": "valkey-9.1.2"}[flavour]
        out, err = acl("--hash", "--server", version, caches=caches)
        harness = f"user {HARNESS[0]} on >{HARNESS[1]} ~* &* +@all\n"
        path = tmp_path / f"{flavour}.acl"
        path.write_text(out + harness)
        server = FromFile(flavour, port=port, settings=[f"aclfile {path}"])
        with server, override_settings(CACHES=caches):
            for alias in caches:
                with redpony.get_redis(alias) as client:
                    assert client.set(
                        f"{'my-ses' if alias == 'sessions' else ''}:1:k", 1
                    )
                    with pytest.raises(NoPermissionError):
                        client.flushall()
        assert "User shop at" in err
        assert SECRET not in out + err


class FromFile(Server):
    """A server whose users stand in a file: `user` lines would be refused beside it."""

    def _config(self):
        return [line for line in super()._config() if not line.startswith("user ")]


def test_a_password_is_never_printed(acl):
    caches = {"default": ours(f"redis://shop:{SECRET}@127.0.0.1:{free_port()}")}
    for words in ([], ["--json"], ["--setuser"], ["--hash"], ["--all"]):
        said = "".join(acl(*words, caches=caches, SECRET_KEY=SECRET))
        assert said
        assert SECRET not in said
        digest = f"#{sha256(SECRET.encode()).hexdigest()}"
        assert (digest in said) == (words == ["--hash"])
        assert (">PASSWORD" in said) == (words != ["--hash"])


def test_a_hash_without_a_password_is_an_error(manage):
    ran = manage("acl", "--hash", caches={"default": ours("redis://127.0.0.1:1")})

    assert ran.code == 1
    assert "no password to hash" in ran.text


def test_people_are_told_what_each_right_is_for(acl):
    caches = {
        "default": ours(
            "redis://127.0.0.1:1/1", KEY_PREFIX="shop", OPTIONS={"CLEAR": "flushdb"}
        )
    }
    out, err = acl("--user", "shop", "--server", "redis-7.0", caches=caches)

    assert out.startswith("user shop reset on >PASSWORD resetchannels ~shop:* -@all +")
    assert len(out.splitlines()) == 1
    for text in (
        "User shop at 127.0.0.1:1 (redis 7.0)",
        "cache.lock",
        'OPTIONS["USERNAME"]',
        "may empty the whole database",
        "in place of PASSWORD",
    ):
        assert text in " ".join(err.split())


def test_programs_are_told_the_same(acl):
    caches = {"default": ours("redis://127.0.0.1:1", KEY_PREFIX="shop")}
    out, err = acl("--json", "--server", "valkey-9.1", caches=caches)
    told = json.loads(out)
    (user,) = told["users"]

    assert err == ""
    assert user["aliases"] == ["default"]
    assert user["rules"][:4] == ["reset", "on", ">PASSWORD", "resetchannels"]
    assert {f"+{each}" for grant in user["grants"].values() for each in grant} == {
        rule for rule in user["rules"] if rule.startswith("+")
    }


def test_aliases_that_share_a_user_share_a_line(acl):
    caches = {
        "default": ours("redis://app:x@127.0.0.1:1/0", KEY_PREFIX="a"),
        "second": ours("redis://app:x@127.0.0.1:1/1", KEY_PREFIX="b"),
        "third": ours("redis://own:x@127.0.0.1:1/1", KEY_PREFIX="c"),
        "local": LOCMEM,
    }
    first, second = acl("--server", "redis-7.0", caches=caches)[0].splitlines()

    assert "user app " in first
    assert "~a:* ~b:* " in first
    assert "+select" in first
    assert "user own " in second
    (only,) = acl("third", "--server", "redis-7.0", caches=caches)[0].splitlines()
    assert only == second
    (same,) = acl("--alias", "third", "--server", "redis-7.0", caches=caches)[
        0
    ].splitlines()
    assert same == second


def test_the_server_is_asked_what_it_knows(acl, guarded):
    allow_nothing = guarded.url(user="app", password=SECRET)
    out, err = acl(caches={"default": ours(allow_nothing)})

    assert ("+client|setinfo" in out) == (guarded.flavour == "valkey")
    assert ("+msetex" in out) == (guarded.flavour == "valkey")
    assert f"({guarded.flavour} " in err
    guarded.ask("ACL", "SETUSER", "app", *out.replace("PASSWORD", SECRET).split()[2:])


def test_a_server_that_cannot_be_asked_is_assumed_to_be_old(acl):
    out, err = acl(caches={"default": ours(f"redis://127.0.0.1:{free_port()}")})

    assert "+get" in out
    assert "+msetex" not in out
    assert "cannot be asked" in err
    assert "--server" in err


@pytest.mark.parametrize("text", ["7.0", "redis", "keydb-6.3", "redis-new"])
def test_a_version_that_cannot_be_read_is_an_error(manage, text):
    ran = manage("acl", "--server", text, caches={"default": ours("redis://h")})

    assert ran.code == 1
    assert "redis-7.0 or valkey-9.1" in ran.text


def test_an_embedded_server_needs_no_user(acl, tmp_path):
    out, err = acl(caches={"default": ours(f"embedded://{tmp_path}")}, DEBUG=True)

    assert out == ""
    assert "embedded" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [(["nobody"], 'no alias "nobody"'), ([], "CACHES has no alias")],
)
def test_an_alias_that_is_not_there_is_an_error(manage, words, says):
    ran = manage("acl", *words, caches={"default": LOCMEM})

    assert ran.code == 1
    assert says in ran.text


# -- who only looks ----------------------------------------------------------------


def test_status_sees_more_with_the_rights_of_all(acl, manage, guarded):
    caches = {"default": ours(guarded.url(user="app", password=SECRET))}
    for words, sees in ([], False), (["--all"], True):
        out, _ = acl(*words, caches=caches)
        rules = out.replace("PASSWORD", SECRET).split()[2:]
        guarded.ask("ACL", "SETUSER", "app", *rules)
        ran = manage("status", caches=caches)
        assert ran.code == 0
        assert ("noeviction" in ran.text) is sees


def test_an_operator_looks_and_reads_no_key(cache_of, guarded):
    cache = cache_of(db=1)
    user = user_for([cache.alias.config], server=VERSIONS[guarded.flavour])
    operator = operator_for(user, "watcher")
    guarded.ask("ACL", "SETUSER", "watcher", *operator.rules(f">{SECRET}"))
    client = redis.Redis(
        unix_socket_path=guarded.socket_path, username="watcher", password=SECRET, db=1
    )
    try:
        assert client.ping()
        assert client.info()["redis_version"]
        for words in (["GET", ":1:key"], ["SET", "a", "b"], ["SCAN", "0"], ["ROLE"]):
            with pytest.raises(NoPermissionError):
                client.execute_command(*words)
    finally:
        client.close()
        guarded.ask("ACL", "DELUSER", "watcher")


# -- topologies ----------------------------------------------------------------------


def in_topology(topology):
    with override_settings(CACHES={"default": ours("redis://127.0.0.1")}):
        config = alias_config("default")
    return replace(config, topology=topology)


def test_a_clusters_user_may_ask_for_slots():
    seeds = (Tcp("127.0.0.1", 1),)
    extra = lambda config: (
        set(user_for([config]).commands) - set(user_for([in_topology(None)]).commands)
    )
    assert extra(in_topology(Cluster(seeds=seeds))) == {"asking", "cluster|slots"}
    assert extra(in_topology(Cluster(seeds=seeds, read_from="replica"))) == {
        "asking",
        "cluster|slots",
        "readonly",
    }


@pytest.fixture
def sentinel(tmp_path):
    """Return redis-py's client of a sentinel's harness."""
    port = free_port()
    conf = tmp_path / "sentinel.conf"
    user, password = HARNESS
    conf.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"user {user} on >{password} ~* &* +@all\n"
        "sentinel monitor main 127.0.0.1 1 1\n"
    )
    process = subprocess.Popen(
        [redis_binary(), str(conf), "--sentinel"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = redis.Redis(port=port, username=user, password=password, retry=None)
    try:
        until_it_answers(client)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(10)


def until_it_answers(client):
    from tests.wire.links import until

    def answers():
        try:
            return client.ping()
        except redis.ConnectionError:
            return False

    until(answers)


def test_sentinels_have_a_user_of_their_own(sentinel):
    port = sentinel.connection_pool.connection_kwargs["port"]
    link = LinkConfig(Tcp("127.0.0.1", port), username="finder")
    topology = Sentinels(service="main", sentinels=(link,))
    config = in_topology(topology)
    config = replace(config, link=replace(config.link, address=Elsewhere("main")))
    user = sentinel_user([config])
    sentinel.execute_command("ACL", "SETUSER", "finder", *user.rules(f">{SECRET}"))
    client = redis.Redis(port=port, username="finder", password=SECRET, retry=None)

    assert user.name == "finder"
    assert b"127.0.0.1" in client.execute_command("SENTINEL", "MASTER", "main").values()
    assert client.execute_command("SENTINEL", "REPLICAS", "main") == []
    assert client.execute_command("SENTINEL", "SENTINELS", "main") == []
    with client.pubsub() as pubsub:
        pubsub.subscribe("+switch-master")
        assert pubsub.get_message(timeout=10)["type"] == "subscribe"
        with pytest.raises(NoPermissionError):
            pubsub.subscribe("+sdown")
            while pubsub.get_message(timeout=10):
                pass
    for words in (
        ["SENTINEL", "FAILOVER", "main"],
        ["SENTINEL", "REMOVE", "main"],
        ["SENTINEL", "SET", "main", "quorum", "9"],
        ["SENTINEL", "RESET", "*"],
        ["SHUTDOWN"],
    ):
        with pytest.raises(NoPermissionError):
            client.execute_command(*words)
    client.close()


def test_the_servers_of_sentinels_are_asked_for_their_role():
    topology = Sentinels(service="main", sentinels=(LinkConfig(Tcp("127.0.0.1", 1)),))
    assert "role" in user_for([in_topology(topology)]).commands
    assert sentinel_user([in_topology(None)]) is None
