"""Aliases of CACHES, by whose backend serves them."""

from __future__ import annotations

from typing import Any

LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


def ours(location: Any, **params: Any) -> dict[str, Any]:
    return {"BACKEND": "redpony.cache.RedisCache", "LOCATION": location, **params}


def theirs(location: Any, **params: Any) -> dict[str, Any]:
    return {**ours(location, **params), "BACKEND": "django_redis.cache.RedisCache"}


def djangos(location: Any, **params: Any) -> dict[str, Any]:
    backend = "django.core.cache.backends.redis.RedisCache"
    return {**ours(location, **params), "BACKEND": backend}


def valkeys(location: Any, **params: Any) -> dict[str, Any]:
    return {**ours(location, **params), "BACKEND": "django_valkey.cache.ValkeyCache"}
