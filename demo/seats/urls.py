"""URLs of the last seats."""

from __future__ import annotations

from django.urls import path

from seats import views

app_name = "seats"
urlpatterns = [
    path("", views.page, name="page"),
    path("latest/", views.latest, name="latest"),
    path("sell/", views.sell, name="sell"),
]
