"""Real time: ours beside django-eventstream, Channels and Django's own generator.

Every contestant has three processes of its own: a site on uvicorn, a publisher, and its
browsers, which are raw asyncio protocols. What is lost, and what comes twice, is counted
by the browsers from the messages' numbers.
"""
