"""The page on options and the table in the code are one table."""

from __future__ import annotations

import re
from pathlib import Path

from redpony.conf.paths import COMPRESSOR_NAMES, SERIALIZER_NAMES
from redpony.conf.table import TABLE, own_name, rows
from redpony.wire.parameters import SERVER

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "options.md"

PLACES = {
    "Keys of an alias": ("alias",),
    "Redpony's own options": ("options",),
    "TLS": ("tls",),
    "Breaker": ("breaker",),
    "django-redis and django-valkey": ("options",),
    "redis-py's arguments": ("redis-py",),
    "Settings of the project": ("settings",),
}


def documented() -> set[tuple[str, str, str, str]]:
    found = set()
    for section in PAGE.read_text().split("\n## ")[1:]:
        title = section.partition("\n")[0]
        for match in re.finditer(
            r"^\| `(\w+)` \| ([\w-]+) \| ([\w ]+) \| .+ \|$", section, re.MULTILINE
        ):
            (place,) = PLACES[title]
            found.add((place, *match.groups()))
    return found


def test_the_page_lists_what_the_code_knows():
    coded = {(each.place, each.name, each.whose, each.does) for each in TABLE}

    assert documented() == coded


def test_no_row_stands_there_twice():
    places = [(each.place, each.name) for each in TABLE]

    assert len(places) == len(set(places))
    assert not rows("options").keys() & rows("redis-py").keys()


def test_every_parameter_of_a_url_has_a_row():
    assert SERVER.keys() <= rows("redis-py").keys()


def test_the_page_names_all_serializers_and_compressors():
    text = PAGE.read_text()

    assert [each for each in SERIALIZER_NAMES if f'`"{each}"`' not in text] == []
    assert [each for each in COMPRESSOR_NAMES if f'`"{each}"`' not in text] == []


def test_an_option_of_another_package_knows_our_name_for_it():
    assert own_name(rows("options")["SOCKET_TIMEOUT"]) == "DEADLINE"
    assert own_name(rows("redis-py")["ssl_ca_certs"]) == "TLS.CA_FILE"
    assert own_name(rows("options")["DEADLINE"]) is None
