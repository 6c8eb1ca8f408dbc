"""The reference lists every method of the cache, as the code has it."""

from redpony.cache import RedisCache
from tests.docs import write_reference

INTERNAL = {"sscan_page"}


def test_the_reference_is_what_the_code_says():
    written = write_reference.PAGE.read_text()
    assert written == write_reference.page(), (
        "run: python -m tests.docs.write_reference"
    )


def test_every_method_is_in_the_reference():
    listed = {
        name: twin
        for room in write_reference.rooms()
        for name, _, twin in write_reference.methods(room)
    }
    assert RedisCache._planned - INTERNAL <= set(listed)
    assert {name for name, twin in listed.items() if twin is None} == {
        "make_pattern",
        "reverse_key",
    }
