"""URLs of the flight board."""

from __future__ import annotations

from django.urls import path, register_converter

from departures import views


class AirportCode:
    """Three or four letters or digits: an IATA or ICAO code."""

    regex = "[A-Za-z0-9]{3,4}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(AirportCode, "airport")

app_name = "departures"
urlpatterns = [
    path("", views.board, name="board"),
    path("latest/", views.latest, name="latest"),
    path("airports/", views.search, name="search"),
    path("airports/<airport:code>/", views.airport, name="airport"),
    path("cache/", views.cache_switch, name="cache"),
]
