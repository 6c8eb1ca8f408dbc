"""Publishing: from sync and async code, after the commit where a transaction is open.

One message is one round trip and one script: it is appended to the channel's stream and
said to whoever listens, atomically, so what was said is what can be read again. Its number
is given there. Nothing is repeated that may have been published: an error whose `outcome`
is "unknown" leaves that open, and an `idempotency_key` closes it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from redpony import commit, events
from redpony.alias import Alias, Watch
from redpony.commands import (
    Access,
    Argument,
    Command,
    Kind,
    Repeat,
    call,
)
from redpony.errors import RedponyError, ServerError, Unavailable
from redpony.plan import Batch, Plan, finish
from redpony.realtime import capturing
from redpony.realtime.channel import Channel, channel_of, lives
from redpony.realtime.message import JSON, TEXT, pack_message
from redpony.realtime.payloads import to_json
from redpony.realtime.policy import History
from redpony.realtime.position import Position
from redpony.scripts import script

PUBLISH: Final = Kind("PUBLISH", Access.WRITE, Repeat.NEVER, None, (int,))
SPUBLISH: Final = Kind("SPUBLISH", Access.WRITE, Repeat.NEVER, slice(0, 1), (int,))

ONCE: Final = 86400
"""Seconds that an idempotency key is remembered."""


class Html(str):
    """Text that goes to browsers as it is, and not as JSON."""

    __slots__ = ()


class Draft(NamedTuple):
    """A message that is ready to be published."""

    channel: Channel
    payload: Any
    event: str
    body: bytes
    idempotency_key: str | None


def publish(
    channel: Channel | str,
    payload: Any,
    *,
    event: str = "",
    idempotency_key: str | None = None,
    exclude: str = "",
    on_commit: bool = True,
    database: str = "default",
) -> Position | None:
    """Publish a message to a channel, and return its position.

    Inside a transaction of `database` it is published after the commit (not at all after a
    rollback), and None is returned; `on_commit=False` publishes at once. None too where
    the channel has no history. `event` is the name that browsers listen to. The same
    `idempotency_key` publishes once in a day. `exclude` is a connection that is not to
    have it. A payload's mistakes are raised at once: `NotSerializable`, `ValueError`.
    One round trip; raises `Unavailable`.
    """
    draft = _draft(channel, payload, event, idempotency_key, exclude)
    if on_commit and commit.is_open(database):
        _after_commit(partial(_send, [draft]), database)
        return None
    return _send_one(draft)


async def apublish(
    channel: Channel | str,
    payload: Any,
    *,
    event: str = "",
    idempotency_key: str | None = None,
    exclude: str = "",
    on_commit: bool = True,
    database: str = "default",
) -> Position | None:
    """Publish a message to a channel in asyncio, and return its position.

    As `publish`. The transaction is that of the sync code that waits for this, if any: a
    coroutine has none of its own.
    """
    draft = _draft(channel, payload, event, idempotency_key, exclude)
    if on_commit and await _aputs_off([draft], database):
        return None
    return await _asend_one(draft)


Given = tuple[Channel | str, Any]


def publish_many(
    messages: Iterable[Given], *, on_commit: bool = True, database: str = "default"
) -> list[Position | None]:
    """Publish `(channel, payload)` pairs in order, in one flight; return the positions.

    As `publish`; each on its own: where one fails the others are published all the same,
    and its error is raised at the end.
    """
    drafts = [_draft(channel, payload, "", None, "") for channel, payload in messages]
    if on_commit and commit.is_open(database):
        _after_commit(partial(_send, drafts), database)
        return [None] * len(drafts)
    return _send(drafts)


async def apublish_many(
    messages: Iterable[Given], *, on_commit: bool = True, database: str = "default"
) -> list[Position | None]:
    """Publish `(channel, payload)` pairs in order, in one flight; return the positions."""
    drafts = [_draft(channel, payload, "", None, "") for channel, payload in messages]
    if on_commit and await _aputs_off(drafts, database):
        return [None] * len(drafts)
    return await _asend(drafts)


def html(template: str, context: dict[str, Any] | None) -> Html:
    """Return a rendered template, as a payload."""
    from django.template.loader import render_to_string

    return Html(render_to_string(template, context))


def _draft(
    channel: Channel | str,
    payload: Any,
    event: str,
    idempotency_key: str | None,
    exclude: str,
) -> Draft:
    to = channel_of(channel)
    for text, name in ((event, "event"), (exclude, "exclude")):
        if text and (not text.isprintable() or "\t" in text):
            raise ValueError(f"{name}={text!r} has characters that cannot be sent")
    if isinstance(payload, Html):
        kind, text = TEXT, str(payload)
    else:
        kind, text = JSON, to_json(payload, to.payload, to.name)
    if idempotency_key is not None and to.keeps is None:
        raise ValueError(
            f"The channel {to.name!r} has no history, so nobody could know what was "
            "published for an idempotency_key"
        )
    body = pack_message(kind, text, event, exclude)
    return Draft(to, payload, event, body, idempotency_key)


# -- after the commit ----------------------------------------------------------


def _after_commit(send: Callable[[], object], database: str) -> None:
    from django.db import transaction

    # Robust: whatever else waits for the commit is to come to its turn.
    transaction.on_commit(send, using=database, robust=True)


async def _aputs_off(drafts: list[Draft], database: str) -> bool:
    """Whether sync code awaits this in a transaction, at whose end it is published."""
    if commit.is_open(database):  # async code in a thread of its own
        _after_commit(partial(_send, drafts), database)
        return True
    if not commit.is_awaited_by_sync():
        return False
    from asgiref.sync import sync_to_async

    def put_off() -> bool:
        is_open = commit.is_open(database)
        if is_open:
            _after_commit(partial(_send, drafts), database)
        return is_open

    try:
        return await sync_to_async(put_off, thread_sensitive=True)()
    except RuntimeError:
        return False  # a task that has outlived the sync code it was begun by


# -- sending -------------------------------------------------------------------


def _send_one(draft: Draft) -> Position | None:
    """Publish one message: what nearly every call comes to, without a plan around it."""
    if events.listening or capturing.is_on():
        return _send([draft])[0]
    try:
        reply = draft.channel.alias.ask(_command(draft))
    except RedponyError as error:
        raise _explained(error, draft)  # noqa: B904 (it is the same)
    return _position(draft, reply)


async def _asend_one(draft: Draft) -> Position | None:
    """Publish one message in asyncio: as `_send_one`."""
    if events.listening or capturing.is_on():
        return (await _asend([draft]))[0]
    try:
        reply = await draft.channel.alias.link.awaiting.ask(_command(draft))
    except RedponyError as error:
        raise _explained(error, draft)  # noqa: B904 (it is the same)
    return _position(draft, reply)


def _send(drafts: Sequence[Draft]) -> list[Position | None]:
    if capturing.takes(drafts):
        return [None] * len(drafts)
    found: dict[int, Any] = {}
    for alias, mine in _by_alias(drafts):
        plan = _publish([drafts[each] for each in mine])
        settle = partial(_raise, drafts[mine[0]])
        if events.listening:
            with Watch(alias, plan) as watched:
                replies = finish(alias.drive(watched, settle))
        else:
            replies = finish(alias.drive(plan, settle))
        found.update(zip(mine, replies, strict=True))
    return _positions(drafts, found)


async def _asend(drafts: Sequence[Draft]) -> list[Position | None]:
    if capturing.takes(drafts):
        return [None] * len(drafts)
    found: dict[int, Any] = {}
    for alias, mine in _by_alias(drafts):
        plan = _publish([drafts[each] for each in mine])
        settle = partial(_raise, drafts[mine[0]])
        if events.listening:
            with Watch(alias, plan) as watched:
                replies = finish(await alias.adrive(watched, settle))
        else:
            replies = finish(await alias.adrive(plan, settle))
        found.update(zip(mine, replies, strict=True))
    return _positions(drafts, found)


def _by_alias(drafts: Sequence[Draft]) -> list[tuple[Alias, list[int]]]:
    """Return which messages go where; they stay in order."""
    grouped: dict[int, tuple[Alias, list[int]]] = {}
    for number, draft in enumerate(drafts):
        alias = draft.channel.alias
        grouped.setdefault(id(alias), (alias, []))[1].append(number)
    return list(grouped.values())


def _publish(drafts: Sequence[Draft]) -> Plan[list[Any]]:
    """Publish messages; return what each was answered. One round trip a server."""
    if len(drafts) == 1:
        return [(yield _command(drafts[0]))]
    return list((yield Batch([_command(each) for each in drafts])))


def _command(draft: Draft) -> Command:
    channel = draft.channel
    history = channel.keeps
    keys = channel.keys
    if history is None:
        said = b"0-0 " + draft.body
        return (SPUBLISH if channel.is_sharded else PUBLISH)(keys.stream, said)
    where: tuple[Argument, ...] = (keys.stream, keys.at)
    args: tuple[Argument, ...] = (
        draft.body,
        *_bounds(history),
        b"1" if channel.is_sharded else b"0",
        seen.of(keys.stream),
    )
    if draft.idempotency_key is None:
        return call(_SCRIPT, where, args)
    where += (keys.once + b":" + draft.idempotency_key.encode(),)
    args += (b"%d" % (ONCE * 1000),)
    return call(_SCRIPT, where, args, repeat=Repeat.SAFE)


@lru_cache(maxsize=256)
def _bounds(history: History) -> tuple[bytes, bytes, bytes]:
    """Return what the script is told of a history: its size and its two times."""
    return b"%d" % history.size, b"%d" % (history.ttl * 1000), lives(history)


def _positions(drafts: Sequence[Draft], found: dict[int, Any]) -> list[Position | None]:
    positions: list[Position | None] = []
    failure: RedponyError | None = None
    for number, draft in enumerate(drafts):
        reply = found[number]
        if isinstance(reply, RedponyError):
            failure = failure or _explained(reply, draft)
            positions.append(None)
        else:
            positions.append(_position(draft, reply))
    if failure is not None:
        raise failure
    return positions


def _position(draft: Draft, reply: Any) -> Position | None:
    """Return where a message is, and remember that its channel has come so far."""
    if not isinstance(reply, bytes):
        return None  # without history
    position = Position.parse(reply)
    seen.note(draft.channel.keys.stream, position, reply)
    return position


def _explained(error: RedponyError, draft: Draft) -> RedponyError:
    if isinstance(error, (Unavailable, ServerError)):
        error.add_note(f"While publishing to the channel {draft.channel.name!r}.")
    return error


def _raise(draft: Draft, plan: Plan[Any], error: RedponyError) -> Any:
    del plan
    raise _explained(error, draft)


_SCRIPT: Final = script("publish")


class Seen:
    """The last position that this process knows of, of the channels it used last.

    What it publishes next is told that: a server that has fallen back behind it (a
    replica that had not everything, and leads now) begins anew.
    """

    LIMIT: Final = 8192

    def __init__(self) -> None:
        self._last: OrderedDict[bytes, tuple[Position, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, stream: bytes) -> bytes:
        last = self._last.get(stream)
        return b"" if last is None else last[1]

    def note(self, stream: bytes, position: Position, text: bytes) -> None:
        """Note a position. Another thread may have noted a later one just now."""
        with self._lock:
            before = self._last.get(stream)
            if before is None or position > before[0]:
                self._last[stream] = position, text
                self._last.move_to_end(stream)
                if len(self._last) > self.LIMIT:
                    self._last.popitem(last=False)

    def clear(self) -> None:
        self._last.clear()


seen: Final = Seen()
