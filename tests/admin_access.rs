//! Access control of the admin listener.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::support::{Admin, Client, Origin, Process, socket_path, temporary};

fn token_file(text: &str, mode: u32) -> PathBuf {
    let path = temporary("token");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_foreign_host_is_refused() {
    let admin = Admin::before(&[&Origin::named("o")], &[]);
    let port = admin.at.port();
    let rows = [
        (format!("localhost:{port}"), 200),
        ("LOCALHOST".to_owned(), 200),
        (admin.at.to_string(), 200),
        ("127.9.9.9".to_owned(), 200),
        ("[::1]:1".to_owned(), 200),
        ("[::ffff:127.0.0.1]".to_owned(), 200),
        (format!("evil.example:{port}"), 403),
        ("localhost.evil.example".to_owned(), 403),
        ("10.0.0.1".to_owned(), 403),
        (String::new(), 403),
    ];
    for (host, status) in rows {
        for path in ["/", "/status", "/healthz"] {
            let response = admin.ask("GET", path, &format!("Host: {host}\r\n"));
            assert_eq!(response.status, status, "{host:?} {path}");
        }
    }
    let mut old = Client::connect(admin.at);
    assert_eq!(old.ask("GET /healthz HTTP/1.0\r\n\r\n").status, 200);
}

#[test]
fn a_foreign_origin_is_refused() {
    let admin = Admin::before(&[&Origin::named("o")], &[]);
    let own = format!("http://{}", admin.at);
    let rows = [
        (own.as_str(), 200),
        ("http://evil.example", 403),
        ("http://127.0.0.1", 403),
        ("null", 403),
    ];
    for (origin, status) in rows {
        for (method, path) in [("GET", "/status"), ("POST", "/reload")] {
            let lines = format!("Host: {}\r\nOrigin: {origin}\r\n", admin.at);
            let response = admin.ask(method, path, &lines);
            assert_eq!(response.status, status, "{origin} {path}");
        }
    }
    assert_eq!(admin.status()["config"]["generation"], 2);
}

#[test]
fn duplicate_origins_or_tokens_are_refused() {
    let path = token_file("secret", 0o600);
    let origin = Origin::named("o");
    let admin = Admin::before(&[&origin], &["--admin-token-file", path.to_str().unwrap()]);
    let (own, token) =
        (format!("Origin: http://{}\r\n", admin.at), "Authorization: Bearer secret\r\n");
    let host = format!("Host: {}\r\n", admin.at);
    let rows = [
        (format!("{host}{own}{token}"), 200),
        (format!("{host}{own}{own}{token}"), 200),
        (format!("{host}{own}Origin: http://evil.example\r\n{token}"), 403),
        (format!("{host}{own}{token}{token}"), 401),
    ];
    for (lines, status) in rows {
        assert_eq!(admin.ask("GET", "/status", &lines).status, status, "{lines}");
    }
}

#[test]
fn a_configured_token_is_required() {
    let path = token_file(" secret-1\n", 0o600);
    let origin = Origin::named("o");
    let more = ["--admin-token-file", path.to_str().unwrap()];
    let admin = Admin::before(&[&origin], &more);
    for path in ["/", "/healthz", "/readyz"] {
        assert_eq!(admin.get(path).status, 200, "{path}");
    }
    let drain = format!("/upstreams/%2F/endpoints/{}/drain", origin.address);
    let guarded =
        [("GET", "/status"), ("GET", "/metrics"), ("POST", "/reload"), ("POST", drain.as_str())];
    let fields = ["", "Authorization: Bearer secret-2\r\n", "Authorization: Basic secret-1\r\n"];
    for (method, path) in guarded {
        for field in fields {
            let response = admin.ask(method, path, field);
            assert_eq!(response.status, 401, "{path} {field}");
            assert_eq!(response.field("WWW-Authenticate"), Some("Bearer"));
        }
        let given = "Host: evener.example\r\nAuthorization: bearer secret-1\r\n";
        assert_eq!(admin.ask(method, path, given).status, 200, "{path}");
    }
    assert_eq!(admin.get("/nothing").status, 401);
}

#[test]
fn an_insecure_token_file_is_a_mistake() {
    let long = "x".repeat(257);
    let rows = [
        (token_file("secret", 0o644), "is accessible to others (mode 644): chmod it to 600"),
        (token_file("secret", 0o620), "is accessible to others (mode 620)"),
        (token_file(" \n", 0o600), "must contain a token"),
        (token_file("two words", 0o600), "must contain a token"),
        (token_file(&long, 0o600), "must contain a token"),
        (temporary("missing"), "No such file"),
    ];
    for (path, expected) in rows {
        let path = path.to_str().unwrap();
        let words = ["--route", "/=127.0.0.1:1", "--admin", ":0", "--admin-token-file", path, "-t"];
        let (code, output) = Process::start(&words).end();
        assert_eq!(code, Some(2), "{output:?}");
        let begins = output[0].starts_with(&format!("evener: --admin-token-file: {path}"));
        assert!(begins && output[0].contains(expected), "{output:?}");
    }
}

#[test]
fn a_listener_reachable_from_outside_requires_a_token() {
    let words = ["--route", "/=127.0.0.1:1", "--admin", "0.0.0.0:0"];
    let (code, output) = Process::start(&words).end();
    assert_eq!(code, Some(2));
    assert!(
        output[0].contains("is reachable from other machines: --admin-token-file"),
        "{output:?}"
    );
    let path = token_file(&"x".repeat(256), 0o440);
    let more = ["--listen", "127.0.0.1:0", "--admin-token-file", path.to_str().unwrap()];
    let mut admin = Admin::with(&[&words[..], &more[..]].concat());
    admin.at.set_ip([127, 0, 0, 1].into());
    assert_eq!(admin.ask("GET", "/healthz", "Host: evener.example\r\n").status, 200);
    assert_eq!(admin.ask("GET", "/metrics", "Host: evener.example\r\n").status, 401);
}

#[test]
fn a_unix_socket_is_only_for_its_owner_and_removed_on_exit() {
    let (origin, path) = (Origin::named("o"), socket_path("admin"));
    let at = format!("unix:{}", path.display());
    let route = format!("/={}", origin.address);
    let listen = "127.0.0.1:0";
    let process = Process::start(&["--listen", listen, "--route", &route, "--admin", &at]);
    assert_eq!(process.announces("admin on "), at);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = UnixStream::connect(&path).unwrap();
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"));
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    assert!(!path.exists());
}
