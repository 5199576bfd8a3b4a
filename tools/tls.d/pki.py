"""Certificates for the tools, made with the command of OpenSSL: ECDSA on P-256."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """The files of a certificate and its key."""

    cert: str
    key: str

    def bundle(self):
        """The path of a file with both, as HAProxy wants them."""
        path = Path(f"{self.cert}.bundle")
        path.touch(0o600)
        path.write_text(Path(self.cert).read_text() + Path(self.key).read_text())
        return str(path)


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder, name):
        self.folder, self.name = Path(folder), name
        self.cert, self.key = f"{folder}/{name}.pem", f"{folder}/{name}.key"
        self.made = 0
        openssl("req", "-x509", *NEW_KEY, self.key, "-out", self.cert, "-days", "30", "-subj", f"/CN={name}")

    def issue(self, subject, names=(), days=30):
        """A certificate for DNS names and IP addresses, or of a client; expired if `days` is negative."""
        self.made += 1
        base = f"{self.folder}/{self.name}.{self.made}"
        alternatives = [("IP:" if name[-1].isdigit() else "DNS:") + name for name in names]
        extensions = ["basicConstraints=CA:FALSE"]
        extensions += [f"subjectAltName={','.join(alternatives)}"] if names else []
        Path(f"{base}.ext").write_text("\n".join(extensions))
        openssl("req", *NEW_KEY, f"{base}.key", "-out", f"{base}.csr", "-subj", f"/CN={subject}")
        openssl(
            "x509", "-req", "-in", f"{base}.csr", "-CA", self.cert, "-CAkey", self.key, "-days", str(days),
            "-CAcreateserial", "-extfile", f"{base}.ext", "-out", f"{base}.pem",
        )
        return Identity(f"{base}.pem", f"{base}.key")


NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"]


def openssl(*words):
    """Runs it; the error is what it says."""
    try:
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"openssl: {error}") from error
    if done.returncode:
        raise RuntimeError(f"openssl: {done.stderr.strip()[-400:]}")
