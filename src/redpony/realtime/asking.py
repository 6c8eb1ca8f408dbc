"""Calling what users wrote, of either colour, from the event loop.

A coroutine function is awaited. Any other is called in a thread, as Django does, with what
it needs there: its database connections are given back after, as at a request's end. Inside
a sync view it is called at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from redpony.realtime.channel import Channel

logger = logging.getLogger("redpony.realtime")


async def called(function: Callable[..., Any], *args: Any) -> Any:
    """Return what a user's function returns."""
    if iscoroutinefunction(function):
        return await function(*args)
    from asgiref.sync import sync_to_async

    found = await sync_to_async(_in_thread, thread_sensitive=False)(function, *args)
    return await found if isawaitable(found) else found


def _in_thread(function: Callable[..., Any], *args: Any) -> Any:
    from django.db import connections

    try:
        return function(*args)
    finally:
        connections.close_all()


async def may_read(channel: Channel, user: Any) -> bool:
    """Return whether a user may read a channel; an error is a no, and is logged."""
    if type(channel).can_subscribe is Channel.can_subscribe:
        return False
    try:
        return bool(await called(channel.can_subscribe, user))
    except asyncio.CancelledError:
        raise
    except Exception:
        logger.exception("%r could not say who may read it, so nobody may", channel)
        return False


async def user_of(request: Any) -> Any:
    """Return who makes a request; None where nobody knows of users.

    Django looks that up when it is first asked. It may be asked here, after the request:
    nobody closes the database connection then, but for `called`.
    """
    from django.utils.functional import LazyObject, empty

    found = getattr(request, "_acached_user", None)  # a view has awaited `auser()`
    if found is not None:
        return found
    user = getattr(request, "user", None)
    if isinstance(user, LazyObject) and vars(user).get("_wrapped", empty) is empty:
        await called(_look_up, user)
    elif user is None and hasattr(request, "auser"):
        return await request.auser()
    return user


def _look_up(user: Any) -> None:
    user._setup()  # noqa: SLF001 (what any attribute of it would do)


def session_of(request: Any) -> str:
    """Return the key of a request's session, or ''."""
    session = getattr(request, "session", None)
    return getattr(session, "session_key", None) or ""


def identity_of(user: Any) -> str:
    """Return what a user is known by, or '' for one who is not known."""
    key = getattr(user, "pk", None)
    return "" if key is None else str(key)
