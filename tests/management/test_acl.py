"""`manage.py redpony acl`: a user who may do what the project does, and nothing else."""

from __future__ import annotations

import argparse
import io
import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
import redis
from django.core.management import call_command
from django.test import override_settings
from redis.exceptions import NoPermissionError

import redpony
from redpony.conf import alias_config
from redpony.management.acl import add_arguments
from redpony.management.rights import LOOKING, operator_for, sentinel_user, user_for
from redpony.testing.chaos.server import HARNESS
from tests.management.aliases import LOCMEM, ours
from tests.management.guard import SECRET, VERSIONS, in_topology
from tests.servers import Server, free_port


@pytest.fixture
def acl():
    """Return a function that runs the command: standard output, standard error."""

    def run(*words, caches, **settings):
        out, err = io.StringIO(), io.StringIO()
        with override_settings(CACHES=caches, **settings):
            call_command("redpony", "acl", *words, stdout=out, stderr=err)
        return out.getvalue(), err.getvalue()

    return run


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

    assert out.startswith(
        "user shop reset on >PASSWORD resetchannels ~shop:* ~redpony{* -@all +"
    )
    assert len(out.splitlines()) == 1
    for text in (
        "User shop at 127.0.0.1:1 (redis 7.0)",
        "locks",
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


def test_sentinels_have_a_file_of_their_own(acl, manage):
    """Servers refuse a file that names their commands, and the other way round."""
    location = "redis+sentinel://app:x@127.0.0.1:26379,127.0.0.1:26380/main/0"
    options = {"SENTINEL_USERNAME": "finder", "SENTINEL_PASSWORD": SECRET}
    caches = {
        "default": ours(location, OPTIONS=options),
        "other": ours("redis://127.0.0.1:1"),
    }
    servers, said = acl("default", "--server", "redis-7.0", caches=caches)
    assert servers.startswith("user app ")
    assert "+role" in servers
    assert "sentinel" not in servers
    assert "--sentinels" in said

    out, err = acl("--sentinels", "--server", "redis-7.0", caches=caches)
    assert len(out.splitlines()) == 1
    assert out.startswith("user finder ")
    assert "+sentinel|master" in out
    assert "&+switch-master" in out
    assert "~" not in out
    assert "127.0.0.1:26379, 127.0.0.1:26380" in err
    assert SECRET not in out + err

    _, err = acl("--sentinels", "--server", "redis-7.0", "--user", "x", caches=caches)
    assert "SENTINEL_USERNAME" in err
    assert sentinel_user([in_topology(None)]) is None
    assert manage("acl", "--sentinels", "other", caches=caches).code == 1


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


# -- the page that explains it -----------------------------------------------------


PAGE = Path(__file__).parents[2] / "docs/how-to/least-privilege.md"


def test_the_page_names_every_reason_and_every_option():
    text = PAGE.read_text()
    table = text.partition("| reason | what for |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| ([^|-][^|]*) \|", table, re.MULTILINE)
    location = "redis+sentinel://app:x@127.0.0.1:26379/main/2"
    reasons: dict[str, None] = {}
    for place in ("redis+cluster://127.0.0.1:7000", location):
        with override_settings(CACHES={"default": ours(place)}):
            user = user_for([alias_config("default")])
        reasons |= dict.fromkeys(each.reason for each in user.grants)
    assert set(named) == {*reasons, LOOKING.reason}

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    known = set(re.findall(r"--[a-z]+", parser.format_help()))
    assert set(re.findall(r"--[a-z]+", text)) <= known
