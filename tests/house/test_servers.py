"""The servers that tests run against do what the tests believe of them."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis

from redpony.testing.chaos import programs
from tests.servers import Server, until


def plain(server, **options):
    return redis.Redis.from_url(server.url(), retry=None, **options)


def wait_until(condition, seconds=5):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the condition did not come true"
        time.sleep(0.005)


def test_each_flavour_is_what_it_says(server, request):
    flavour = server.info("server")
    valkey = "valkey_version" in flavour
    assert valkey == (server.flavour == "valkey")


def test_a_server_that_is_asked_for_is_empty_each_time(valkey):
    with plain(valkey) as client:
        client.set("left", "over")
        assert client.dbsize() == 1
        valkey.flush()
        assert client.dbsize() == 0


def test_it_listens_on_tcp_and_on_a_unix_socket(server):
    with plain(server) as tcp, redis.Redis.from_url(server.unix_url()) as unix:
        tcp.set("a", "1")
        assert unix.get("a") == b"1"


def test_a_paused_server_takes_connections_and_answers_nothing(cold_server):
    server = cold_server()
    with plain(server, socket_timeout=0.05) as client:
        client.ping()
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        with socket.create_connection((server.host, server.port)):
            pass
        server.resume()
        wait_until(client.ping)


def test_a_killed_server_refuses_and_comes_back_on_its_port(cold_server):
    server = cold_server()
    port = server.port
    server.kill()
    with plain(server) as client:
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert client.ping()
    assert server.port == port


def test_a_restart_loses_the_data(cold_server):
    server = cold_server("redis")
    with plain(server) as client:
        client.set("a", "1")
    server.restart()
    assert server.ask("EXISTS", "a") == 0


def test_a_server_that_cannot_start_says_why(cold_server):
    with pytest.raises(RuntimeError, match="no-such-setting"):
        cold_server("valkey", settings=["no-such-setting 1"])


def test_passwords_and_acls_hold_for_the_test_and_not_for_the_harness(cold_server):
    server = cold_server(
        password="pass",
        acl=["user reader on >read ~* +@read +ping +hello +client|setinfo"],
    )
    with redis.Redis(port=server.port, retry=None) as client:
        with pytest.raises(redis.AuthenticationError):
            client.ping()
    with plain(server) as client:
        assert client.ping()
    url = server.url(user="reader", password="read")
    with redis.Redis.from_url(url) as client:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("a", "1")
    assert server.ask("SET", "a", "1")


def test_a_tls_server_speaks_tls_and_nothing_else(cold_server):
    server = cold_server("redis", tls=True)
    with plain(server, ssl_ca_certs=str(server.certificates.ca)) as client:
        assert client.ping()
    with redis.Redis(port=server.port, retry=None) as client:
        with pytest.raises(redis.ConnectionError):
            client.ping()


def test_counting_sees_the_test_and_not_itself(server):
    with plain(server) as client:
        client.ping()
        with server.counting() as counted:
            client.mget("a", "b")
            client.get("a")
        assert counted.commands == {"mget": 1, "get": 1}
        assert counted.reads == 2
        assert counted.connections == 0


def test_counting_sees_connections(server):
    with server.counting() as counted:
        with redis.Redis(port=server.port, protocol=2) as client:
            client.ping()
    assert counted.connections == 1


def test_users_leaves_the_harness_out(cold_server):
    server = cold_server()
    assert server.users() == []
    with plain(server, client_name="me") as client:
        client.ping()
        assert [each["name"] for each in server.users()] == ["me"]


def test_a_server_dies_with_the_test_process(tmp_path):
    script = (
        "from tests.servers import Server\n"
        "server = Server()\n"
        "server.start()\n"
        "print(server.pid, server.directory, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        pid = int(parent.stdout.readline().split()[0])
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(pid))


def alive(pid):
    try:
        with Path(f"/proc/{pid}/stat").open() as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_outlives_the_thread_that_started_it(cold_server):
    started = []
    thread = threading.Thread(target=lambda: started.append(cold_server()))
    thread.start()
    thread.join()
    (server,) = started
    with pytest.raises(TimeoutError):
        until(lambda: not server.is_running, "it has ended", 0.3)
    assert server.ask("PING")


def test_a_forked_process_starts_servers_of_its_own():
    script = (
        "import os\n"
        "from tests.servers import Server\n"
        "with Server() as server:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        with Server() as other:\n"
        "            os._exit(0 if other.ask('PING') else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    assert server.ask('PING')\n"
    )
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    assert subprocess.run(command, timeout=30).returncode == 0


@pytest.mark.parametrize(
    ("flavour", "remedy"), [("valkey", "redpony[embedded]"), ("redis", "apt-get")]
)
def test_a_program_that_is_missing_is_named_with_what_to_install(
    monkeypatch, flavour, remedy
):
    monkeypatch.setattr(programs, "candidates", lambda: iter(()))
    programs.program.cache_clear()
    try:
        with pytest.raises(RuntimeError, match=re.escape(remedy)):
            Server(flavour).start()
    finally:
        programs.program.cache_clear()


def test_hanging_up_closes_what_the_test_has_opened(server):
    with socket.create_connection((server.host, server.port), 5) as opened:
        opened.sendall(b"PING\r\n")
        assert opened.recv(100) == b"+PONG\r\n"
        assert server.hang_up() == 1
        assert opened.recv(100) == b""
    assert server.users() == []


DAMAGE = {
    "nothing": lambda server: None,
    "killed": lambda server: server.kill(),
    "paused": lambda server: server.pause(),
    "configured": lambda server: server.ask("CONFIG", "SET", "maxmemory", "9mb"),
    "admitted": lambda server: server.ask("ACL", "SETUSER", "new", "on", "+get"),
    "led": lambda server: server.follow(server),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_healing_makes_it_what_it_was_after_the_start(cold_server, damage):
    server = cold_server()
    server.ask("SET", "a", 1)
    pid, port = server.pid, server.port
    DAMAGE[damage](server)
    server.heal()
    assert server.port == port
    assert server.keys() == []
    assert server.role == "primary"
    assert server.info("memory")["maxmemory"] == 0
    assert b"new" not in server.ask("ACL", "USERS")
    assert (server.pid == pid) == (damage == "nothing")


def test_closing_leaves_nothing_behind():
    server = Server()
    server.start()
    pid = server.pid
    server.close()
    assert not server.directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
