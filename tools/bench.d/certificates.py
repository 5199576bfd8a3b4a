"""The certificates of a run: an authority, and a certificate of it for localhost on P-256."""

from dataclasses import dataclass

from pki import Authority
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


def make(folder):
    """Makes them."""
    try:
        authority = Authority(folder, "bench")
        mine = authority.issue("localhost", ["localhost", "127.0.0.1"])
    except RuntimeError as error:
        raise Failed(str(error)) from error
    return Certificates(authority.cert, mine.cert, mine.key, mine.bundle())
