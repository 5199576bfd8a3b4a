//! Upgrades: what one process hands over to the next, and that no client notices.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, io, thread};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::origin::{ok, ok_head};
use crate::support::{Client, Conn, Origin, Process, eventually, filler, socket_path, temporary};

/// A balancer, and how to start its successors.
struct Chain {
    words: Vec<String>,
    running: Process,
    address: SocketAddr,
}

impl Chain {
    fn start(origins: &[&Origin], more: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("up{}", COUNT.fetch_add(1, Ordering::SeqCst));
        let meeting = socket_path(&name).display().to_string();
        let addresses: Vec<_> = origins.iter().map(|o| o.address.to_string()).collect();
        let route = format!("/={}", addresses.join(","));
        let mut words: Vec<String> =
            ["--listen", "127.0.0.1:0", "--route", &route, "--upgrade-sock", &meeting]
                .map(str::to_owned)
                .to_vec();
        words.extend(more.iter().map(ToString::to_string));
        let running = launch(&words, &["--threads", "2"]);
        let address = running.address();
        Self { words, running, address }
    }

    /// Hands over to a successor that is started with these flags; the old process.
    fn upgrade(&mut self, more: &[&str]) -> Process {
        self.running.signal("QUIT");
        let next = launch(&self.words, &[&["-u"], more].concat());
        let old = std::mem::replace(&mut self.running, next);
        eventually("it has taken over", || old.says("handed over; what still runs"));
        old
    }

    fn client(&self) -> Client {
        Client::connect(self.address)
    }
}

fn launch(words: &[String], more: &[&str]) -> Process {
    let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Process::start(&words)
}

fn text(client: &mut Client) -> String {
    client.get("/");
    client.response().text()
}

/// Answers every request with the index of its connection.
fn counting() -> Origin {
    Origin::start(|mut conn: Conn| {
        while conn.head().is_some() {
            let index = conn.index.to_string();
            conn.send(ok(&index));
        }
    })
}

#[test]
fn connections_at_rest_go_on_in_the_new_process_on_both_sides() {
    let origin = counting();
    let mut chain = Chain::start(&[&origin], &["--check", "off"]);
    let mut client = chain.client();
    assert_eq!(text(&mut client), "0");
    for _ in 0..3 {
        let old = chain.upgrade(&["--threads", "1"]);
        assert_eq!(old.end().0, Some(0));
        assert_eq!(text(&mut client), "0");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn the_new_process_may_come_first() {
    let origin = Origin::named("o");
    let chain = Chain::start(&[&origin], &[]);
    let mut client = chain.client();
    assert_eq!(text(&mut client), "o");
    let next = launch(&chain.words, &["-u"]);
    eventually("it waits", || next.says("waiting for up to 30s"));
    chain.running.signal("QUIT");
    assert_eq!(chain.running.end().0, Some(0));
    assert_eq!(text(&mut client), "o");
    assert_eq!(next.address(), chain.address);
}

#[test]
fn if_nobody_comes_the_old_process_goes_on() {
    let origin = Origin::named("o");
    let chain = Chain::start(&[&origin], &["--upgrade-timeout", "50ms"]);
    let mut client = chain.client();
    chain.running.signal("QUIT");
    eventually("it gives up", || chain.running.says("not handed over, going on"));
    assert_eq!((text(&mut client), text(&mut chain.client())), ("o".into(), "o".into()));
}

#[test]
fn a_new_process_that_fails_leaves_the_old_one_as_it_was() {
    let (origin, path) = (Origin::named("o"), socket_path("upf"));
    let unix = format!("unix:{}", path.display());
    let chain = Chain::start(&[&origin], &["--listen", &unix]);
    let mut client = chain.client();
    chain.running.signal("QUIT");
    let taken = origin.address.to_string();
    let failed = launch(&chain.words, &["-u", "--listen", &taken]);
    assert_eq!(failed.end().0, Some(1));
    eventually("it goes on", || chain.running.says("not handed over, going on"));
    assert_eq!((text(&mut client), text(&mut chain.client())), ("o".into(), "o".into()));
    assert!(ask_unix(&path).unwrap().ends_with("\r\n\r\no"));
}

#[test]
fn who_comes_to_the_meeting_without_a_word_or_with_the_wrong_one_is_passed_over() {
    let origin = Origin::named("o");
    let chain = Chain::start(&[&origin], &[]);
    let next = launch(&chain.words, &["-u"]);
    eventually("it waits", || next.says("waiting for up to 30s"));
    let meeting = &chain.words[5];
    let stranger = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    stranger.connect(&SockAddr::unix(meeting).unwrap()).unwrap();
    stranger.send(b"hello").unwrap();
    eventually("it is passed over", || next.says("somebody came who does not hand over"));
    chain.running.signal("QUIT");
    assert_eq!(chain.running.end().0, Some(0));
    assert_eq!(text(&mut Client::connect(next.address())), "o");
}

#[test]
fn a_client_that_rests_is_waited_for_as_before() {
    let origin = Origin::named("o");
    let mut chain = Chain::start(&[&origin], &["--header-timeout", "20ms"]);
    let mut client = chain.client();
    assert_eq!(text(&mut client), "o");
    assert_eq!(chain.upgrade(&[]).end().0, Some(0));
    // As long as a client may take that has never been answered, several times.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(text(&mut client), "o");
}

#[test]
fn what_comes_over_while_the_next_upgrade_begins_is_answered() {
    let go = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&go);
    let origin = Origin::start(move |mut conn: Conn| {
        while let Some(head) = conn.head() {
            if head.starts_with("GET /wait ") {
                eventually("it may go on", || told.load(Ordering::SeqCst));
            }
            conn.send(ok("o"));
        }
    });
    let mut chain = Chain::start(&[&origin], &[]);
    let mut client = chain.client();
    client.get("/wait");
    eventually("it is asked", || origin.heads().len() == 1);
    let first = chain.upgrade(&[]);
    let second = chain.upgrade(&[]);
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.response().text(), "o");
    assert_eq!((first.end().0, second.end().0), (Some(0), Some(0)));
    assert_eq!(text(&mut chain.client()), "o");
}

#[test]
fn without_an_old_process_the_new_one_ends() {
    let path = socket_path("alone").display().to_string();
    let flags =
        ["-u", "--upgrade-sock", &path, "--upgrade-timeout", "50ms", "--route=/=127.0.0.1:1"];
    let (code, said) = Process::start(&flags).end();
    assert_eq!(code, Some(1));
    assert!(
        said.iter().any(|line| line.contains("no process has handed over in time")),
        "{said:?}"
    );
    let (code, said) = Process::start(&["-u", "--route=/=127.0.0.1:1"]).end();
    assert_eq!((code, said.len()), (Some(2), 1), "{said:?}");
}

#[test]
fn an_answer_under_way_comes_whole_and_then_its_connection_goes_over() {
    let body: &'static [u8] = filler(200_000).leak();
    let go = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&go);
    let origin = Origin::start(move |mut conn: Conn| {
        while let Some(head) = conn.head() {
            if !head.starts_with("GET /long ") {
                conn.send(ok("short"));
                continue;
            }
            conn.send([&ok_head(body.len())[..], &body[..1000]].concat());
            eventually("it may go on", || told.load(Ordering::SeqCst));
            conn.send(&body[1000..]);
        }
    });
    let mut chain = Chain::start(&[&origin], &[]);
    let mut client = chain.client();
    client.get("/long");
    let start = client.exactly(ok_head(body.len()).len() + 1000);
    let old = chain.upgrade(&["--threads", "3"]);
    assert_eq!(text(&mut chain.client()), "short");
    go.store(true, Ordering::SeqCst);
    assert!([start, client.exactly(body.len() - 1000)].concat().ends_with(body));
    assert_eq!(old.end().0, Some(0));
    assert_eq!(text(&mut client), "short");
}

#[test]
fn a_tunnel_stays_where_it_is_until_it_ends() {
    const SWITCH: &str = "HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send(SWITCH);
        while let Some(byte) = conn.bytes(1) {
            conn.send(byte);
        }
        conn.close();
    });
    let mut chain = Chain::start(&[&origin], &[]);
    let mut client = chain.client();
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    assert_eq!(client.ask(ask).status, 101);
    let old = chain.upgrade(&[]);
    client.send("x");
    assert_eq!(client.exactly(1), b"x");
    drop(client);
    assert_eq!(old.end().0, Some(0));
}

#[test]
fn an_ejection_travels_along() {
    let (dead, well) = (Origin::refusing(), Origin::named("well"));
    let flags = ["--check", "off", "--fail-timeout", "10m", "--threads", "1"];
    let mut chain = Chain::start(&[&dead, &well], &flags[..4]);
    let mut client = chain.client();
    for _ in 0..12 {
        assert_eq!(text(&mut client), "well");
    }
    eventually("it is ejected", || chain.running.says("ejected (time 1 in a row)"));
    let old = chain.upgrade(&flags[4..]);
    assert_eq!(old.end().0, Some(0));
    for _ in 0..12 {
        assert_eq!(text(&mut client), "well");
    }
    assert!(!chain.running.says("ejected"));
}

#[test]
fn no_connection_is_refused_or_reset_while_processes_and_threads_change() {
    let origin = Origin::named("o");
    let mut chain = Chain::start(&[&origin], &["--check", "off"]);
    let (address, stop) = (chain.address, Arc::new(AtomicBool::new(false)));
    let load = |is_kept: bool| {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let (mut count, mut client) = (0, Client::connect(address));
            while !stop.load(Ordering::SeqCst) {
                assert_eq!(text(&mut client), "o");
                count += 1;
                if !is_kept {
                    client = Client::connect(address);
                }
            }
            count
        })
    };
    let loads = [load(true), load(true), load(false), load(false)];
    for threads in ["1", "3", "2"] {
        let old = chain.upgrade(&["--threads", threads]);
        assert_eq!(old.end().0, Some(0));
    }
    stop.store(true, Ordering::SeqCst);
    for load in loads {
        assert!(load.join().expect("no request failed") > 0);
    }
}

#[test]
fn unix_listeners_and_the_pid_file_go_over() {
    let (origin, path, pid) = (Origin::named("o"), socket_path("upl"), temporary("pid"));
    let listen = format!("unix:{}", path.display());
    let flags = ["--listen", &listen, "--pid-file", pid.to_str().unwrap()];
    let mut chain = Chain::start(&[&origin], &flags);
    let old = chain.upgrade(&[]);
    assert_eq!(old.end().0, Some(0));
    let named = |pid: &PathBuf| fs::read_to_string(pid).unwrap_or_default().trim().to_owned();
    assert_eq!(named(&pid), chain.running.id().to_string());
    let answer = ask_unix(&path).unwrap();
    assert!(answer.ends_with("\r\n\r\no"), "{answer}");
}

fn ask_unix(path: &PathBuf) -> io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
