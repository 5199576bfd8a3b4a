//! What can be configured for TLS listeners, how certificates and keys belong together, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use evener::config::describe::{difference, summary};
use evener::config::explain::{AskedRequest, explain};
use evener::net::tls::certificate::Certificate;
use evener::net::tls::server::{ClientAuthMode, MinVersion};

use crate::configuration::read;
use crate::support::temporary;
use crate::support::tls::{Authority, Files, Identity, Validity};

fn issued(name: &str) -> Identity {
    Authority::shared().issue(&[name])
}

/// A file that holds a certificate and its key.
fn bundle(identity: &Identity) -> String {
    let path = temporary("bundle.pem").to_str().unwrap().to_owned();
    fs::write(&path, [identity.chain_pem(), identity.key_pem()].concat()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

const ROUTED: [&str; 4] = ["--route", "/=127.0.0.1:1", "--listen-tls", "127.0.0.1:8443"];

fn typed(flags: &[&str]) -> Result<evener::config::Config, Vec<String>> {
    read("", &[&ROUTED, flags].concat())
}

/// The only mistake of these flags.
fn mistake(flags: &[&str]) -> String {
    let mistakes = typed(flags).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    mistakes[0].clone()
}

fn files_of(config: &evener::config::Config) -> Vec<(String, String)> {
    let shown = |certificate: &Certificate| {
        (certificate.cert.display().to_string(), certificate.key.display().to_string())
    };
    config.plan.tls.as_ref().unwrap().certificates.iter().map(|each| shown(each)).collect()
}

#[test]
fn keys_belong_in_order_to_the_certificates_that_hold_none() {
    let (one, two) = (issued("one.example").files(), issued("two.example").files());
    let bundle = bundle(&issued("bundle.example"));
    let flags = ["--cert", &one.cert, "--cert", &bundle, "--cert", &two.cert];
    let config = typed(&[&flags[..], &["--key", &one.key, "--key", &two.key]].concat()).unwrap();
    let expected = [(&one.cert, &one.key), (&bundle, &bundle), (&two.cert, &two.key)];
    let expected = expected.map(|(cert, key)| (cert.clone(), key.clone()));
    assert_eq!(files_of(&config), expected);
    fs::remove_file(bundle).unwrap();
}

#[test]
fn a_tls_listener_alone_has_no_plain_one_beside_it() {
    let files = Identity::localhost().files();
    let config = typed(&["--cert", &files.cert, "--key", &files.key]).unwrap();
    let addresses: Vec<_> = config.listeners.iter().map(|each| each.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:8443"]);
}

#[test]
fn a_file_says_it_all() {
    let Files { cert, key } = &issued("a.example").files();
    let folder = temporary("file").parent().unwrap().to_owned();
    let relative = cert.strip_prefix(folder.to_str().unwrap()).unwrap().trim_start_matches('/');
    let ca = Authority::shared().file();
    let text = format!(
        "listen_tls: ['127.0.0.1:8443']\nlisten: ['127.0.0.1:8080']\ntls_min_version: 1.3\n\
         client_ca: {ca}\nclient_auth: optional\nredirect_https: true\nhandshake_timeout: 3s\n\
         watch_certificates: off\ncertificates:\n  - {{cert: {relative}, key: {key}}}\n\
         routes:\n  - {{prefix: /, endpoints: ['127.0.0.1:1']}}\n"
    );
    let config = read(&text, &[]).unwrap();
    let tls = config.plan.tls.as_ref().unwrap();
    assert_eq!(tls.min_version, MinVersion::Tls13);
    assert_eq!(tls.client_auth.as_ref().unwrap().mode, ClientAuthMode::Optional);
    assert_eq!(config.plan.redirect_https, Some(8443));
    assert_eq!(config.plan.timeouts.handshake.as_secs(), 3);
    assert_eq!(config.watch_interval, None);
    let shown = summary(&config);
    for line in [
        "listen 127.0.0.1:8443: HTTPS\n",
        "listen 127.0.0.1:8080: HTTP\n",
        "redirect: of plain listeners to https, port 8443\n",
        "TLS: 1.3, client certificates by ",
        "for a.example, until ",
    ] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
    let typed = issued("typed.example").files();
    let config = read(&text, &["--cert", &typed.cert, "--key", &typed.key]).unwrap();
    assert_eq!(files_of(&config), [(typed.cert.clone(), typed.key.clone())]);
}

#[test]
fn settings_of_tls_listeners_without_one_are_warned_about() {
    let ca = Authority::shared().file();
    let flags = ["--client-ca", &ca, "--tls-min-version", "1.3"];
    let config = read("", &[&ROUTED[..2], &flags].concat()).unwrap();
    let told = ["client-ca", "tls-min-version"]
        .map(|flag| format!("--{flag}: has no effect: there is no --listen-tls"));
    assert_eq!(config.warnings, told);
}

#[test]
fn a_certificate_that_is_never_shown_is_warned_about() {
    let (one, two) = (bundle(&issued("a.example")), bundle(&issued("a.example")));
    let config = typed(&["--cert", &one, "--cert", &two]).unwrap();
    let told = format!("{two}: never shown for a.example: {one} comes first");
    assert!(config.warnings[0].starts_with(&told), "{:?}", config.warnings);
    fs::remove_file(one).unwrap();
    fs::remove_file(two).unwrap();
}

#[test]
fn a_certificate_in_a_file_is_written_with_its_key() {
    let rows = [
        ("a.pem", "expected a list, not a text: write certificates: [{cert: FILE, key: FILE}]"),
        ("[a.pem]", "1:16: a certificate is written as {cert: FILE, key: FILE}"),
    ];
    for (written, expected) in rows {
        let text = format!("certificates: {written}\nroutes: [{{prefix: /, endpoints: [':1']}}]\n");
        let mistakes = read(&text, &[]).unwrap_err();
        assert!(mistakes.iter().any(|told| told.contains(expected)), "{mistakes:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_a_mistake_that_names_its_flag() {
    let (one, two) = (issued("one.example").files(), issued("two.example").files());
    let pair = ["--cert", &one.cert, "--key", &one.key];
    let ca = Authority::shared().file();
    let rows: [(&[&str], String); 12] = [
        (&[], "--listen-tls: a certificate is required: write --cert FILE".into()),
        (&["--cert", &one.cert], format!("--cert: {}: holds no private key: name", one.cert)),
        (
            &["--cert", &one.cert, "--key", &two.key],
            format!("--cert: {}: this is not the key of the certificate in {}", two.key, one.cert),
        ),
        (
            &[&pair[..], &["--key", &two.key]].concat(),
            format!("--key: {}: belongs to no --cert: each", two.key),
        ),
        (
            &["--cert", &one.key, "--key", &one.cert],
            format!("--cert: {}: holds the key, and {} the certificate: swap", one.key, one.cert),
        ),
        (&["--cert", "/missing.pem", "--key", &one.key], "--cert: /missing.pem: No such".into()),
        (&["--cert", "", "--key", &one.key], "--cert: \"\" does not name a file".into()),
        (
            &[&pair[..], &["--client-auth", "optional"]].concat(),
            "--client-auth: requires --client-ca FILE".into(),
        ),
        (
            &[&pair[..], &["--client-ca", &ca, "--client-auth", "no"]].concat(),
            "--client-auth: invalid value \"no\": expected required or optional".into(),
        ),
        (
            &[&pair[..], &["--client-ca", &one.key]].concat(),
            format!("--client-ca: {}: holds no certificate: expected", one.key),
        ),
        (
            &[&pair[..], &["--tls-min-version", "1.1"]].concat(),
            "--tls-min-version: invalid value \"1.1\": expected 1.2 or 1.3".into(),
        ),
        (
            &[&pair[..], &["--watch-certificates", "never"]].concat(),
            "--watch-certificates: invalid value \"never\": expected a duration".into(),
        ),
    ];
    for (flags, expected) in rows {
        let found = mistake(flags);
        assert!(found.starts_with(&expected), "{flags:?}: {found}");
    }
    let redirect = read("", &[&ROUTED[..2], &["--redirect-https"]].concat()).unwrap_err();
    let what = "--redirect-https: --listen-tls is required: the address that clients are sent to";
    assert_eq!(redirect, [what]);
}

#[test]
fn a_mistake_in_a_file_has_its_line_and_column() {
    let Files { cert, key } = &issued("a.example").files();
    let text = |entry: &str| {
        format!(
            "listen_tls: ':8443'\ncertificates:\n  - {entry}\nroutes:\n  - {{prefix: /, \
             endpoints: ['127.0.0.1:1']}}\n"
        )
    };
    let rows = [
        (format!("{{key: {key}}}"), "3:5: a certificate needs cert: FILE".to_owned()),
        (format!("{{cert: {cert}}}"), format!("3:12: {cert}: holds no private key")),
        (format!("{{cert: {cert}, key: /x}}"), "/x: No such file".into()),
        ("{cert: }".into(), "there is no value".into()),
        (format!("{{cert: {cert}, names: []}}"), "unknown key \"names\"".into()),
    ];
    for (entry, expected) in rows {
        let mistakes = read(&text(&entry), &[]).unwrap_err();
        assert!(mistakes.iter().any(|one| one.contains(&expected)), "{mistakes:#?}");
    }
}

#[test]
fn what_may_not_be_meant_is_a_warning() {
    let authority = Authority::shared();
    let expired = authority.issue_valid(&["old.example"], Validity::Expired).files();
    let soon = authority.issue_valid(&["soon.example"], Validity::Days(3)).files();
    fs::set_permissions(&soon.key, fs::Permissions::from_mode(0o644)).unwrap();
    let flags = ["--cert", &expired.cert, "--key", &expired.key];
    let config = typed(&[&flags[..], &["--cert", &soon.cert, "--key", &soon.key]].concat());
    let warnings = config.unwrap().warnings;
    let expected = [
        format!("{}: expired on ", expired.cert),
        format!("{}: every user of this machine can read this private key (mode 644)", soon.key),
        format!("{}: expires in ", soon.cert),
    ];
    for (warning, expected) in warnings.iter().zip(&expected) {
        assert!(warning.starts_with(expected), "{warnings:#?}");
    }
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    let config = read("", &[&ROUTED[..2], &flags].concat()).unwrap();
    assert!(config.plan.tls.is_none());
    assert!(config.warnings[1].contains("they are not used: there is no --listen-tls"));
}

#[test]
fn another_certificate_and_other_clients_are_changes() {
    let files = issued("a.example").files();
    let ca = Authority::shared().file();
    let flags = ["--cert", &files.cert, "--key", &files.key, "--client-ca", &ca];
    let before = typed(&flags).unwrap();
    assert!(difference(&before, &typed(&flags).unwrap()).is_empty());
    files.replace(&issued("a.example"));
    let changes = difference(&before, &typed(&flags).unwrap());
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].starts_with(&format!("~ certificate {}: for a.example", files.cert)));
    let before = typed(&flags).unwrap();
    let changes = difference(
        &before,
        &typed(&[&flags[..], &["--client-auth", "optional"]].concat()).unwrap(),
    );
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].starts_with("~ TLS: ") && changes[0].contains("optional"), "{changes:?}");
}

#[test]
fn an_explanation_names_the_certificate_and_where_plain_requests_are_sent() {
    let (one, two) = (issued("one.example").files(), issued("*.two.example").files());
    let certificates =
        ["--cert", &one.cert, "--cert", &two.cert, "--key", &one.key, "--key", &two.key];
    let config = typed(&[&certificates[..], &["--redirect-https", "--listen", ":80"]].concat());
    let text = explain(&config.unwrap(), AskedRequest::to("A.two.example:80", "/x")).unwrap().text;
    assert!(text.contains(&format!("certificate: on a TLS listener {}\n", two.cert)), "{text}");
    assert!(
        text.contains("redirect: on a plain listener to https://A.two.example:8443/x\n"),
        "{text}"
    );
}
