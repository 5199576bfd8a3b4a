"""The TLS cases: what clients agree on with Evener, and Evener with servers."""

import re

from tls_clients import HTTP_1, UNKNOWN, Refused
from tls_servers import ALPN, CLIENT, SNI, VERSION

RESUMED_MIN = 0.99


def equal(got, wanted, what):
    assert got == wanted, f"{what}: {got!r:.300}, not {wanted!r:.300}"


def refused(client, asked):
    try:
        outcome = client.ask(asked)
    except Refused:
        return
    raise AssertionError(f"not refused: {outcome!r:.300}")


# Clients: each case gets the client and what it asks, to be changed.


def version(wanted):
    def case(client, at):
        outcome = client.ask(at.asked(version=wanted))
        equal(outcome.version, wanted, "version")
        assert "GET /echo" in outcome.answer, outcome.answer
        assert re.search("x-forwarded-proto: https", outcome.answer, re.IGNORECASE), outcome.answer

    return case


def old_version(client, at):
    refused(client, at.asked(version="1.1"))


def alpn(offered, wanted):
    def case(client, at):
        equal(client.ask(at.asked(alpn=offered)).alpn, wanted, "ALPN")

    return case


def unknown_alpn(client, at):
    refused(client, at.asked(alpn=UNKNOWN))


def sni(name, wanted):
    def case(client, at):
        outcome = client.ask(at.asked(name=name, named=name == wanted))
        equal(outcome.subject, wanted, f"certificate for {name}")

    return case


def resumption(client, at):
    """Reconnects; a third of the way in, the certificates change, and two thirds in, the process."""
    client.ask(at.asked(), resume=True)
    resumed = 0
    for number in range(at.reconnects):
        what = ""
        if number == at.reconnects // 3:
            at.reload()
            what = "after the reload"
        if number == 2 * at.reconnects // 3:
            at.upgrade()
            what = "after the upgrade"
        outcome = client.ask(at.asked(), resume=True)
        resumed += outcome.resumed
        assert outcome.resumed or not what, f"no session was resumed {what}"
    share = resumed / at.reconnects
    assert share >= RESUMED_MIN, f"{share:.1%} of {at.reconnects} reconnects resumed a session"


FORGED = ("X-Client-Cert-Subject: CN=root", "x_client_cert_subject: CN=root", "X-CLIENT-CERT-SHA256: 00")


def certificate(client, at):
    outcome = client.ask(at.asked(identity=at.pki.alice, headers=FORGED))
    expect_alice(outcome.answer)


def resumed_certificate(client, at):
    """A resumed session keeps its client."""
    for wanted in (False, True):
        outcome = client.ask(at.asked(identity=at.pki.alice, headers=FORGED), resume=True)
        equal(outcome.resumed, wanted, "resumed")
        expect_alice(outcome.answer)


def expect_alice(answer):
    found = re.findall(r"^(x[-_]client[-_]cert[-_]\w+): *(.*?)\r?$", answer, re.IGNORECASE | re.MULTILINE)
    names = sorted(name.lower() for name, _ in found)
    equal(names, ["x-client-cert-sha256", "x-client-cert-subject"], "headers")
    assert any("CN=alice" in value for _, value in found), found
    assert "root" not in answer, answer


def no_certificate(client, at):
    refused(client, at.asked())


def bad_certificate(which):
    def case(client, at):
        refused(client, at.asked(identity=getattr(at.pki, which)))

    return case


# Each with what a client must be able to do for it.
LISTENER = {
    "TLS 1.2": (version("1.2"), None),
    "TLS 1.3": (version("1.3"), None),
    "TLS 1.1 refused": (old_version, "TLS 1.1"),
    "ALPN http/1.1": (alpn(HTTP_1, "http/1.1"), None),
    "no ALPN": (alpn((), None), None),
    "ALPN among others": (alpn((*UNKNOWN, *HTTP_1), "http/1.1"), "any ALPN"),
    "unknown ALPN refused": (unknown_alpn, "any ALPN"),
    "SNI exact": (sni("exact.wild.test", "exact.wild.test"), None),
    "SNI wildcard": (sni("other.wild.test", "*.wild.test"), None),
    "SNI unknown": (sni("unknown.test", "first.test"), None),
    "no SNI": (sni(None, "first.test"), None),
    "resumption": (resumption, "resumption"),
}
MUTUAL = {
    "client certificate": (certificate, None),
    "client resumed": (resumed_certificate, "resumption"),
    "none refused": (no_certificate, None),
    "wrong CA refused": (bad_certificate("mallory"), None),
    "expired refused": (bad_certificate("late"), None),
}


# Servers: each case gets what starts the server and Evener, and asks through Evener.


def server_version(wanted):
    def case(at):
        with at.serving(version=wanted):
            text = at.get()
            # The status page of s_server writes it in its own way.
            assert re.search(rf"(version=|Protocol *: *)TLSv{re.escape(wanted)}\b", text), text

    return case


def server_sni(at):
    with at.serving():
        assert "sni=first.test" in at.get(), at.get()


def server_alpn(at):
    with at.serving():
        assert "alpn=http/1.1" in at.get(), at.get()


def server_certificate(at):
    extra = {"client_cert": at.pki.alice.cert, "client_key": at.pki.alice.key}
    with at.serving(mutual=True, extra=extra):
        assert re.search(r"client=/?CN=alice", at.get()), at.get()


def server_without_certificate(at):
    with at.serving(mutual=True):
        # nginx completes the handshake and answers.
        equal(at.status(), 400 if at.server.name == "nginx" else 502, "status")


def server_wrong_name(at):
    with at.serving(extra={"sni": "other.test"}):
        equal(at.status(), 502, "status")
        at.logged("name")


def server_unknown_issuer(at):
    with at.serving(extra={"ca": at.pki.others.cert}):
        equal(at.status(), 502, "status")
        at.logged("issuer")


def server_expired(at):
    with at.serving(identity=at.pki.expired):
        equal(at.status(), 502, "status")
        at.logged("expired")


def server_unverified(at):
    with at.serving(extra={"ca": None, "sni": "other.test", "verify": "false"}):
        equal(at.status(), 200, "status")


SERVERS = {
    "TLS 1.2": (server_version("1.2"), VERSION),
    "TLS 1.3": (server_version("1.3"), VERSION),
    "SNI": (server_sni, SNI),
    "ALPN": (server_alpn, ALPN),
    "client certificate": (server_certificate, CLIENT),
    "refused without it": (server_without_certificate, CLIENT),
    "wrong name: 502": (server_wrong_name, None),
    "unknown issuer: 502": (server_unknown_issuer, None),
    "expired: 502": (server_expired, None),
    "verify: false": (server_unverified, None),
}
