"""Subscriptions: what servers say without having been asked."""
