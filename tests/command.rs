//! The binary: exit codes, signals, help, Unix sockets and subcommands.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use crate::support::h2::RawClient;
use crate::support::{Client, HANG, Origin, Process, filler, socket_path};

fn route(origin: &Origin) -> String {
    format!("/={}", origin.address)
}

fn balancer(origin: &Origin) -> Process {
    Process::start(&["--listen", "127.0.0.1:0", "--threads", "2", "--route", &route(origin)])
}

fn get(client: &mut Client, path: &str) -> (u16, String) {
    client.get(path);
    let response = client.response();
    (response.status, response.text())
}

/// Sends GET over a Unix socket and returns everything that comes back.
fn get_unix(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).expect("connect");
    stream.set_read_timeout(Some(HANG)).expect("timeout");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn each_mistake_in_the_flags_is_a_line_that_names_its_flag() {
    let flags = ["--route", "/a", "--idle-timeout", "5", "--max-head", "1", "--threads", "x"];
    let (code, lines) = Process::start(&flags).end();
    assert_eq!((code, lines.len()), (Some(2), 4), "{lines:?}");
    for flag in ["route", "idle-timeout", "max-head", "threads"] {
        let start = format!("evener: --{flag}: ");
        assert_eq!(lines.iter().filter(|line| line.starts_with(&start)).count(), 1, "{lines:?}");
    }
}

#[test]
fn an_unknown_flag_is_a_mistake() {
    let (code, lines) = Process::start(&["--lisen", "127.0.0.1:0"]).end();
    assert_eq!(code, Some(2));
    assert!(lines.iter().any(|line| line.contains("--listen")), "{lines:?}");
}

#[test]
fn nothing_is_bound_when_a_flag_is_mistaken() {
    let path = socket_path("mistaken");
    let listen = format!("unix:{}", path.display());
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let flags = ["--listen", &listen, "--listen", &taken, "--route", "/a"];
    let (code, lines) = Process::start(&flags).end();
    assert_eq!((code, lines.len()), (Some(2), 1), "{lines:?}");
    assert!(!path.exists());
}

#[test]
fn a_port_in_use_exits_with_1() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let flags = ["--listen", &taken, "--route", "/=127.0.0.1:1"];
    let (code, lines) = Process::start(&flags).end();
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:?}");
    assert!(lines[0].starts_with(&format!("evener: {taken} is in use")), "{lines:?}");
}

#[test]
fn a_port_that_another_evener_shares_among_its_threads_is_in_use() {
    let origin = Origin::named("a");
    let first = balancer(&origin);
    let taken = first.address().to_string();
    let second = Process::start(&["--listen", &taken, "--route", &route(&origin)]);
    let (code, lines) = second.end();
    assert_eq!(code, Some(1), "{lines:?}");
    assert_eq!(get(&mut first.client(), "/"), (200, "a".to_owned()));
}

#[test]
fn sigterm_lets_requests_finish_and_exits_with_0() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let flags = format!("/={}", held.local_addr().unwrap());
    let words = ["--listen", "127.0.0.1:0", "--check", "off", "--route", &flags];
    let process = Process::start(&words);
    let mut client = process.client();
    client.get("/");
    let (mut upstream, _) = held.accept().unwrap();
    // Anything sent before the request arrives would not be a response to it.
    assert_ne!(upstream.read(&mut [0; 4096]).unwrap(), 0);
    process.signal("TERM");
    process.announces("draining ");
    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
    assert_eq!(client.response().text(), "hi");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn sigint_exits_at_once_with_0() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let flags = format!("/={}", held.local_addr().unwrap());
    let words = ["--listen", "127.0.0.1:0", "--check", "off", "--route", &flags];
    let process = Process::start(&words);
    process.client().get("/");
    let _under_way = held.accept().unwrap();
    process.signal("INT");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_second_signal_cuts_the_drain_short() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let flags = format!("/={}", held.local_addr().unwrap());
    let words = ["--listen=127.0.0.1:0", "--check=off", "--drain-timeout=1h", "--route", &flags];
    let process = Process::start(&words);
    let mut client = process.client();
    client.get("/");
    let _under_way = held.accept().unwrap();
    process.signal("TERM");
    process.announces("draining ");
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn the_help_names_groups_and_defaults() {
    let (code, lines) = Process::start(&["--help"]).end();
    let help = lines.join("\n");
    assert_eq!(code, Some(0));
    for group in ["Listening", "Routing", "Timeouts", "Limits", "Health", "Logging"] {
        assert!(lines.contains(&format!("{group}:")), "{group} in {help}");
    }
    for default in ["127.0.0.1:8080", "10s", "60s", "75s", "16k", "100", "3", "tcp", "info"] {
        assert!(help.contains(&format!("[default: {default}]")), "{default} in {help}");
    }
}

#[test]
fn every_flag_with_a_value_names_its_default() {
    let (_, lines) = Process::start(&["--help"]).end();
    let help = lines.join("\n");
    for entry in help.split("\n      --").skip(1).filter(|entry| entry.contains(" <")) {
        let named = entry.contains("[default: ")
            || ["route ", "tcp "].iter().any(|flag| entry.starts_with(flag));
        assert!(named, "--{entry}");
    }
}

#[test]
fn it_listens_and_connects_over_unix_sockets() {
    let (front, back) = (socket_path("front"), socket_path("back"));
    let listen = [&front, &back].map(|path| format!("unix:{}", path.display()));
    let origin = Process::start(&["origin", "--name", "back", "--listen", &listen[1]]);
    origin.announces("listening on ");
    let flags = ["--listen", &listen[0], "--threads", "2", "--route", &format!("/={}", listen[1])];
    let process = Process::start(&flags);
    assert_eq!(process.announces("listening on "), listen[0]);
    let answer = get_unix(&front);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("back /\n"), "{answer}");
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    assert!(!front.exists());
    let _ = fs::remove_file(back);
}

#[test]
fn a_stale_socket_file_is_replaced() {
    let path = socket_path("stale");
    drop(UnixListener::bind(&path).unwrap());
    let origin = Origin::named("a");
    let listen = format!("unix:{}", path.display());
    let process = Process::start(&["--listen", &listen, "--route", &route(&origin)]);
    process.announces("listening on ");
    assert!(get_unix(&path).ends_with("\r\n\r\na"));
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn a_socket_file_that_another_process_has_replaced_stays() {
    let path = socket_path("other");
    let origin = Origin::named("a");
    let listen = format!("unix:{}", path.display());
    let start = || Process::start(&["--listen", &listen, "--route", &route(&origin)]);
    let first = start();
    first.announces("listening on ");
    fs::remove_file(&path).unwrap();
    let second = start();
    second.announces("listening on ");
    first.signal("TERM");
    assert_eq!(first.end().0, Some(0));
    assert!(get_unix(&path).ends_with("\r\n\r\na"));
    second.signal("TERM");
    assert_eq!(second.end().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn a_live_socket_and_a_file_that_is_not_a_socket_are_left_alone() {
    let (live, file) = (socket_path("live"), socket_path("file"));
    let _held = UnixListener::bind(&live).unwrap();
    fs::write(&file, "precious").unwrap();
    for path in [&live, &file] {
        let listen = format!("unix:{}", path.display());
        let (code, lines) = Process::start(&["--listen", &listen, "--route", "/=[::1]:1"]).end();
        assert_eq!(code, Some(1), "{lines:?}");
        assert!(path.exists());
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn the_origin_answers_as_asked() {
    let origin = Process::start(&["origin", "--listen", "127.0.0.1:0", "--name", "o"]);
    let mut client = origin.client();
    assert_eq!(get(&mut client, "/a"), (200, "o /a\n".to_owned()));
    assert_eq!(get(&mut client, "/?bytes=100k"), (200, ".".repeat(102_400)));
    assert_eq!(get(&mut client, "/?status=418").0, 418);
    let (status, text) = get(&mut client, "/echo");
    assert_eq!((status, text.as_str()), (200, "GET /echo HTTP/1.1\r\nHost: test\r\n\r\n"));
}

#[test]
fn the_origin_speaks_http_2_with_those_who_begin_so() {
    let origin = Process::start(&["origin", "--listen", "127.0.0.1:0", "--name", "o"]);
    let mut client = RawClient::over(origin.client().stream);
    client.greet(&[]);
    client.get(1, "/a");
    client.get(3, "/?bytes=100k");
    client.post(5, "/?status=418", &filler(1000));
    client.get(7, "/echo");
    assert_eq!(client.expect_answer(1, 200).text(), "o /a\n");
    assert_eq!(client.expect_answer(3, 200).text(), ".".repeat(102_400));
    client.expect_answer(5, 418);
    let echoed = ":method: GET\n:scheme: http\n:authority: test\n:path: /echo\n";
    assert_eq!(client.expect_answer(7, 200).text(), echoed);
}

/// Failing to connect to a socket does not prove that it is stale.
#[test]
fn a_socket_of_another_kind_is_not_taken_for_stale() {
    let path = socket_path("datagrams");
    let _theirs = UnixDatagram::bind(&path).unwrap();
    let listen = format!("unix:{}", path.display());
    let (code, _) = Process::start(&["--listen", &listen, "--route", "/=[::1]:1"]).end();
    assert_eq!((code, path.exists()), (Some(1), true));
    fs::remove_file(&path).unwrap();
}
