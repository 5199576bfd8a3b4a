//! What packages and containers rely on: the version, completions, manual pages and `evener health`.

use std::io::Write;
use std::net::TcpListener;
use std::thread;

use crate::support::{Admin, Origin, Process, Proxy, eventually, socket_path};

fn says(words: &[&str]) -> String {
    let (code, lines) = Process::start(words).end();
    assert_eq!(code, Some(0), "{lines:?}");
    lines.join("\n")
}

fn health(address: &str, more: &[&str]) -> (Option<i32>, String) {
    let (code, lines) = Process::start(&[&["health", "--admin", address], more].concat()).end();
    assert_eq!(lines.len(), 1, "one line says why: {lines:?}");
    (code, lines[0].clone())
}

#[test]
fn the_short_version_is_one_line_and_the_long_one_says_what_was_built() {
    let short = format!("evener {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(says(&["-V"]), short);
    let long = says(&["--version"]);
    let names: Vec<_> = long.lines().filter_map(|line| line.split_once(": ")).collect();
    assert!(long.starts_with(&short), "{long}");
    assert_eq!(
        names.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["commit", "date", "profile", "target", "compiler"]
    );
    assert!(names[4].1.starts_with("rustc 1."), "{long}");
}

#[test]
fn the_completions_of_bash_are_a_script_that_it_reads() {
    let mut script = says(&["completions", "bash"]);
    script.push_str("\nCOMP_WORDS=(evener --listen-t) COMP_CWORD=1\n");
    script.push_str("_evener evener --listen-t evener; echo \"found ${COMPREPLY[*]}\"\n");
    let bash = Process::command("bash", &["-c", &script]);
    assert!(bash.end().1.contains(&"found --listen-tls".to_owned()));
}

#[test]
fn a_page_about_no_subcommand_is_a_mistake_that_lists_them() {
    let (code, lines) = Process::start(&["man", "balance"]).end();
    assert_eq!((code, lines.len()), (Some(2), 1), "{lines:?}");
    assert!(lines[0].contains("balance") && lines[0].contains("explain"), "{lines:?}");
    assert!(says(&["man", "explain"]).contains("evener\\-explain"));
}

#[test]
fn health_tells_ready_from_draining_and_draining_from_dead() {
    let admin = Admin::before(&[&Origin::named("o")], &["--shutdown-delay", "10m"]);
    let at = admin.at.to_string();
    assert_eq!(health(&at, &[]), (Some(0), "ready".to_owned()));
    admin.process.signal("TERM");
    eventually("it is not ready", || admin.get("/readyz").status == 503);
    let said = format!("evener: {at}: answered with 503: draining");
    assert_eq!(health(&at, &[]), (Some(1), said));
    assert_eq!(health(&at, &["--live"]), (Some(0), "ok".to_owned()));
    drop(admin);
    let (code, line) = health(&at, &["--live"]);
    assert_eq!(code, Some(1));
    assert!(line.starts_with(&format!("evener: {at}: ")) && line.contains("refused"), "{line}");
}

#[test]
fn health_asks_unix_sockets_and_needs_no_token() {
    let (path, token) = (socket_path("admin"), socket_path("token"));
    std::fs::write(&token, "secret").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&token, mode).unwrap();
    let (at, token) = (format!("unix:{}", path.display()), token.display().to_string());
    let route = ["--listen", "127.0.0.1:0", "--threads", "1", "--route", "/=127.0.0.1:1"];
    let flags = [&route[..], &["--admin", &at, "--admin-token-file", &token]].concat();
    let process = Process::start(&flags);
    process.announces("listening on ");
    assert_eq!(health(&at, &[]), (Some(0), "ready".to_owned()));
}

#[test]
fn health_does_not_wait_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let holds = thread::spawn(move || silent.accept().map(|(stream, _)| stream));
    let (code, line) = health(&at, &["--timeout", "50ms"]);
    assert_eq!((code, line), (Some(1), format!("evener: {at}: no response within 50ms")));
    drop(holds);
}

#[test]
fn health_says_that_something_else_answers() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let speaks = thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").unwrap();
    });
    let (code, line) = health(&format!(":{port}"), &[]);
    assert!(code == Some(1) && line.contains("not HTTP"), "{line}");
    speaks.join().unwrap();
}

#[test]
fn an_endpoint_that_is_well_is_no_admin_listener() {
    let origin = Origin::named("ready\n");
    let proxy = Proxy::before(&[&origin], &[]);
    for at in [origin.address, proxy.address] {
        for more in [&[][..], &["--live"]] {
            let said = format!(
                "{at}: another server answers there: name the address of the admin listener"
            );
            assert_eq!(health(&at.to_string(), more), (Some(1), format!("evener: {said}")));
        }
    }
}

#[test]
fn an_address_that_is_none_is_a_mistake() {
    let (code, line) = health("9901", &[]);
    assert_eq!(code, Some(2));
    assert!(line.starts_with("evener: --admin: \"9901\""), "{line}");
}
