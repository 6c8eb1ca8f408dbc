"""The tutorial runs as printed, and says the same in both languages.

Each language is a project of its own in a temporary folder, with the settings that
the tutorial prints, so its cache is an embedded server of its own.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.snippets import blocks, python, steps

ROOT = Path(__file__).parents[2]
PAGES = {
    "en": ROOT / "docs/tutorial/en.md",
    "zh": ROOT / "docs/tutorial/zh.md",
}

# What `startproject` would have written; the tutorial's own lines come below it.
SETTINGS = """
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "the tutorial's own secret key, long enough to be one"
DEBUG = True
INSTALLED_APPS = ["redpony", "shop"]
ROOT_URLCONF = "shop.urls"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
"""


def make_project(folder, snippets):
    files = {
        "mysite/__init__.py": "",
        "mysite/settings.py": SETTINGS,
        "shop/__init__.py": "",
    }
    for block in snippets:
        if block.file:
            files[block.file] = files.get(block.file, "") + block.text
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def run_page(folder, page):
    """Run every block of a page; return what ran, or fail with the line."""
    snippets = python(page)
    make_project(folder, snippets)
    shell = [
        [(step.line, step.source, step.expected) for step in steps(block)]
        for block in snippets
        if not block.file
    ]
    (folder / "blocks.json").write_text(json.dumps(shell))
    command = [sys.executable, "-W", "error", Path(__file__).with_name("shell.py")]
    done = subprocess.run(
        [*command, folder / "blocks.json", str(page.relative_to(ROOT))],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout.splitlines()[-1]), shell


@pytest.mark.parametrize("language", PAGES)
def test_every_snippet_runs_and_gives_what_it_promises(language, tmp_path):
    page = PAGES[language]
    report, shell = run_page(tmp_path, page)

    statements = [step for block in shell for step in block]
    promises = [step for step in statements if step[2] is not None]
    files = {block.file for block in python(page) if block.file}
    modules = {name.removesuffix(".py").replace("/", ".") for name in files}
    assert report["ran"] == len(statements)
    assert report["checked"] == len(promises)
    assert modules <= set(report["modules"]), "a file of the tutorial was never used"
    assert len(promises) > 40


def test_the_code_is_the_same_in_both_languages():
    english, chinese = (python(page) for page in PAGES.values())
    assert [block.code for block in english] == [block.code for block in chinese]


def test_the_promises_are_the_same_in_both_languages():
    def promised(page):
        return [
            step.expected
            for block in python(page)
            if not block.file
            for step in steps(block)
        ]

    english, chinese = map(promised, PAGES.values())
    assert english == chinese


def test_both_languages_have_the_same_chapters():
    def chapters(page):
        lines = page.read_text().splitlines()
        return [line.partition(" ")[0] for line in lines if line.startswith("##")]

    english, chinese = map(chapters, PAGES.values())
    assert english == chinese


@pytest.mark.parametrize("language", PAGES)
def test_no_block_escapes_the_test_by_its_language(language):
    languages = {block.language for block in blocks(PAGES[language])}
    assert languages == {"python", "console"}


def test_a_wrong_promise_fails(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\n1 + 1  # -> 3\n```\n")
    shell = [
        [(step.line, step.source, step.expected) for step in steps(block)]
        for block in python(page)
    ]
    make_project(tmp_path, [])
    (tmp_path / "shop/urls.py").write_text("urlpatterns = []\n")
    (tmp_path / "blocks.json").write_text(json.dumps(shell))
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("shell.py"), "blocks.json", "page"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "got 2, promised 3" in done.stderr
