"""`manage.py redpony status` says of every alias whether its server is there."""

from __future__ import annotations

import re

from tests.management.aliases import LOCMEM, ours, theirs
from tests.servers import free_port


def row(ran, alias: str) -> list[str]:
    """Return the cells of an alias' row."""
    (line,) = [each for each in ran.lines if each.startswith(f"{alias} ")]
    return re.split(r" {2,}", line)


def test_a_server_that_is_there_is_a_row_of_what_it_says(manage, server):
    client = server.client()
    client.set("there", "1")
    client.get("there")
    ran = manage("status", caches={"default": ours(server.url(3))})
    alias, state, name, ping, memory, policy, hits, connections, address = row(
        ran, "default"
    )

    assert ran.code == 0
    assert (alias, state, policy) == ("default", "up", "noeviction")
    assert name.split()[0] == server.flavour
    assert re.fullmatch(r"\d+\.\d\d ms", ping)
    assert re.fullmatch(r"\d+\.\d [kM]B", memory)
    assert re.fullmatch(r"\d+%", hits)
    assert int(connections) >= 1
    assert address == f"127.0.0.1:{server.port}/3"


def test_a_server_that_is_not_there_is_a_row_and_exit_code_1(manage, server):
    port = free_port()
    ran = manage(
        "status",
        caches={
            "default": ours(server.url()),
            "gone": ours(f"redis://127.0.0.1:{port}"),
        },
    )

    assert ran.code == 1
    assert row(ran, "default")[1] == "up"
    assert row(ran, "gone")[1] == "DOWN"
    assert f"127.0.0.1:{port}" in row(ran, "gone")[-1]
    assert "refused" in ran.text


def test_settings_that_cannot_be_used_are_a_row_and_exit_code_1(manage):
    ran = manage(
        "status", caches={"default": ours("redis://h", OPTIONS={"DEADLIN": 1})}
    )

    assert ran.code == 1
    assert row(ran, "default")[1] == "BAD"
    assert 'Did you mean "DEADLINE"?' in ran.text


def test_a_wrong_password_is_said_and_not_shown(manage, cold_server):
    server = cold_server(password="right-hunter2")
    location = f"redis://:wrong-hunter2@127.0.0.1:{server.port}"
    ran = manage("status", caches={"default": ours(location)})

    assert ran.code == 1
    assert row(ran, "default")[1] == "DOWN"
    assert "password" in ran.text
    assert "hunter2" not in ran.text


def test_a_user_that_may_not_look_sees_that_it_is_up(manage, cold_server):
    server = cold_server(acl=["user watcher on >pw ~* +ping +client +hello +select"])
    location = f"redis://watcher:pw@127.0.0.1:{server.port}"
    ran = manage("status", caches={"default": ours(location)})

    assert ran.code == 0
    assert row(ran, "default")[1] == "up"
    assert "does not say more to this user" in ran.text


def test_the_embedded_server_is_not_started_by_looking(manage, tmp_path):
    ran = manage(
        "status",
        caches={"default": ours(f"embedded://{tmp_path}")},
        DEBUG=True,
    )

    assert ran.code == 0
    assert row(ran, "default")[1] == "idle"


def test_one_alias_may_be_asked_for(manage, server):
    caches = {"default": ours("redis://h:x"), "other": ours(server.url())}
    ran = manage("status", "other", caches=caches)

    assert ran.code == 0
    assert "default" not in ran.text


def test_an_alias_that_is_not_there_is_exit_code_1(manage):
    ran = manage("status", "nobody", caches={"default": LOCMEM})

    assert (ran.code, 'no alias "nobody"' in ran.text) == (1, True)


def test_a_project_that_has_not_moved_yet_is_pointed_to_the_doctor(manage):
    ran = manage("status", caches={"default": theirs("redis://h"), "local": LOCMEM})

    assert ran.code == 0
    assert "default (django-redis)" in ran.text
    assert "redpony doctor" in ran.text


def test_a_project_without_redis_is_told_so(manage):
    assert manage("status", caches={"default": LOCMEM}).lines == [
        "No alias of CACHES is in Redis."
    ]


def test_the_columns_stand_below_their_heads(manage, server):
    caches = {"a": ours(server.url()), "a-long-alias": ours(server.url(1))}
    head, *rows = manage("status", caches=caches).lines
    starts = [head.index(word) for word in head.split()]

    assert all(line[start - 1] == " " for line in rows for start in starts[1:])
