"""A forked child has clients that work, and leaves the parent's alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # fork beside the watcher's thread
import django
from django.conf import settings
settings.configure(SECRET_KEY="x" * 50, CACHES={"default": {
    "BACKEND": "redpony.cache.RedisCache",
    "LOCATION": sys.argv[1],
    "OPTIONS": {"CONNECT_TIMEOUT": 30, "DEADLINE": 30},
}})
django.setup()
from redpony import get_redis
from redpony.connections import close_all

def work(name):
    for turn in range(50):
        assert get_redis().set(f"{name}{turn % 7}", f"{name}-{turn}")
        assert get_redis().get(f"{name}{turn % 7}") == f"{name}-{turn}".encode()
    with get_redis().lock(f"lock of {name}", timeout=30):
        pass

work("before")
children = []
for number in range(3):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work(f"child{number}")
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    children.append(pid)
work("parent")
assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
work("after")
close_all()
"""


@pytest.mark.parametrize(
    "place", ["valkey", "valkey-replicated", "valkey-sentinel", "valkey-cluster"]
)
def test_parent_and_children_each_use_connections_of_their_own(places, place):
    server = places.fresh(place)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, server.url()],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
