"""The pages by HTTP: what they say, and to whom."""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

PAGES = {
    "/": ("The world’s departures", "Leaving next"),
    "/latest/": ('"rows"', '"countries"', '"redis": "on"'),
    "/airports/": ("The busiest airports", "Search"),
    "/airports/?q=london": ("London Heathrow", "LHR"),
    "/airports/FRA/": ("Frankfurt am Main", "Europe/Berlin", "Departures"),
    "/airports/fra/": ("Frankfurt am Main",),
    "/cost/": ("What each request cost", "/airports/FRA/"),
}
GUARDED = {
    "/outage/": "Take Redis away",
    "/outage/latest/": "breaker closed",
    "/seats/": "Sell the last seats",
    "/seats/latest/": "12 seats are left",
}
BUTTONS = {"/outage/do/": "kill:1", "/outage/redis/": "0", "/seats/sell/": "none"}
WRONG = {
    "/outage/do/": ("kill:9", "kill:", "dance:1", ""),
    "/seats/sell/": ("auction", ""),
}
TOKEN = "a" * 32


def check_pages(site: str) -> None:
    """Each page answers and says what it is for."""
    for path, wanted in PAGES.items():
        status, headers, text = get(site + path)
        assert status == 200, f"{path} answers {status}"
        for each in wanted:
            assert each in text, f"{path} does not say {each!r}"
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert "total;dur=" in headers["server-timing"], path
    for path in ("/airports/ZZZ/", "/nothing/"):
        status, _, _ = get(site + path)
        assert status == 404, f"{path} answers {status}"


def check_all_answer(site: str) -> None:
    """Each page answers, whatever Redis does."""
    for path in PAGES:
        status, _, _ = get(site + path)
        assert status == 200, f"without Redis {path} answers {status}"


def check_guard(site: str) -> None:
    """Only this machine may press what breaks or starts things, and with a token."""
    for path, wanted in GUARDED.items():
        assert wanted in get(site + path)[2], f"{path} does not say {wanted!r}"
    for headers in ({"X-Forwarded-For": "203.0.113.7"}, {"Host": "example.org"}):
        _check_hidden(site, headers)
    for path, button in BUTTONS.items():
        status = post(site + path, button, {"Cookie": ""})
        assert status == 403, f"without a token {path} answers {status}"
        status, _, _ = get(site + path)
        assert status == 405, f"a GET of {path} answers {status}"
    for path, buttons in WRONG.items():
        for button in buttons:
            status = post(site + path, button)
            assert status == 400, f"the button {button!r} answers {status}"


def check_no_debug(site: str) -> None:
    """Without DEBUG there are no such pages, no buttons and no links to them."""
    _check_hidden(site, {})
    for path in PAGES:
        status, _, text = get(site + path)
        assert status == 200, f"{path} answers {status}"
        for hidden in ('"/outage/', '"/seats/'):
            assert hidden not in text, f"{path} names {hidden}"
    assert get(site + "/static/flightboard/site.css")[0] == 200


def _check_hidden(site: str, headers: dict[str, str]) -> None:
    for path in (*GUARDED, *BUTTONS):
        status, _, _ = get(site + path, headers)
        assert status == 404, f"{path} answers {status} to {headers}"
    for path, button in BUTTONS.items():
        status = post(site + path, button, headers)
        assert status == 404, f"POST {path} answers {status} to {headers}"


def get(
    url: str, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], str]:
    """Return status, headers and text of an answer."""
    return _answer(Request(url, headers=headers or {}))


def post(url: str, button: str, headers: dict[str, str] | None = None) -> int:
    """Return the status of an answer to a form with a token, not following it."""
    fields = {"do": button, "on": button, "csrfmiddlewaretoken": TOKEN}
    request = Request(url, urlencode(fields).encode())
    for name, value in ({"Cookie": f"csrftoken={TOKEN}"} | (headers or {})).items():
        request.add_header(name, value)
    return _answer(request)[0]


def _answer(request: Request) -> tuple[int, dict[str, str], str]:
    try:
        with urlopen(request, timeout=30) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, headers, response.read().decode()
    except HTTPError as error:
        return error.code, {}, ""
