//! `evener top`: a snapshot for scripts, what it says where nobody answers, and its keys in a terminal.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{Admin, Origin, Process, eventually, socket_path, temporary};

/// Its exit code and all it has printed.
fn top(words: &[&str]) -> (Option<i32>, Vec<String>) {
    Process::start(&[&["top", "--interval", "100ms"], words].concat()).end()
}

/// The line of an endpoint in a snapshot, word by word.
fn row(at: &str, origin: &Origin) -> Vec<String> {
    let (code, lines) = top(&["--admin", at]);
    let address = origin.address.to_string();
    let found = lines.iter().find(|line| line.starts_with(&address));
    assert_eq!(code, Some(0), "{lines:?}");
    let line = found.unwrap_or_else(|| panic!("{address} in {lines:?}"));
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_snapshot_shows_each_endpoint_and_its_state() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let admin = Admin::before(&[&one, &two], &[]);
    let at = admin.at.to_string();
    assert_eq!(row(&at, &one)[1..3], ["/", "up"]);
    admin.order(&two, "drain");
    assert_eq!(row(&at, &two)[1..3], ["/", "drained"]);
    assert_eq!(row(&at, &one)[1..3], ["/", "up"]);
    let (_, lines) = top(&["--admin", &format!(":{}", admin.at.port()), "--once"]);
    assert!(lines[0].starts_with("Evener ") && lines[0].contains("   serving   "), "{lines:?}");
}

#[test]
fn a_unix_socket_will_do() {
    let (origin, path) = (Origin::named("o"), socket_path("top"));
    let at = format!("unix:{}", path.display());
    let route = format!("/={}", origin.address);
    let process = Process::start(&["--listen", "127.0.0.1:0", "--admin", &at, "--route", &route]);
    process.announces("admin on ");
    assert_eq!(row(&at, &origin)[1..3], ["/", "up"]);
}

#[test]
fn where_nobody_answers_the_address_and_the_remedy_are_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, lines) = top(&["--admin", &free]);
    let expected = format!("evener: no admin listener answers at {free}: connection refused: ");
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:?}");
    assert!(lines[0].starts_with(&expected) && lines[0].contains("--admin ADDR"), "{lines:?}");
    let origin = Origin::named("o");
    let (code, lines) = top(&["--admin", &origin.address.to_string()]);
    assert_eq!(code, Some(1));
    assert!(lines[0].contains("another server answers there"), "{lines:?}");
}

#[test]
fn a_token_is_asked_for_sent_and_refused() {
    let origin = Origin::named("o");
    let files = ["right", "wrong"].map(|word| {
        let path = temporary(&format!("top-{word}"));
        fs::write(&path, word).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    });
    let admin = Admin::before(&[&origin], &["--admin-token-file", &files[0]]);
    let at = admin.at.to_string();
    let said = |more: &[&str]| {
        let (code, lines) = top(&[&["--admin", &at], more].concat());
        (code, lines.first().cloned().unwrap_or_default())
    };
    let (code, line) = said(&[]);
    assert!(
        code == Some(1) && line.contains("requires a token") && line.contains("--admin-token-file"),
        "{line}"
    );
    let (code, line) = said(&["--admin-token-file", &files[1]]);
    assert!(code == Some(1) && line.contains("refuses this token"), "{line}");
    assert_eq!(said(&["--admin-token-file", &files[0]]).0, Some(0));
    let (code, line) = said(&["--admin-token-file", "/nonexistent"]);
    assert!(code == Some(2) && line.starts_with("evener: --admin-token-file: "), "{line}");
}

/// `evener top` in a terminal of 80 by 24, and the side of it where a person would be.
fn in_terminal(admin: &Admin) -> (Child, File) {
    // Closed in every child: the terminal has gone when this side of it is closed, and not later.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let outside = openpt(flags).unwrap();
    grantpt(&outside).unwrap();
    unlockpt(&outside).unwrap();
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&outside, size).unwrap();
    let path = ptsname(&outside, Vec::new()).unwrap();
    let mut options = File::options();
    options.read(true).write(true).custom_flags(OFlags::NOCTTY.bits().cast_signed());
    let inside = options.open(path.to_str().unwrap()).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_evener"))
        .args(["top", "--interval", "100ms", "--admin", &admin.at.to_string()])
        .env("TERM", "xterm")
        .stdin(Stdio::from(inside.try_clone().unwrap()))
        .stdout(Stdio::from(inside.try_clone().unwrap()))
        .stderr(Stdio::from(inside))
        .spawn()
        .unwrap();
    (child, File::from(outside))
}

/// A terminal that is read all the time.
struct InTerminal {
    child: Child,
    keys: File,
    output: Arc<Mutex<String>>,
}

impl InTerminal {
    fn start(admin: &Admin) -> Self {
        let (child, keys) = in_terminal(admin);
        let (output, mut seen) = (Arc::new(Mutex::new(String::new())), keys.try_clone().unwrap());
        let all = Arc::clone(&output);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Fails once nobody has the terminal open.
            while let Ok(count @ 1..) = seen.read(&mut bytes) {
                all.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let started = Self { child, keys, output };
        started.shows("Endpoints");
        started
    }

    fn shows(&self, text: &str) {
        eventually(text, || self.output.lock().unwrap().contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end; the terminal must be as it was.
    fn ends(mut self) {
        eventually("it ends", || {
            self.child.try_wait().unwrap().is_some_and(|status| status.success())
        });
        for restored in ["\u{1b}[?1049l", "\u{1b}[?25h"] {
            self.shows(restored);
        }
    }
}

#[test]
fn keys_drain_an_endpoint_and_take_it_down_once_it_is_confirmed() {
    let origin = Origin::named("o");
    let admin = Admin::before(&[&origin], &[]);
    let mut top = InTerminal::start(&admin);
    top.press("d");
    admin.until(0, "drained");
    top.press("r");
    admin.until(0, "up");
    top.press("x");
    top.shows("y: yes");
    top.press("y");
    admin.until(0, "down");
    top.press("q");
    top.ends();
}

#[test]
fn the_terminal_is_given_back_after_a_signal() {
    let origin = Origin::named("o");
    let admin = Admin::before(&[&origin], &[]);
    for signal in ["TERM", "INT", "HUP"] {
        let top = InTerminal::start(&admin);
        let id = top.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        top.ends();
    }
}

#[test]
fn a_balancer_that_has_gone_is_said_to_be() {
    let origin = Origin::named("o");
    let admin = Admin::before(&[&origin], &[]);
    let mut top = InTerminal::start(&admin);
    admin.process.signal("INT");
    assert_eq!(admin.process.end().0, Some(0));
    top.shows("trying again");
    top.press("\u{3}");
    top.ends();
}

#[test]
fn a_terminal_that_has_gone_ends_it() {
    let origin = Origin::named("o");
    let admin = Admin::before(&[&origin], &[]);
    let (mut child, mut terminal) = in_terminal(&admin);
    // It has begun to draw.
    terminal.read_exact(&mut [0; 64]).unwrap();
    drop(terminal);
    eventually("it ends", || child.try_wait().unwrap().is_some_and(|status| status.success()));
}
