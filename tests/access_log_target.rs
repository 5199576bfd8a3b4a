//! Access log targets, how their failures are handled, and request IDs.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::chain::ask_unix;
use crate::support::{Origin, Process, Proxy, eventually, socket_path, temporary};

fn start(origin: &Origin, log: &str, more: &[&str]) -> Process {
    let route = format!("/={}", origin.address);
    let words =
        ["--listen", "127.0.0.1:0", "--threads", "1", "--access-log", log, "--route", &route];
    Process::start(&[&words, more].concat())
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn get(process: &Process, path: &str) {
    let mut client = process.client();
    client.get(path);
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_line_is_in_the_combined_format_with_more_after_it() {
    let (origin, path) = (Origin::named("o"), temporary("access.log"));
    let proxy = Proxy::before(&[&origin], &["--access-log", path.to_str().unwrap()]);
    let forged = "x\" 200 1 \"\\\" end=CH";
    let request =
        format!("GET /\"a HTTP/1.1\r\nHost: a\r\nUser-Agent: {forged}\r\nReferer: r\r\n\r\n");
    let status = proxy.ask(request).status;
    eventually("the line is there", || text(&path).ends_with('\n'));
    let line = text(&path);
    assert_eq!((line.lines().count(), line.matches('"').count()), (1, 12), "{line}");
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let agent = r#""r" "x\x22 200 1 \x22\x5C\x22 end=CH" host="a" "#;
    assert!(line.contains(&format!(r#"] "GET /\x22a HTTP/1.1" {status} "#)), "{line}");
    assert!(line.contains(agent), "{line}");
    assert!(line.contains(" end=-- id="), "{line}");
}

#[test]
fn standard_output_has_the_lines_and_nothing_else() {
    let (origin, path) = (Origin::named("o"), socket_path("stdout"));
    let (listen, route) = (format!("unix:{}", path.display()), format!("/={}", origin.address));
    let mut command = Command::new(env!("CARGO_BIN_EXE_evener"));
    command.args(["--listen", &listen, "--route", &route, "--access-log", "-"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    eventually("it answers", || ask_unix(&path).is_ok_and(|answer| answer.ends_with("\r\n\r\no")));
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let [line] = output.lines().collect::<Vec<_>>()[..] else { panic!("{output}") };
    assert!(line.contains("\"GET / HTTP/1.1\" 200 ") && line.contains(" end=-- "), "{line}");
}

#[test]
fn lines_that_wait_are_written_at_the_end() {
    for signal in ["TERM", "INT"] {
        let (origin, path) = (Origin::named("o"), temporary("access.log"));
        let process = start(&origin, path.to_str().unwrap(), &[]);
        get(&process, "/last");
        process.signal(signal);
        assert_eq!(process.end().0, Some(0));
        assert_eq!(text(&path).matches("GET /last").count(), 1, "{signal}");
    }
}

#[test]
fn sigusr1_reopens_the_file() {
    let (origin, path) = (Origin::named("o"), temporary("access.log"));
    let process = start(&origin, path.to_str().unwrap(), &[]);
    get(&process, "/before");
    eventually("it is written", || text(&path).contains("/before"));
    let moved = path.with_extension("1");
    fs::rename(&path, &moved).unwrap();
    process.signal("USR1");
    eventually("it is there again", || path.exists());
    get(&process, "/after");
    eventually("it is written", || text(&path).contains("/after"));
    assert!(!text(&moved).contains("/after") && !text(&path).contains("/before"));
}

#[test]
fn a_full_disk_loses_lines_but_no_request() {
    let origin = Origin::named("o");
    let proxy = Proxy::before(&[&origin], &["--access-log", "/dev/full"]);
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status, 200);
    }
    eventually("they are counted", || proxy.log_counts() == (0, 3));
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn a_pipe_whose_reader_exits_loses_lines_but_no_request() {
    let (origin, path) = (Origin::named("o"), temporary("fifo"));
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let process = start(&origin, path.to_str().unwrap(), &[]);
    get(&process, "/read");
    let mut line = String::new();
    let mut lines = BufReader::new(reader);
    eventually("it is read", || lines.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')));
    assert!(line.contains("GET /read"), "{line}");
    drop(lines);
    for _ in 0..3 {
        get(&process, "/lost");
    }
    process.signal("TERM");
    let (code, output) = process.end();
    assert_eq!(code, Some(0));
    assert!(output.iter().any(|line| line.contains("has 1 lines; 3 were dropped")), "{output:?}");
    let _ = fs::remove_file(path);
}

#[test]
fn an_unwritable_file_and_invalid_flags_prevent_the_start() {
    let origin = Origin::named("o");
    let (code, output) = start(&origin, "/nowhere/access.log", &[]).end();
    assert_eq!((code, output.len()), (Some(1), 1), "{output:?}");
    assert!(output[0].starts_with("evener: cannot write /nowhere/access.log: "), "{output:?}");
    let rows: [(&str, &[&str], &str); 3] = [
        ("-", &["-d"], "evener: --access-log: \"-\" is standard output"),
        ("", &[], "evener: --access-log: \"\" does not name a file"),
        (
            "x",
            &["--access-log-format", "xml"],
            "evener: --access-log-format: invalid value \"xml\"",
        ),
    ];
    for (log, more, expected) in rows {
        let (code, output) = start(&origin, log, more).end();
        assert_eq!((code, output.len()), (Some(2), 1), "{output:?}");
        assert!(output[0].starts_with(expected), "{output:?}");
    }
}

/// The values of X-Request-Id that an origin receives, and those in the access log.
fn ids(fields: &str, flags: &[&str]) -> (Vec<String>, Vec<String>) {
    let (origin, path) = (Origin::named("o"), temporary("access.log"));
    let log = ["--access-log", path.to_str().unwrap()];
    let proxy = Proxy::before(&[&origin], &[&log, flags].concat());
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    assert_eq!(proxy.ask(request).status, 200);
    eventually("the line is there", || text(&path).ends_with('\n'));
    let logged = text(&path);
    let words = logged.split_whitespace().filter_map(|word| word.strip_prefix("id="));
    (seen_ids(&origin), words.map(str::to_owned).collect())
}

fn seen_ids(origin: &Origin) -> Vec<String> {
    let head = origin.heads().remove(0);
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let ids = fields.filter(|(name, _)| name.to_lowercase().replace('_', "-") == "x-request-id");
    ids.map(|(_, value)| value.to_owned()).collect()
}

#[test]
fn a_request_has_one_id_in_the_line_and_at_the_endpoint() {
    let trusted: &[&str] = &["--trusted", "127.0.0.1"];
    let (field, long) =
        ("x-request-id: theirs\r\n", format!("X-Request-Id: {}\r\n", "a".repeat(65)));
    let twice = format!("{field}{field}");
    let named = format!("Connection: X-Request-Id\r\n{field}");
    let rows: [(&str, &[&str], Option<&str>); 8] = [
        (field, trusted, Some("theirs")),
        (field, &[], None),
        ("", trusted, None),
        (&twice, trusted, None),
        (&named, trusted, None),
        (&long, trusted, None),
        ("X-Request-Id: a b\r\n", trusted, None),
        ("X_Request_Id: theirs\r\n", trusted, None),
    ];
    for (fields, flags, expected) in rows {
        let (seen, logged) = ids(fields, flags);
        assert_eq!((seen.len(), &seen), (1, &logged), "{fields:?}");
        match expected {
            Some(id) => assert_eq!(seen[0], id),
            None => assert!(
                seen[0].len() == 32 && seen[0].bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{seen:?}"
            ),
        }
    }
}

#[test]
fn without_an_access_log_a_request_id_is_passed_on_unchanged() {
    for flags in [&[][..], &["--trusted", "127.0.0.1"]] {
        let origin = Origin::named("o");
        let proxy = Proxy::before(&[&origin], flags);
        let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\n\r\n";
        assert_eq!(proxy.ask(request).status, 200);
        assert_eq!(seen_ids(&origin), ["a b"]);
        assert_eq!(proxy.get("/").status, 200);
        assert!(!origin.heads()[1].contains("X-Request-Id"));
    }
}

#[test]
fn a_log_without_a_reader_does_not_delay_the_exit() {
    let (origin, path) = (Origin::named("o"), temporary("fifo"));
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let unread: File =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let process = start(&origin, path.to_str().unwrap(), &[]);
    let mut client = process.client();
    let long = "x".repeat(8000);
    for _ in 0..20 {
        client.get(&format!("/{long}"));
        assert_eq!(client.response().status, 200);
    }
    drop(client);
    process.signal("TERM");
    assert_eq!(process.end().0, Some(0));
    drop(unread);
    let _ = fs::remove_file(path);
}
