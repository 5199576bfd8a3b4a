//! TLS towards endpoints in the configuration: what is read, what is refused, and what is shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use evener::config::Config;
use evener::config::describe::summary;
use evener::upstream::endpoint_tls::{EndpointTls, Verification};

use crate::configuration::read;
use crate::support::temporary;
use crate::support::tls::Authority;

fn of_flags(flags: &[&str]) -> Result<Config, Vec<String>> {
    read("", flags)
}

fn tls(config: &Config) -> &EndpointTls {
    config.plan.upstreams[0].endpoints[0].tls.as_deref().expect("TLS")
}

/// An upstream with these keys, its endpoint at `https://app.internal:80`.
fn upstream(fields: &str) -> Result<Config, Vec<String>> {
    let text = "routes: [{prefix: /, upstream: u}]\nupstreams:\n  - name: u\n    endpoints: \
                ['https://app.internal:80']\n    ";
    read(&format!("{text}{fields}\n"), &[])
}

fn refused(result: Result<Config, Vec<String>>, expected: &str) {
    let mistakes = result.err().unwrap_or_default();
    assert!(mistakes.iter().any(|told| told.contains(expected)), "{expected} in {mistakes:?}");
}

#[test]
fn an_endpoint_is_verified_by_the_name_it_was_configured_with() {
    let ca = format!("--upstream-ca={}", Authority::shared().file());
    let rows = [
        ("https://app.internal:80", "app.internal"),
        ("https://127.0.0.1:1", "127.0.0.1"),
        ("https://[::1]:1", "::1"),
        ("https://[0:0::1]:1", "::1"),
        ("h2://app.internal:80", "app.internal"),
    ];
    for (endpoint, name) in rows {
        let config = of_flags(&[&format!("--route=/={endpoint}"), &ca]).unwrap();
        assert_eq!(tls(&config).server_name.to_str(), name, "{endpoint}");
        assert_eq!(tls(&config).verification, Verification::Full);
    }
    let config = of_flags(&["--route=/=https://unix:/a", &ca, "--upstream-sni=One.Example."]);
    assert_eq!(tls(&config.unwrap()).server_name.to_str(), "one.example");
    let mistake =
        "--route: unix:/a: has no name that a certificate could be for: give one with sni:";
    refused(of_flags(&["--route=/=https://unix:/a", &ca]), mistake);
}

#[test]
fn an_upstream_overrides_the_flags() {
    let (ca, client) = (Authority::shared().file(), Authority::shared().client("evener").files());
    let text = format!(
        "upstream_sni: general.example\nupstream_insecure: true\nroutes:\n  - {{prefix: /a, upstream: \
         a}}\n  - {{prefix: /b, endpoints: ['https://127.0.0.1:2']}}\nupstreams:\n  - name: a\n    \
         endpoints: ['https://127.0.0.1:1']\n    sni: own.example\n    ca: {ca}\n    client_cert: \
         {}\n    client_key: {}\n",
        client.cert, client.key
    );
    let config = read(&text, &[]).unwrap();
    let shown = summary(&config);
    let a = "endpoint 127.0.0.1:1 of a: weight 1, TLS as own.example, verified by 1 root of ";
    let b = "endpoint 127.0.0.1:2 of /b: weight 1, TLS as general.example, NOT verified";
    assert!(
        shown.lines().any(|line| line.starts_with(a) && line.contains(", client cert")),
        "{shown}"
    );
    assert!(shown.lines().any(|line| line == b), "{shown}");
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].starts_with("/b: certificates of endpoints are NOT verified"));
}

#[test]
fn mistakes_about_tls_towards_endpoints() {
    let (ca, client) = (Authority::shared().file(), Authority::shared().client("a").files());
    let other = Authority::shared().client("b").files();
    let empty = temporary("empty.pem");
    fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();
    let rows = [
        (
            "sni: 'a b'".to_owned(),
            "5:10: invalid name \"a b\": expected a host name or an IP address",
        ),
        ("ca: /nowhere.pem".to_owned(), "5:9: /nowhere.pem: No such file"),
        (format!("ca: {empty}"), "holds no certificate"),
        (format!("ca: {ca}\n    verify: false"), "5:9: ca: has no effect with verify: false"),
        (format!("client_cert: {}", client.cert), "5:18: requires client_key"),
        (format!("client_key: {}", client.key), "5:17: requires client_cert"),
        (
            format!("ca: {ca}\n    client_cert: {}\n    client_key: {}", client.cert, other.key),
            "this is not the key of the certificate",
        ),
        (
            format!("ca: {ca}\n    check: http:/up"),
            "6:12: a check in plain text does not suit https://app",
        ),
    ];
    for (fields, expected) in rows {
        refused(upstream(&fields), expected);
    }
    let plain = "routes: [{prefix: /, upstream: u}]\nupstreams:\n  - {name: u, endpoints: \
                 [127.0.0.1:1], verify: false, sni: a}\n";
    for key in ["sni", "verify"] {
        refused(
            read(plain, &[]),
            &format!("{key}: has no effect without an https:// or h2:// endpoint"),
        );
    }
    refused(
        of_flags(&["--route=/=127.0.0.1:1", "--check=https:/up"]),
        "--check: a check over TLS does",
    );
    refused(of_flags(&["--tcp=:1=https://127.0.0.1:1"]), "leave the scheme out");
}

#[test]
fn flags_for_tls_without_an_endpoint_that_speaks_it_are_a_warning() {
    let config = of_flags(&["--route=/=127.0.0.1:1", "--upstream-sni=a", "--upstream-ca=/none"]);
    let expected = ["upstream-sni", "upstream-ca"];
    let expected = expected
        .map(|flag| format!("--{flag}: has no effect: there is no https:// or h2:// endpoint"));
    assert_eq!(config.unwrap().warnings, expected);
}

#[test]
fn a_file_that_has_changed_is_a_change_of_the_endpoint() {
    let client = Authority::shared().client("a").files();
    let fields =
        format!("verify: false\n    client_cert: {}\n    client_key: {}", client.cert, client.key);
    let before = upstream(&fields).unwrap();
    client.replace(&Authority::shared().client("b"));
    let changes = evener::config::describe::difference(&before, &upstream(&fields).unwrap());
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].starts_with("~ endpoint 192.0.2.1:80 of u: "), "{changes:?}");
}

#[test]
fn a_key_that_everybody_can_read_is_a_warning() {
    let client = Authority::shared().client("a").files();
    fs::set_permissions(&client.key, fs::Permissions::from_mode(0o644)).unwrap();
    let fields = format!(
        "ca: {}\n    client_cert: {}\n    client_key: {}",
        Authority::shared().file(),
        client.cert,
        client.key
    );
    let warnings = upstream(&fields).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("every user of this machine can read"), "{warnings:?}");
}

/// With these roots for those of the system.
fn tested(roots: &str) -> (Option<i32>, String) {
    let words = "--route /=https://1.1.1.1:443,https://1.0.0.1:443 --upstream-sni one.one.one.one \
                 --host-header one.one.one.one --listen 0.0.0.0:6188 -t";
    let mut evener = Command::new(env!("CARGO_BIN_EXE_evener"));
    let output = evener
        .args(words.split_whitespace())
        .env("SSL_CERT_FILE", roots)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn certificates_are_verified_by_the_roots_of_the_system() {
    let (code, text) = tested(&Authority::shared().file());
    assert_eq!(code, Some(0), "{text}");
    let line = "endpoint 1.0.0.1:443 of /: weight 1, TLS as one.one.one.one, verified by the \
                system's roots";
    assert!(text.lines().any(|other| other == line), "{text}");
}

#[test]
fn a_system_without_roots_is_a_mistake_that_names_the_remedy() {
    let empty = temporary("empty.pem");
    fs::write(&empty, "").unwrap();
    let (code, text) = tested(empty.to_str().unwrap());
    let mistake = "evener: --route: the system has no root certificates";
    assert_eq!(code, Some(2), "{text}");
    assert!(text.starts_with(mistake) && text.contains("name a file with ca: or --upstream-ca"));
    assert_eq!(text.lines().count(), 1, "{text}");
}
