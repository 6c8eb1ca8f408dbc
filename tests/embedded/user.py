"""A user of the embedded server, told what to do line by line, in JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from redpony import events
from redpony.embedded import Embedded, address, binary, locks, server, stop, talk
from redpony.errors import RedponyError

options = json.loads(sys.argv[1])
server.GRACE_SECONDS = options["grace"]
if options.get("without_wheel"):
    binary._in_wheel = lambda: iter(())
embedded = Embedded(options["directory"], options.get("persist", False))
news: list[str] = []
events.subscribe(lambda event: news.append(event.change), events.Server)


def resolve() -> object:
    news.clear()
    try:
        return {"socket": embedded.resolve().path, "news": list(news)}
    except RedponyError as error:
        return {"error": type(error).__name__, "message": str(error)}


def threads(count: int) -> object:
    answers: list[object] = []
    crew = [
        threading.Thread(target=lambda: answers.append(resolve())) for _ in range(count)
    ]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    return {"answers": len(answers), "news": list(news)}


def ask(*words: str) -> object:
    path = Path(embedded.resolve().path)
    return talk.ask(path, *words, timeout=10.0).decode()


def alive() -> object:
    path = Path(embedded.resolve().path)
    return talk.presence(path, 10.0) is talk.Presence.READY


def fork(joins: bool) -> object:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # The parent's pipes are not the child's to keep open.
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            told = resolve() if joins else {}
            os.write(writing, json.dumps(told).encode())
            os.close(writing)
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return {"pid": child, **json.loads(pipe.read())}


def fork_amid_resolve() -> object:
    # As if another thread were just resolving: its lock is copied as it stands.
    with address._process.turn:
        return fork(True)


def fork_within(lock: str) -> object:
    path = Path(options["directory"]) / "lock"
    reading, writing = os.pipe()
    with getattr(locks, lock)(path, *([time.monotonic()] if lock == "held" else [])):
        child = os.fork()
        if child == 0:
            os.write(writing, b".")
            signal.pause()
        os.read(reading, 1)
    return locks.is_held(path)


def fork_and_exit() -> object:
    child = os.fork()
    if child == 0:
        resolve()
        sys.exit(0)  # with all that Python does at exit
    return os.waitpid(child, 0)[1]


def close_all_files() -> object:
    """What a daemon does on its way."""
    os.closerange(3, 256)
    return True


commands = {
    "resolve": resolve,
    "threads": threads,
    "ask": ask,
    "alive": alive,
    "fork": fork,
    "fork_amid_resolve": fork_amid_resolve,
    "fork_within": fork_within,
    "fork_and_exit": fork_and_exit,
    "close_all_files": close_all_files,
    "forget": embedded.forget,
    "stop": lambda: stop(embedded),
}
for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps(commands[name](*arguments)), flush=True)
