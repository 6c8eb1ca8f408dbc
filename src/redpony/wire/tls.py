"""TLS contexts, made once per configuration: verified unless told otherwise."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Any

from redpony.errors import InvalidSetting
from redpony.wire.config import Tls


@lru_cache(maxsize=64)
def context(tls: Tls) -> ssl.SSLContext:
    """Return the client's context; TLS 1.2 at least."""
    try:
        made = ssl.create_default_context(
            cafile=tls.ca_file, capath=tls.ca_path, cadata=tls.ca_data
        )
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if not tls.verify:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        elif not tls.check_hostname:
            made.check_hostname = False
        if tls.ciphers:
            made.set_ciphers(tls.ciphers)
        if tls.cert_file:
            secret = tls.key_password
            made.load_cert_chain(
                tls.cert_file,
                tls.key_file,
                password=None if secret is None else secret.reveal(),
            )
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting(
            f"The TLS files of this alias cannot be used: {error}"
        ) from error
    # `wrap_socket` drops what it has begun where the peer resets the connection before
    # the handshake, or an interrupt comes: the descriptor goes with the object.
    known: Any = made.sslsocket_class
    made.sslsocket_class = type("Socket", (known,), {"__del__": _close})
    return made


def _close(sock: ssl.SSLSocket) -> None:
    if sock.fileno() != -1:
        sock.close()
