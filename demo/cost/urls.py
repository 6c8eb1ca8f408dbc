"""URLs of the cost page."""

from __future__ import annotations

from django.urls import path

from cost import views

app_name = "cost"
urlpatterns = [
    path("", views.cost, name="cost"),
    path("latest/", views.latest, name="latest"),
]
