"""`manage.py redpony server` shows and controls the embedded server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from redpony import embedded
from tests.management.aliases import ours

SETTINGS = """
SECRET_KEY = "a key of the test's own project"
DEBUG = True
BASE_DIR = {directory!r}
INSTALLED_APPS = ["redpony"]
CACHES = {{"default": {{
    "BACKEND": "redpony.cache.RedisCache", "LOCATION": "embedded://"
}}}}
"""


@pytest.fixture
def project(corner, tmp_path):
    """An alias with a server of its own, which is gone after the test."""
    own = embedded.Embedded(str(tmp_path))
    yield own
    embedded.leave(own)
    embedded.stop(own)


@pytest.fixture
def server(manage, project):
    def run(*words):
        alias = ours(f"embedded://{project.directory}")
        return manage("server", *words, caches={"default": alias}, DEBUG=True)

    return run


def test_a_server_that_does_not_run_is_shown_and_exit_code_1(server, project):
    ran = server()

    assert ran.code == 1
    assert "not running: it starts with its first use" in ran.text
    assert project.directory in ran.text


def test_a_running_server_is_shown(server, project):
    socket = project.resolve().path
    ran = server("status")

    assert ran.code == 0
    assert "running for" in ran.text
    assert str(os.getpid()) in ran.text
    assert socket in ran.text


def test_stopping_ends_it(server, project):
    project.resolve()

    assert "Stopped" in server("stop").text
    assert embedded.status(project).running is False
    assert "not running" in server("stop").text


def test_its_log_is_shown(server, project):
    project.resolve()
    ran = server("log", "--lines", "100")

    assert ran.code == 0
    assert "ready to accept connections" in ran.text.lower()


def test_a_server_that_never_ran_has_no_log(server):
    assert server("log").lines == ["The log is empty."]


def test_an_alias_that_is_not_embedded_is_an_error(manage):
    caches = {"default": ours("redis://127.0.0.1")}

    assert manage("server", caches=caches).text == (
        "No alias of CACHES has LOCATION embedded://"
    )
    ran = manage("server", "--alias", "default", caches=caches)
    assert (ran.code, "is not embedded://" in ran.text) == (1, True)


def test_starting_keeps_it_until_interrupted(project, tmp_path):
    (tmp_path / "own_settings.py").write_text(SETTINGS.format(directory=str(tmp_path)))
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "own_settings",
        "PYTHONPATH": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "redpony", "server", "start"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        seen = ""
        while "Ctrl-C ends this" not in seen:
            line = process.stdout.readline()
            assert line, seen
            seen += line
        assert process.pid in (embedded.status(project).users or ())
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)

    assert process.returncode == 0
    deadline = time.monotonic() + 30
    while embedded.status(project).running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert embedded.status(project).running is False
