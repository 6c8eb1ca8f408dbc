"""`manage.py redpony realtime`."""

from __future__ import annotations

import io
import json
from typing import Any

from django.core.management import call_command

from redpony.realtime import Channel, listen, publish_many
from tests.places import Guarded, Handle


class Told(Channel):
    pattern = "told:{number:int}"


def said(*words: str) -> str:
    out = io.StringIO()
    call_command("redpony", "realtime", *words, stdout=out)
    return out.getvalue()


def test_channels_are_listed(place: Handle) -> None:
    assert said("channels") == "Nothing was published to any channel.\n"
    positions = publish_many((Told(number=number % 3), number) for number in range(9))
    with listen(Told(number=1)):
        text = said("channels")
        (found,) = json.loads(said("channels", "told:1", "--json"))["channels"]
    assert text.endswith("3 channels.\n")
    assert all(f"told:{number}" in text for number in range(3))
    assert found["position"] == str(positions[7])
    assert found["users"] == 0
    # Whose right this is not is not told.
    told = found["kept"], found["readers"]
    assert told == ((None, None) if isinstance(place, Guarded) else (3, 1))
    assert found["idle"] is not None


def test_a_channel_is_followed(place: Handle) -> None:
    publish_many((Told(number=5), {"n": number}) for number in range(3))
    text = said("tail", "told:5", "--since", "0-0", "--timeout", "1")
    assert text.count('told:5  {"n": ') == 3
    assert text.endswith("3 messages.\n")
    lines = said("tail", "told:5", "--since", "1-1", "--timeout", "1", "--json")
    (reset,) = map(json.loads, lines.splitlines())
    assert reset["kind"] == "reset"


def test_what_a_terminal_would_obey_is_not_printed(valkey: Any, cache_on: Any) -> None:
    cache_on(valkey)
    Told(number=6).publish("\x1b[2J")
    text = said("tail", "told:6", "--since", "0-0", "--timeout", "0.5")
    assert "\x1b" not in text
