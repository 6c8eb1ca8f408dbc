"""URLs of the outage."""

from __future__ import annotations

from django.urls import path

from outage import views

app_name = "outage"
urlpatterns = [path("redis/", views.redis, name="redis")]
