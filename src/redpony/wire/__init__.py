"""The wire: RESP3 over hiredis, blocking and in asyncio, with nothing between."""
