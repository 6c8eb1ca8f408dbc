"""A toy server in the test's process: it answers commands from a dict.

Enough of Redis for scripted drivers and for models: text values, counters, SCAN
in pages, time to live by a clock of the test's.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

from redpony.commands import Command
from redpony.errors import NotAnInteger, ServerError, WrongType


class Toy:
    """Call it with a command: it returns the reply, or the error as a reply."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0, page: int = 10):
        self.data: dict[bytes, bytes] = {}
        self.expiry: dict[bytes, float] = {}
        self.clock = clock
        self.page = page
        self.pages: dict[bytes, list[bytes]] = {}

    def __call__(self, command: Command):
        for key in [key for key, when in self.expiry.items() if when <= self.clock()]:
            self.remove(key)
        name = command.name
        if command.script is not None:
            name = f"script {command.script.name}"
        args = [arg.encode() if isinstance(arg, str) else arg for arg in command.args]
        answer = getattr(self, name.lower().replace(" ", "_"), None)
        if answer is None:
            return ServerError(f"ERR unknown command '{name}'")
        return answer(*args)

    def remove(self, key):
        self.expiry.pop(key, None)
        return self.data.pop(key, None) is not None

    def get(self, key):
        found = self.data.get(key)
        return found if found != b"(a list)" else WrongType("WRONGTYPE Operation ...")

    def mget(self, *keys):
        return [self.data.get(key) for key in keys]

    def set(self, key, value, *options):
        if b"NX" in options and key in self.data:
            return None
        if b"XX" in options and key not in self.data:
            return None
        self.data[key] = value
        self.expiry.pop(key, None)
        if b"PX" in options:
            ms = int(options[options.index(b"PX") + 1])
            self.expiry[key] = self.clock() + ms / 1000
        return "OK"

    def mset(self, *pairs):
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self.set(key, value)
        return "OK"

    def unlink(self, *keys):
        return sum(self.remove(key) for key in keys)

    def exists(self, *keys):
        return sum(key in self.data for key in keys)

    def pexpire(self, key, ms):
        if key not in self.data:
            return 0
        self.expiry[key] = self.clock() + int(ms) / 1000
        return 1

    def persist(self, key):
        return int(self.expiry.pop(key, None) is not None)

    def pttl(self, key):
        if key not in self.data:
            return -2
        if key not in self.expiry:
            return -1
        return round((self.expiry[key] - self.clock()) * 1000)

    def incrby(self, key, amount):
        try:
            total = int(self.data.get(key, b"0")) + int(amount)
        except ValueError:
            return NotAnInteger("ERR value is not an integer or out of range")
        self.data[key] = b"%d" % total
        return total

    def script_incr(self, key, amount):
        return self.incrby(key, amount) if key in self.data else None

    def script_rename(self, old, new):
        if old not in self.data:
            return 0
        value, when = self.data.pop(old), self.expiry.pop(old, None)
        self.remove(new)
        self.data[new] = value
        if when is not None:
            self.expiry[new] = when
        return 1

    def scan(self, cursor, *options):
        keys = sorted(self.data) if cursor == b"0" else self.pages.pop(cursor)
        pattern = options[options.index(b"MATCH") + 1].decode()
        now, rest = keys[: self.page], keys[self.page :]
        found = [key for key in now if fnmatch.fnmatchcase(key.decode(), pattern)]
        if not rest:
            return [b"0", found]
        following = b"%d" % (len(self.pages) + int(cursor) + 1)
        self.pages[following] = rest
        return [following, found]

    def blpop(self, *_):
        return None
