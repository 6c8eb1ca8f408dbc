"""The servers of `redpony.testing.chaos`, with certificates of the test's own.

`Server`, `Replication`, `Sentinel` and `Cluster` are those; here `tls=True` makes
the certificates, which remain as long as the handle.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import trustme

from redpony.testing import chaos
from redpony.testing.chaos import Counted, Group, free_port, until

__all__ = [
    "Certificates",
    "Cluster",
    "Counted",
    "Group",
    "Replication",
    "Sentinel",
    "Server",
    "free_port",
    "until",
]


class Certificates(chaos.Certificates):
    """A certificate authority of the test's own, with a server's certificate."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(
            prefix="rp-certificates-", ignore_cleanup_errors=True
        )
        directory = Path(self._directory.name)
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        client = authority.issue_cert("client@redpony.test")
        super().__init__(
            certificate=directory / "server.pem",
            key=directory / "server.key",
            ca=directory / "ca.pem",
        )
        self.client_certificate = directory / "client.pem"
        self.client_key = directory / "client.key"
        authority.cert_pem.write_to_path(self.ca)
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        issued.private_key_pem.write_to_path(self.key)
        client.cert_chain_pems[0].write_to_path(self.client_certificate)
        client.private_key_pem.write_to_path(self.client_key)

    def close(self) -> None:
        self._directory.cleanup()


class _Certified:
    """A handle that makes its certificates."""

    certificates: Certificates | None

    def __init__(self, *args: Any, tls: bool = False, **options: Any) -> None:
        made = Certificates() if tls else None
        super().__init__(*args, tls=made, **options)

    def close(self) -> None:
        super().close()
        if self.certificates is not None:
            self.certificates.close()


class Server(_Certified, chaos.Server):
    pass


class Replication(_Certified, chaos.Replication):
    pass


class Sentinel(_Certified, chaos.Sentinel):
    pass


class Cluster(_Certified, chaos.Cluster):
    pass
