"""Every row of the page on errors that is about settings comes true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.test import override_settings

from redpony import get_redis
from redpony.conf import Misconfigured, memo, paths, read_alias

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"

ROW = re.compile(r"^\| ([^|]+) \| `(.+?)` \| `(.+)` \|$", re.MULTILINE)


class Provider:
    def get_credentials(self):
        return ("secret",)


def documented() -> list[tuple[str, str, str]]:
    section = PAGE.read_text().split("\n## Settings\n")[1].split("\n## ")[0]
    return [match.groups() for match in ROW.finditer(section)]


def provoke(written: str) -> None:
    """Do what stands in the second column."""
    if written.startswith("get_redis("):
        eval(written, {"get_redis": get_redis})
        return
    if written == 'SECRET_KEY = ""':
        with override_settings(SECRET_KEY=""):
            read_alias("default", "redis://127.0.0.1", {})
        return
    if re.match(r"[A-Z_]+=", written):
        params = eval(f"dict({written})", {"PROVIDER": Provider()})
        location = params.pop("LOCATION", "redis://127.0.0.1")
        read_alias("default", location, params)
        return
    read_alias("default", eval(written), {})


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """Leave nothing remembered, and zstd not installed."""
    present = paths._present
    monkeypatch.setattr(
        paths, "_present", lambda name: "zstd" not in name and present(name)
    )
    memo._forget()


def test_the_page_has_rows():
    assert len(documented()) == 48


@pytest.mark.parametrize(("wrong", "written", "said"), documented())
def test_bad_input_is_an_error_that_says_what_the_page_says(wrong, written, said):
    with pytest.raises(Misconfigured) as caught:
        provoke(written)

    assert said in str(caught.value)


@pytest.mark.parametrize(("wrong", "written", "said"), documented())
def test_bad_input_names_the_setting_and_hides_the_secret(wrong, written, said):
    with pytest.raises(Misconfigured) as caught:
        provoke(written)

    (problem,) = caught.value.problems
    assert problem.where.startswith(("CACHES", "SECRET_KEY"))
    assert "secret" not in str(caught.value).replace("SECRET", "")
