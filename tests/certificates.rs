//! Certificates that are replaced: by a reload, by the watch over their files, and what is shown of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::proxy::config;
use crate::support::tls::{Authority, Files, Identity, Validity};
use crate::support::{Admin, Process, Proxy, eventually, temporary};

fn issued(name: &str) -> Identity {
    Authority::shared().issue(&[name])
}

/// A process with a TLS listener that has this certificate.
fn start(files: &Files, more: &[&str]) -> Process {
    let words = ["--listen-tls", "127.0.0.1:0", "--threads", "1", "--route", "/=127.0.0.1:1"];
    let pair = ["--cert", &files.cert, "--key", &files.key];
    let process = Process::start(&[&words[..], &pair, more].concat());
    process.address();
    process
}

#[test]
fn sighup_reads_certificates_again_all_or_nothing() {
    let files = issued("before.example").files();
    let process = start(&files, &["--watch-certificates", "off"]);
    files.replace(&issued("after.example"));
    process.signal("HUP");
    eventually("it says so", || {
        process.says("reload: ~ certificate ") && process.says("after.example")
    });
    fs::write(&files.cert, issued("other.example").chain_pem()).unwrap();
    process.signal("HUP");
    let refused = format!("nothing has changed: --cert: {}: this is not the key", files.key);
    eventually("it is refused", || process.says(&refused));
}

/// Replaces a file in one step, so that no half of it is ever read.
fn put(path: &str, text: &str) {
    let new = format!("{path}.new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn changed_files_are_loaded_and_bad_ones_refused_once() {
    let path = temporary("bundle.pem").to_str().unwrap().to_owned();
    let bundle = |identity: &Identity| [identity.chain_pem(), identity.key_pem()].concat();
    put(&path, &bundle(&issued("before.example")));
    let words = ["--listen-tls", "127.0.0.1:0", "--threads", "1", "--route", "/=127.0.0.1:1"];
    let watch = ["--cert", &path, "--watch-certificates", "20ms"];
    let process = Process::start(&[&words[..], &watch].concat());
    process.address();
    put(&path, "nothing");
    let refused = format!("changed certificates refused, the earlier ones stay: {path}: holds no");
    eventually("it is refused", || process.says(&refused));
    put(&path, &bundle(&issued("after.example")));
    eventually("it is loaded", || process.says("certificates have changed: ~ certificate "));
    process.signal("TERM");
    let (_, lines) = process.end();
    assert_eq!(lines.iter().filter(|line| line.contains(&refused)).count(), 1, "{lines:#?}");
    fs::remove_file(path).unwrap();
}

#[test]
fn tickets_survive_a_reload_with_other_certificates_but_not_with_other_demands() {
    let files = issued("a.example").files();
    let ca = Authority::shared().file();
    let flags = ["--route", "/=127.0.0.1:1", "--listen-tls", "127.0.0.1:0", "--cert", &files.cert];
    let flags = [&flags[..], &["--key", &files.key]].concat();
    let mut proxy = Proxy::start(&flags);
    let ticketer = |proxy: &Proxy| proxy.plan().tls.as_ref().unwrap().config.ticketer.clone();
    let ticket = ticketer(&proxy).encrypt(b"session").unwrap();
    files.replace(&issued("a.example"));
    assert_eq!(proxy.reload(&flags).unwrap().len(), 1);
    assert!(ticketer(&proxy).decrypt(&ticket).is_some());
    proxy.reload(&[&flags[..], &["--client-ca", &ca]].concat()).unwrap();
    assert!(ticketer(&proxy).decrypt(&ticket).is_none());
    proxy.reload(&flags).unwrap();
    assert!(ticketer(&proxy).decrypt(&ticket).is_some());
    let other = config(&flags).plan.tls.clone().unwrap();
    assert!(other.config.ticketer.decrypt(&ticket).is_none());
}

#[test]
fn a_refusal_of_changed_files_is_shown_until_they_are_good_again() {
    let identity = issued("a.example");
    let files = identity.files();
    let words = ["--cert", &files.cert, "--key", &files.key, "--watch-certificates", "20ms"];
    let words = [&words[..], &["--listen-tls", "127.0.0.1:0", "--route", "/=127.0.0.1:1"]].concat();
    let admin = Admin::start(&words);
    let refused = || admin.metric("evener_config_last_reload_refused");
    fs::write(&files.cert, "nothing").unwrap();
    eventually("it is refused", || refused() == 1);
    assert!(admin.status()["config"]["refused"].as_str().unwrap().contains("holds no certificate"));
    // The very same again: nothing is different then.
    files.replace(&identity);
    eventually("it is good again", || refused() == 0);
    let told = "the certificates in force are in their files again";
    eventually("it says so", || admin.process.says(told));
    assert_eq!(admin.status()["config"]["generation"], 1);
}

#[test]
fn status_and_metrics_show_certificates() {
    let soon = Authority::shared().issue_valid(&["soon.example", "192.0.2.1"], Validity::Days(3));
    let files = soon.files();
    let pair = ["--cert", &files.cert, "--key", &files.key, "--route", "/=127.0.0.1:1"];
    let admin = Admin::start(&[&pair[..], &["--listen-tls", "127.0.0.1:0"]].concat());
    let shown = &admin.status()["certificates"][0];
    assert_eq!(shown["file"], files.cert.as_str());
    assert_eq!(shown["names"], serde_json::json!(["soon.example", "192.0.2.1"]));
    assert!(shown["warning"].as_str().unwrap().contains("expires in "));
    let sample = format!(
        "evener_certificate_not_after_seconds{{certificate=\"soon.example\",file=\"{}\"}}",
        files.cert
    );
    assert_eq!(admin.metric(&sample), shown["not_after"].as_u64().unwrap());
    assert!(admin.process.says("expires in "));
}

#[test]
fn a_key_that_the_user_could_not_read_again_is_warned_about() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can become somebody else");
    }
    let files = issued("a.example").files();
    fs::set_permissions(&files.cert, fs::Permissions::from_mode(0o644)).unwrap();
    let process = start(&files, &["--user", "nobody"]);
    let warning =
        format!("{}: --user cannot read this file, so a reload will be refused", files.key);
    eventually("it says so", || process.says(&warning));
    assert!(!process.says(&format!("{}: --user cannot", files.cert)));
}
