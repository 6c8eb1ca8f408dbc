"""The pattern of a channel's names: `order:{order_id:int}`, with parameters.

A parameter is any text without a colon, or `int`, `slug` or `uuid` after its name. A model's
instance stands for its primary key.
"""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import UUID

LONGEST: Final = 200

_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)(?::(\w+))?\}")
_FIT = re.compile(r"[^\s\x00-\x1f\x7f,@]+")

_KINDS: Final[dict[str, tuple[str, Any]]] = {
    "str": (r"[^:]+", str),
    "int": (r"-?[0-9]{1,19}", int),
    "slug": (r"[-A-Za-z0-9_]+", str),
    "uuid": (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", UUID),
}


def check_name(name: str) -> str:
    """Return a channel's name; raises `ValueError` for one that cannot be."""
    if len(name) > LONGEST or not _FIT.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a channel's name: it takes 1 to {LONGEST} characters, "
            'no spaces, control characters, commas or "@"'
        )
    return name


class Pattern:
    """A pattern, both ways: from parameters to a name, and back."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.parameters: dict[str, str] = {}
        expression, rest = "", 0
        for found in _PARAMETER.finditer(text):
            name, kind = found[1], found[2] or "str"
            if kind not in _KINDS:
                raise ValueError(
                    f"The pattern {text!r} has a parameter of the type {kind!r}; there "
                    f"are {', '.join(_KINDS)}"
                )
            if name in self.parameters:
                raise ValueError(f"The pattern {text!r} has {name!r} twice")
            self.parameters[name] = kind
            expression += re.escape(text[rest : found.start()])
            expression += f"(?P<{name}>{_KINDS[kind][0]})"
            rest = found.end()
        if "{" in text[rest:] or not text:
            raise ValueError(f'{text!r} is no pattern such as "order:{{order_id:int}}"')
        self._expression = re.compile(expression + re.escape(text[rest:]))

    def name(self, given: dict[str, Any]) -> str:
        """Return the name for parameters; raises `TypeError` or `ValueError`."""
        if given.keys() != self.parameters.keys():
            raise TypeError(
                f"A channel {self.text!r} takes {_listed(self.parameters)}, and was given "
                f"{_listed(given)}"
            )
        text = {each: _text(value) for each, value in given.items()}
        name = _PARAMETER.sub(lambda found: text[found[1]], self.text)
        found = self._expression.fullmatch(check_name(name))
        if found is None or found.groupdict() != text:
            raise ValueError(f"{text} do not fit into the channel's name {self.text!r}")
        return name

    def parse(self, name: str) -> dict[str, Any] | None:
        """Return the parameters of a name; None where it is none of these."""
        found = self._expression.fullmatch(name)
        if found is None:
            return None
        return {
            each: _KINDS[self.parameters[each]][1](text)
            for each, text in found.groupdict().items()
        }


def _text(value: Any) -> str:
    key = getattr(value, "pk", value)
    if key is None:
        raise ValueError(f"{value!r} has no primary key yet, so it has no channel")
    return str(key)


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names)) or "nothing"
