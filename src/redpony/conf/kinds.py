"""The kinds of values that settings take: each reads one, or says what it takes."""

from __future__ import annotations

import math
import pickle
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.utils.module_loading import import_string

from redpony.conf.model import Ignored, Reader, Refusal, Unfit
from redpony.wire.config import Secret
from redpony.wire.spelling import nearest

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def seconds(value: Any) -> float:
    """A time, more than 0."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 < value < math.inf
    ):
        raise Unfit("a number of seconds, more than 0, such as 0.25")
    return float(value)


def seconds_or_zero(value: Any) -> float:
    """A time, or 0 for none."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < math.inf
    ):
        raise Unfit("a number of seconds, or 0 to switch it off")
    return float(value)


def seconds_or_none(value: Any) -> float | Ignored:
    """A time-out of another package: nothing and 0 mean "for ever" there."""
    if value is None or (not isinstance(value, bool) and value == 0):
        return Ignored(
            "None and 0 would wait for ever; Redpony always has a deadline, and "
            "keeps its own"
        )
    return seconds(value)


def count(least: int) -> Callable[[Any], int]:
    """A whole number of at least so much."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise Unfit(f"a whole number of at least {least}")
        return value

    return read


def optional(reader: Reader, reason: str = "None is the default") -> Reader:
    """The same, or None, which changes nothing."""

    def read(value: Any) -> Any:
        return Ignored(reason) if value is None else reader(value)

    return read


def switch(value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise Unfit("True or False")
    return value


def text(value: Any) -> str:
    """A text without control characters."""
    if not isinstance(value, str) or CONTROL.search(value):
        raise Unfit("a text without control characters")
    return value


def pem(value: Any) -> str:
    """A certificate as text."""
    if not isinstance(value, str) or "-----BEGIN" not in value:
        raise Unfit("the text of a certificate (PEM)")
    return value


def word(value: Any) -> str:
    """A text that the server takes as one word."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise Unfit("a text of ASCII characters, without spaces")
    return value


def secret(value: Any) -> Secret | Ignored:
    """A password; empty is none."""
    if value is None or value == "":
        return Ignored("it is empty, so there is none")
    if not isinstance(value, str):
        raise Unfit("a text (it may come from the environment)")
    return Secret(value)


def user(value: Any) -> str | Ignored:
    """A user's name; empty is none."""
    return Ignored("it is empty, so there is none") if value == "" else text(value)


def choice(*known: str) -> Callable[[Any], str]:
    """One of some words."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            near = nearest(value, known) if isinstance(value, str) else ""
            listed = " or ".join(f'"{each}"' for each in known)
            raise Unfit(f"{listed}.{near}" if near else listed)
        return value

    return read


def choices(*known: str) -> Callable[[Any], tuple[str, ...]]:
    """A list of some of these words."""
    one = choice(*known)

    def read(value: Any) -> tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, list | tuple) or not value:
            listed = ", ".join(f'"{each}"' for each in known)
            raise Unfit(f"a list of one or more of {listed}")
        return tuple(one(each) for each in value)

    return read


def function(value: Any) -> Callable[..., Any]:
    """A callable or its dotted path."""
    found = imported(value) if isinstance(value, str) else value
    if not callable(found):
        raise Unfit("a callable, or the dotted path of one")
    result: Callable[..., Any] = found
    return result


def imported(path: str) -> Any:
    """The object at a dotted path of the user's."""
    try:
        return import_string(path)
    except ImportError as error:
        raise Refusal(
            f'"{path}" cannot be imported ({error}); correct the dotted path',
            "value",
        ) from error


def lifetime(value: Any) -> float | None:
    """TIMEOUT: seconds, None for ever; a number as text counts, as in Django."""
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,12}", value.strip()):
        value = int(value)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
    ):
        raise Unfit("a number of seconds, or None for entries that stay")
    return value


def key_version(value: Any) -> int:
    """VERSION: a whole number; a number as text counts, as in Django."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,12}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit("a whole number")
    return value


def degrade(value: Any) -> str:
    """IGNORE_EXCEPTIONS as a policy."""
    return "degrade" if switch(value) else "raise"


def pickle_protocol(value: Any) -> int:
    """A protocol of pickle; -1 is the highest."""
    highest = pickle.HIGHEST_PROTOCOL
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(f"a whole number from 0 to {highest}, or -1 for the highest")
    if value > highest or value < -1:
        raise Unfit(f"at most {highest} under this Python, or -1 for the highest")
    return highest if value == -1 else value


def level(value: Any) -> int:
    """A compressor's level; the compressor knows its range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit("a whole number")
    return value


def seal_keys(value: Any) -> tuple[bytes, ...]:
    """SEAL_KEYS: the first signs, all verify."""
    if isinstance(value, str | bytes) or not isinstance(value, list | tuple):
        raise Unfit('a list of texts, such as [os.environ["SEAL_KEY"]]')
    found: list[bytes] = []
    for each in value:
        if not isinstance(each, str | bytes):
            raise Unfit("a list of texts or bytes")
        found.append(each.encode() if isinstance(each, str) else each)
    if not found or min(map(len, found)) < 16:
        raise Unfit("a list of keys of at least 16 bytes each")
    return tuple(found)


def credential_provider(value: Any) -> Any:
    """redis-py's interface, as an object, a class or the dotted path of either."""
    found = imported(value) if isinstance(value, str) else value
    if isinstance(found, type):
        found = found()
    if not callable(getattr(found, "get_credentials", None)):
        raise Unfit("an object with get_credentials(), as in redis-py")
    try:
        hash(found)
    except TypeError:
        raise Unfit("a hashable object (links are shared by it)") from None
    return found


def protocol(value: Any) -> int:
    """The version of RESP."""
    if value not in (2, 3):
        raise Unfit("3, or 2 for a server that refuses HELLO")
    return int(value)


def certificates(value: Any) -> bool:
    """ssl_cert_reqs as "is the certificate verified"."""
    named: dict[Any, bool] = {
        None: False,
        "none": False,
        "cert_none": False,
        "optional": True,
        "cert_optional": True,
        "required": True,
        "cert_required": True,
        ssl.CERT_NONE: False,
        ssl.CERT_OPTIONAL: True,
        ssl.CERT_REQUIRED: True,
    }
    folded = value.casefold() if isinstance(value, str) else value
    if isinstance(value, bool) or folded not in named:
        raise Unfit('"required" or "none"')
    return named[folded]


def least_tls(value: Any) -> Ignored:
    """ssl_min_version, where ours is at least as strict."""
    try:
        asked = ssl.TLSVersion(value)
    except ValueError:
        raise Unfit("a member of ssl.TLSVersion") from None
    if asked == ssl.TLSVersion.TLSv1_3:
        raise Refusal(
            "Redpony asks for TLS 1.2 or later and has no setting for more; demand "
            "1.3 at the server (tls-protocols)"
        )
    return Ignored("TLS 1.2 or later is always demanded")


def ignored(reason: str) -> Reader:
    """Any value, without effect."""
    return lambda _: Ignored(reason)


def only(accepted: Any, reason: str, remedy: str) -> Reader:
    """One harmless value is accepted without effect; any other is refused."""

    def read(value: Any) -> Ignored:
        if value == accepted or value is None:
            return Ignored(reason)
        raise Refusal(remedy)

    return read


def refused(remedy: str) -> Reader:
    """No value."""

    def read(_: Any) -> Any:
        raise Refusal(remedy)

    return read


def switch_or_mapping(value: Any) -> bool | Mapping[str, Any]:
    """True, False, or a dict whose keys are names."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, Mapping):
        raise Unfit("True, False, or a dict of options by name")
    return mapping(value)


def mapping(value: Any) -> Mapping[str, Any]:
    """A dict whose keys are names."""
    if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
        raise Unfit("a dict of options by name")
    result: Mapping[str, Any] = value
    return result
