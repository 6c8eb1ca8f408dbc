"""URLs of the demo."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("departures.urls")),
    path("cost/", include("cost.urls")),
    path("outage/", include("outage.urls")),
    path("seats/", include("seats.urls")),
]
