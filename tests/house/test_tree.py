"""The house rules that a machine can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PYTHON = sorted(
    path
    for room in ("src", "tests", "benchmarks", "demo")
    for path in (ROOT / room).rglob("*.py")
)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_a_file_holds_one_idea_in_at_most_600_lines(path):
    assert len(path.read_text().splitlines()) <= 600


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_says_what_it_is(path):
    text = path.read_text()
    if path.name == "__init__.py" and not text:
        return  # a folder that Django looks for, with nothing in it
    assert ast.get_docstring(ast.parse(text)), "no module docstring"


def test_no_room_is_a_drawer_for_everything():
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    found = [name(path) for path in SOURCES if path.stem in drawers]
    # django-redis' module names, which its users import.
    assert [each for each in found if "/compat/" not in each] == []


IMPORTED = """
import sys
before = set(sys.modules)
import {module}
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(sorted(loaded & {{"django", "redis", "hiredis", "asyncio"}}))
"""


def imported_by(module):
    run = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


def test_importing_redpony_imports_neither_django_nor_redis():
    assert imported_by("redpony") == "[]"


def test_every_public_name_resolves():
    import redpony

    missing = [each for each in redpony.__all__ if getattr(redpony, each, None) is None]
    assert missing == []


# [text](target), but neither images' alternatives nor code.
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_pages_lead_somewhere(page):
    text = FENCE.sub("", page.read_text())
    dead = []
    for target in LINK.findall(text):
        path = target.partition("#")[0]
        if "://" in target or target.startswith("mailto:") or not path:
            continue
        if not (page.parent / path).exists():
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_names_a_folder_of_one_machine(page):
    # A path that starts at a home or temporary folder is somebody's own.
    assert re.findall(r"(?<![\w.}$])/(?:root|home)/\w+", page.read_text()) == []
