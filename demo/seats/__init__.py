"""The last seats of a flight, sold to forty buyers at once: without a lock, and with it."""
