"""README's code runs, and README stays one screen."""

import ast
import re
from pathlib import Path

import pytest

from redpony.realtime import listen, listening
from tests.docs.snippets import python

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TWIN = re.compile(r"# (await|async with) cache\.(a\w+)\(\.\.\.\)")


@pytest.fixture
def settings_block():
    found = {}
    exec(python(README)[0].text, found)
    return found


def test_the_settings_are_the_embedded_server(settings_block):
    default = settings_block["CACHES"]["default"]
    assert default == {
        "BACKEND": "redpony.cache.RedisCache",
        "LOCATION": "embedded://",
    }
    assert "redpony" in settings_block["INSTALLED_APPS"]


def test_the_sync_lines_run(make_cache):
    make_cache()
    exec(python(README)[1].text, {})


def test_the_lines_on_locks_and_messages_run(make_cache):
    make_cache()
    exec(python(README)[2].text, {})
    with listen("flight:LH400", since="0-0", timeout=5) as messages:
        assert next(messages).data["fence"] > 0
    listening.close()


def test_each_line_names_the_async_twin_of_what_it_calls():
    lines = python(README)[1].text.splitlines()
    called = [
        line for line in lines if "cache." in line and not line.startswith("from")
    ]
    assert len(called) == 7
    for line in called:
        sync = re.search(r"cache\.(\w+)\(", line)
        twin = TWIN.search(line)
        assert twin, line
        assert twin[2] == f"a{sync[1]}"
        assert (twin[1] == "async with") == line.startswith("with ")


def test_each_async_twin_exists(make_cache):
    cache = make_cache()
    for _, name in TWIN.findall(README.read_text()):
        assert callable(getattr(cache, name)), name


def test_readme_is_one_screen():
    assert len(README.read_text().splitlines()) <= 90


@pytest.mark.parametrize("page", ["docs/getting-started.md", "CONTRIBUTING.md"])
def test_other_pages_hold_python_that_parses(page):
    for block in python(ROOT / page):
        ast.parse(block.text)
