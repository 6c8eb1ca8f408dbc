"""A server that sends back what it gets, and the clients that talk to it."""

from __future__ import annotations

import select
import socket


def echo(peer):
    while True:
        peer.send(peer.read_bytes())


def connect(peer, timeout=10.0):
    return socket.create_connection((peer.host, peer.port), timeout)


def read(sock, size):
    """Return so many bytes, or what came before the end."""
    got = b""
    while len(got) < size and (data := sock.recv(size - len(got))):
        got += data
    return got


def ask(sock, data=b"hello"):
    sock.sendall(data)
    return read(sock, len(data))


def is_silent(sock, seconds=0.05):
    return select.select([sock], [], [], seconds)[0] == []
