//! Upgrades that come to nothing: the old process goes on, and the new one ends.

use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::chain::{Chain, ask_unix, launch, text};
use crate::support::{Client, Origin, Process, eventually, socket_path};

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
    let other = Origin::named("other");
    let taken = other.address.to_string();
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
