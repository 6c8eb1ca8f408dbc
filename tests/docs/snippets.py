"""The Python in a page, as blocks that can be run."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/]+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its first line in the page and its text."""

    language: str
    line: int
    text: str

    @property
    def file(self) -> str | None:
        """The file that it belongs into; None where it is meant for the shell."""
        named = FILE.match(self.text)
        return named[1] if named else None

    @property
    def code(self) -> list[str]:
        """Its tokens without comments: what must not differ between languages."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [token.string for token in tokens if token.type != tokenize.COMMENT]


@dataclass(frozen=True)
class Step:
    """One statement of a block, and the value that the page promises for it."""

    line: int
    source: str
    expected: str | None


def blocks(page: Path) -> list[Block]:
    """Return every fenced block of a page."""
    text = page.read_text()
    return [
        Block(found[1], text.count("\n", 0, found.start(2)) + 1, found[2])
        for found in FENCE.finditer(text)
    ]


def python(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "python"]


def steps(block: Block) -> list[Step]:
    """Return the statements of a block; a `# -> value` belongs to its line."""
    promises = {
        token.start[0]: token.string.removeprefix("# -> ")
        for token in tokenize.generate_tokens(io.StringIO(block.text).readline)
        if token.type == tokenize.COMMENT and token.string.startswith("# ->")
    }
    found = []
    for node in ast.parse(block.text).body:
        expected = promises.pop(node.end_lineno or 0, None)
        if expected is not None and not isinstance(node, ast.Expr):
            raise ValueError(f"a promise for no expression: {expected}")
        source = ast.get_source_segment(block.text, node) or ""
        found.append(Step(block.line + node.lineno - 1, source, expected))
    if promises:
        raise ValueError(f"promises that belong to no statement: {promises}")
    return found
