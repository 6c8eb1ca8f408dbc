"""Locks: ours beside redis-py's, python-redis-lock and pottery.

Every contestant runs in processes of its own, with a limit of time: what hangs is
killed, and said to have hung. What a peer cannot do is found out by having it do it.
"""
