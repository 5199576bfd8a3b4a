//! Sessions that are resumed by tickets: on every worker, across reloads and upgrades, and never where more
//! is asked of clients.

use std::net::SocketAddr;

use rustls::version::{TLS12, TLS13};

use crate::support::chain::launch;
use crate::support::tls::{Authority, Files, Identity, TlsOptions, TlsProxy};
use crate::support::{Origin, Process, eventually, socket_path};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn client() -> TlsOptions {
    TlsOptions::trusting(Authority::shared()).resuming()
}

/// Connects and asks; whether the session was resumed. Tickets come with the answer.
fn resumes(client: &TlsOptions, address: SocketAddr) -> bool {
    let mut connection = client.connect(address, "localhost");
    assert_eq!(connection.ask(GET).text(), "o");
    connection.handshake().resumed
}

fn words(files: &Files, origin: &Origin) -> Vec<String> {
    let route = format!("/={}", origin.address);
    let words = ["--listen-tls", "127.0.0.1:0", "--cert", &files.cert, "--key", &files.key];
    words.into_iter().chain(["--route", &route]).map(str::to_owned).collect()
}

#[test]
fn every_worker_resumes_the_sessions_of_all() {
    let origin = Origin::named("o");
    let proxy = TlsProxy::before(&[&origin], &["--threads", "2"]);
    for version in [&TLS12, &TLS13] {
        let client = client().versions(&[version]);
        assert!(!resumes(&client, proxy.address));
        for _ in 0..20 {
            assert!(resumes(&client, proxy.address), "{version:?}");
        }
    }
}

#[test]
fn a_reload_with_another_certificate_resumes_them() {
    let (origin, files) = (Origin::named("o"), Identity::localhost().files());
    let process = launch(&words(&files, &origin), &["--watch-certificates", "off"]);
    let (client, address) = (client(), process.address());
    assert!(!resumes(&client, address));
    let renewed = Authority::shared().issue(&["localhost"]);
    files.replace(&renewed);
    process.signal("HUP");
    eventually("it is reloaded", || process.says("reloaded: 1 change"));
    assert!(resumes(&client, address));
    let fresh = TlsOptions::trusting(Authority::shared()).connect(address, "localhost");
    assert_eq!(fresh.certificate(), *renewed.certificate());
}

/// Replaces a process by another one that has these flags as well. The old one accepts until it has ended.
fn upgraded(old: Process, words: &[String], more: &[&str]) -> Process {
    old.signal("QUIT");
    let next = launch(words, &[&["-u"], more].concat());
    assert_eq!(old.end().0, Some(0));
    next
}

#[test]
fn an_upgrade_resumes_them() {
    let (origin, files) = (Origin::named("o"), Identity::localhost().files());
    let mut words = words(&files, &origin);
    words.extend(["--upgrade-sock".to_owned(), socket_path("resume").display().to_string()]);
    let mut process = launch(&words, &["--threads", "2"]);
    let (client, address) = (client(), process.address());
    assert!(!resumes(&client, address));
    for _ in 0..2 {
        process = upgraded(process, &words, &["--threads", "1"]);
        assert!(resumes(&client, address));
    }
}

#[test]
fn a_session_from_before_certificates_were_demanded_is_not_resumed() {
    let (origin, files) = (Origin::named("o"), Identity::localhost().files());
    let ca = Authority::shared().file();
    let mut words = words(&files, &origin);
    words.extend(["--upgrade-sock".to_owned(), socket_path("demand").display().to_string()]);
    for version in [&TLS12, &TLS13] {
        let process = launch(&words, &[]);
        let client = client().versions(&[version]);
        assert!(!resumes(&client, process.address()));
        let next = upgraded(process, &words, &["--client-ca", &ca]);
        // With TLS 1.3 the refusal comes after the client's side of the handshake.
        let refused = match client.try_connect(next.address(), "localhost") {
            Ok(mut connection) => connection.error().expect("a refusal").to_string(),
            Err(error) => error.to_string(),
        };
        let alerts = ["CertificateRequired", "HandshakeFailure"];
        assert!(alerts.iter().any(|alert| refused.contains(alert)), "{version:?}: {refused}");
    }
}
