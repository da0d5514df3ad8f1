"""Certificates for tests of TLS: an authority of its own, one certificate for a server and one for a client.

Made with the ``openssl`` command, so that nothing has to be installed for Python.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM form. All are signed by ``ca``, for 127.0.0.1 and localhost.

    Attributes:
        ca: certificate of the authority.
        certificate: of the server.
        key: of the server.
        client_certificate: of a client.
        client_key: of a client.
    """

    ca: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path

    def client_options(self) -> dict[str, Any]:
        """Return what ``redis.Redis`` needs beside ``ssl=True``."""
        return {
            "ssl_ca_certs": str(self.ca),
            "ssl_certfile": str(self.client_certificate),
            "ssl_keyfile": str(self.client_key),
        }

    def server_lines(self) -> dict[str, str]:
        """Return what stands in a server's configuration beside ``tls-port``."""
        return {
            "tls-ca-cert-file": str(self.ca),
            "tls-cert-file": str(self.certificate),
            "tls-key-file": str(self.key),
        }


def certificates(directory: Path) -> Certificates:
    """Make an authority and its certificates in ``directory``; they are good for two days.

    Raises:
        RuntimeError: there is no ``openssl``, or it failed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ca, ca_key = directory / "ca.crt", directory / "ca.key"
    _openssl(
        "req", "-x509", "-subj", "/CN=Framekeep tests", *_NEW_KEY, "-keyout", ca_key, "-out", ca,
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    made: list[Path] = []
    for name, usage in (("server", "serverAuth"), ("client", "clientAuth")):
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        _openssl(
            "req", "-x509", "-subj", f"/CN={name}", *_NEW_KEY, "-keyout", key, "-out", certificate,
            "-CA", ca, "-CAkey", ca_key,
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-addext", f"extendedKeyUsage={usage}",
        )  # fmt: skip
        made += [certificate, key]
    return Certificates(ca, *made)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def _openssl(*arguments: str | Path) -> None:
    try:
        ended = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError(
            "there is no openssl to make certificates with: install it (apt-get install openssl)"
        ) from None
    if ended.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {ended.stderr.strip()}")
