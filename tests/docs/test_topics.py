"""The Python in the pages on testing and observability runs as it stands."""

from pathlib import Path

import pytest

from redpony import connections, events
from redpony.events import Operation
from tests.docs.snippets import python

TOPICS = Path(__file__).parents[2] / "docs" / "topics"


def run(page):
    """Run a page's blocks, one after the other, and return what they define."""
    names = {"__name__": "page"}
    for block in python(TOPICS / page):
        exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), names)
    return names


def cases_of(page):
    names = run(page)
    return [pytest.param(names[name], id=name) for name in names if name[:5] == "test_"]


@pytest.mark.parametrize("test", cases_of("testing.md"))
def test_the_page_on_testing_holds_tests_that_pass(test):
    try:
        test()
    finally:
        connections.close_all()


def test_the_page_on_testing_holds_several():
    assert len(cases_of("testing.md")) >= 8


def test_the_failure_on_the_page_on_testing_is_the_drivers_own():
    page = (TOPICS / "testing.md").read_text()
    names = run("testing.md")
    driver = names["ScriptedDriver"]()
    driver.expect(names["GET"]("shop:1:pony"), None)
    driver.expect(names["SET"]("shop:1:pony", b"42", b"PX", b"60000"), "OK")
    cache = names["scripted_cache"](driver, KEY_PREFIX="shop")
    cache.get("pony")
    with pytest.raises(AssertionError) as caught:
        cache.set("pony", 42)
    assert f"AssertionError: {caught.value}\n" in page


def test_the_page_on_observability_runs():
    from redpony.contrib.opentelemetry import uninstrument

    names = run("observability.md")
    try:
        for seconds in (0.01, 0.06):
            events.emit(Operation("default", "get", ("GET",), 1, seconds, "n:1/0"))
        assert names["slow"] == [("default", "get", ("GET",), 0.06)]
    finally:
        names["stop"]()
        uninstrument()
    assert not events.listening
