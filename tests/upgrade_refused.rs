//! Upgrades that fail: the old process continues, and the new one exits.

use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::chain::{Chain, ask_unix, launch, text};
use crate::support::{Client, Origin, Process, eventually, socket_path};

#[test]
fn without_a_new_process_the_old_one_continues() {
    let origin = Origin::named("o");
    let chain = Chain::start(&[&origin], &["--upgrade-timeout", "50ms"]);
    let mut client = chain.client();
    chain.running.signal("QUIT");
    eventually("it gives up", || chain.running.says("not handed over, going on"));
    assert_eq!((text(&mut client), text(&mut chain.client())), ("o".into(), "o".into()));
}

#[test]
fn a_new_process_that_fails_leaves_the_old_one_unchanged() {
    let (origin, path) = (Origin::named("o"), socket_path("upf"));
    let unix = format!("unix:{}", path.display());
    let chain = Chain::start(&[&origin], &["--listen", &unix]);
    let mut client = chain.client();
    chain.running.signal("QUIT");
    let other = Origin::named("other");
    let taken = other.address.to_string();
    let failed = launch(&chain.words, &["-u", "--listen", &taken]);
    assert_eq!(failed.end().0, Some(1));
    eventually("it goes on", || chain.running.says("not handed over, going on"));
    assert_eq!((text(&mut client), text(&mut chain.client())), ("o".into(), "o".into()));
    assert!(ask_unix(&path).unwrap().ends_with("\r\n\r\no"));
}

#[test]
fn a_peer_that_sends_nothing_or_an_unknown_message_is_ignored() {
    let origin = Origin::named("o");
    let chain = Chain::start(&[&origin], &[]);
    let next = launch(&chain.words, &["-u"]);
    eventually("it waits", || next.says("waiting for up to 30s"));
    let meeting = &chain.words[5];
    let stranger = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    stranger.connect(&SockAddr::unix(meeting).unwrap()).unwrap();
    stranger.send(b"hello").unwrap();
    eventually("it is passed over", || next.says("ignored a connection that is not a handover"));
    chain.running.signal("QUIT");
    assert_eq!(chain.running.end().0, Some(0));
    assert_eq!(text(&mut Client::connect(next.address())), "o");
}

#[test]
fn a_second_new_process_says_where_the_first_one_waits() {
    let path = socket_path("two").display().to_string();
    let flags = ["-u", "--upgrade-sock", &path, "--route=/=127.0.0.1:1"];
    let first = Process::start(&flags);
    eventually("the first one waits", || first.says("waiting for up to"));
    let (code, said) = Process::start(&flags).end();
    assert_eq!(code, Some(1));
    assert!(said.iter().any(|line| line.contains(&path)), "{said:?}");
    assert!(std::path::Path::new(&path).exists());
    first.signal("TERM");
    first.end();
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn without_an_old_process_the_new_one_exits() {
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
