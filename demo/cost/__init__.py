"""What a request costs: queries, round trips and time, by layer.

The layers are the database, the cache and the rest. A middleware opens a `Cost` for
each request; the database's execute wrapper and Redpony's `Operation` events fill
it. All of them find it in a context variable, so it works in threads and tasks.
"""
