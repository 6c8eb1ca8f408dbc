"""Done by one of several processes, some of which are killed or stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.locks.children import Children
from tests.servers import until


@pytest.fixture
def callers(server: Any, make_cache: Any) -> Iterator[Children]:
    make_cache()  # and its user has the rights that an alias needs
    found = Children("tests.locks.caller", server)
    yield found
    found.end()


class Diary:
    """What the callers wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    def wait_for(self, what: str) -> str:
        """Wait for a line that begins so, and return the last."""
        found: list[str] = []

        def is_there() -> bool:
            found[:] = [each for each in self() if each.startswith(what)]
            return bool(found)

        until(is_there, f"{what} in {self()}")
        return found[-1]


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


def test_of_many_processes_one_does_it(callers: Children, diary: Diary) -> None:
    for name in "abcd":
        colour = "sync" if name < "c" else "async"
        callers.spawn(name, diary.path, 1, colour, "least")
    for name in "abcd":
        assert callers.wait(name) == 0
    lines = diary()
    who = lines[0].split()[1]
    assert sorted(lines) == sorted(
        [f"begin {who}", f"end {who}", *(f"result {name} {who}" for name in "abcd")]
    )


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_what_its_process_did_not_finish_is_done_by_a_waiter(
    callers: Children, diary: Diary, colour: str
) -> None:
    callers.spawn("a", diary.path, 60, colour, "least")
    diary.wait_for("begin a")
    callers.spawn("b", diary.path, 0, colour, "least")
    callers.kill("a")
    assert callers.wait("b") == 0
    assert diary() == ["begin a", "begin b", "end b", "result b b"]


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_what_must_not_be_begun_twice_is_not(
    callers: Children, diary: Diary, colour: str
) -> None:
    callers.spawn("a", diary.path, 60, colour, "most")
    diary.wait_for("begin a")
    callers.spawn("b", diary.path, 0, colour, "most")
    callers.kill("a")
    assert callers.wait("b") == 0
    assert diary() == ["begin a", "result b None"]


@pytest.mark.parametrize(("mode", "colour"), [("least", "async"), ("most", "sync")])
def test_who_was_stopped_beyond_its_lease_changes_no_result(
    callers: Children, diary: Diary, mode: str, colour: str
) -> None:
    callers.spawn("a", diary.path, 0.5, colour, mode)
    diary.wait_for("begin a")
    callers.freeze("a")
    callers.spawn("b", diary.path, 0, "sync", mode)
    assert callers.wait("b") == 0
    callers.thaw("a")
    assert callers.wait("a") == 0
    callers.spawn("c", diary.path, 0, "sync", mode)
    assert callers.wait("c") == 0
    if mode == "least":
        # It ran twice, and the first that was remembered stays.
        assert "begin b" in diary()
        assert diary()[-1] == "result c b"
    else:
        assert "begin b" not in diary()
        assert "result b None" in diary()
        assert diary()[-1] == "result c a"
