"""The certificates of a run: an authority, and a certificate of it for localhost on P-256."""

import os
import subprocess
from dataclasses import dataclass

from processes import Failed


@dataclass(frozen=True)
class Certificates:
    """The files, and what everyone is to agree on."""

    authority: str
    chain: str
    key: str
    # Certificate and key in one file.
    bundle: str
    version: str = "TLSv1.3"
    # The one that OpenSSL, and so wrk, prefers.
    cipher: str = "TLS_AES_256_GCM_SHA384"


NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def make(folder):
    """Makes them with the command of OpenSSL."""
    made = Certificates(*(os.path.join(folder, name) for name in ("ca.pem", "cert.pem", "key.pem", "both.pem")))
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    request = ["openssl", "req", "-x509", "-days", "30", *key]
    authority_key = os.path.join(folder, "ca.key")
    # Private and readable by no other user.
    mask = os.umask(0o077)
    try:
        for command in (
            [*request, "-subj", "/CN=bench", "-keyout", authority_key, "-out", made.authority],
            [*request, "-subj", "/CN=localhost", "-addext", NAMES, "-addext", "basicConstraints=CA:FALSE",
             "-CA", made.authority, "-CAkey", authority_key, "-keyout", made.key, "-out", made.chain],
        ):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode:
                raise Failed(f"openssl: {done.stderr.strip()[-400:]}")
        with open(made.bundle, "w", encoding="ascii") as bundle:
            for path in (made.chain, made.key):
                with open(path, encoding="ascii") as part:
                    bundle.write(part.read())
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"openssl: {error}") from error
    finally:
        os.umask(mask)
    return made
