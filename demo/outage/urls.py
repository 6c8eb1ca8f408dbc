"""URLs of the outage."""

from __future__ import annotations

from django.urls import path

from outage import views

app_name = "outage"
urlpatterns = [
    path("", views.page, name="page"),
    path("latest/", views.latest, name="latest"),
    path("do/", views.do, name="do"),
    path("redis/", views.redis, name="redis"),
]
