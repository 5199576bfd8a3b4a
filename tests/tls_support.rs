//! The TLS peers of these tests understand each other.

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error, ProtocolVersion};

use crate::support::origin::ok;
use crate::support::tls::{Authority, Identity, TlsOptions, TlsOrigin, TlsServer, Validity};

/// The outcome of one request with these options on a new connection.
fn asked(options: &TlsOptions, origin: &TlsOrigin) -> String {
    let mut client = options.connect(origin.address, "localhost");
    client.get("/");
    client.response().text()
}

#[test]
fn a_client_and_an_origin_agree() {
    for (offered, version) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let server = TlsServer::showing(Identity::localhost()).alpn(&["http/1.1"]);
        let origin = TlsOrigin::answering(&server, ok("hello"));
        let options = TlsOptions::trusting(Authority::shared()).versions(&[offered]).resuming();
        let options = options.alpn(&["http/1.1"]);
        assert_eq!([(); 2].map(|()| asked(&options, &origin)), ["hello", "hello"]);
        let handshakes = origin.handshakes().into_iter().map(Result::unwrap);
        for (handshake, resumed) in handshakes.zip([false, true]) {
            assert_eq!((handshake.version, handshake.resumed), (version, resumed));
            assert_eq!(handshake.sni.as_deref(), Some("localhost"));
            assert_eq!(handshake.alpn.as_deref(), Some("http/1.1"));
        }
    }
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let authority = Authority::new("Clients");
    let server = TlsServer::showing(Identity::localhost()).requiring(&authority);
    let origin = TlsOrigin::answering(&server, ok("hello"));
    let options = || TlsOptions::trusting(Authority::shared());
    assert_eq!(asked(&options().identity(&authority.client("alice")), &origin), "hello");
    let error = options().connect(origin.address, "localhost").error();
    assert_eq!(error, Some(Error::AlertReceived(AlertDescription::CertificateRequired)));
}

#[test]
fn bad_certificates_are_not_trusted() {
    let names = &["localhost"];
    let subordinate = Authority::shared().subordinate("Below");
    for (identity, trusted) in [
        (subordinate.issue(names), true),
        (Authority::shared().issue_valid(names, Validity::Expired), false),
        (Authority::shared().issue_valid(names, Validity::NotYet), false),
        (Authority::shared().issue(&["other.example"]), false),
        (Authority::new("Another").issue(names), false),
        (Authority::self_signed(names), false),
    ] {
        let origin = TlsOrigin::answering(&TlsServer::showing(&identity), ok("hello"));
        let options = TlsOptions::trusting(Authority::shared());
        let connected = options.try_connect(origin.address, "localhost");
        assert_eq!(connected.is_ok(), trusted, "{:?}", connected.err());
        assert_eq!(asked(&TlsOptions::unverified(), &origin), "hello");
    }
}
