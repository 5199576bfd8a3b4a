//! Upgrades in which a process dies, or speaks another version: a relay in between knows what is said.

use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use evener::drain::DrainPhase;
use evener::net::hand_off::{HandOff, HandedOff};
use evener::net::upgrade_socket::{Channel, Received, UpgradeSocket};
use evener::plan::handle::PlanHandle;
use rustix::net::SendFlags;

use crate::support::chain::{Chain, launch, text};
use crate::support::paused::{context, run};
use crate::support::{Client, HANG, Origin, Process, eventually, socket_path};

/// A message and what comes with it, as it is.
fn pass(from: &Channel, to: &Channel) -> Option<String> {
    from.set_limit(Some(HANG)).unwrap();
    let Received { bytes, descriptors } = from.receive().unwrap()?;
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    to.send(&bytes, &borrowed, SendFlags::empty()).unwrap();
    Some(String::from_utf8(bytes).unwrap())
}

/// Waits for the old process at its path.
fn meet(chain: &Chain) -> Channel {
    let socket = UpgradeSocket::at(Path::new(&chain.words[5]), (None, None)).unwrap();
    chain.running.signal("QUIT");
    let mut met = None;
    eventually("the old process comes", || {
        met = socket.accept(HANG).unwrap();
        met.is_some()
    });
    met.unwrap()
}

/// Passes all that the old process says up to the message that contains `last`.
fn pass_until(old: &Channel, new: &Channel, last: &str) {
    while !pass(old, new).unwrap().contains(last) {}
}

/// A new process, which waits elsewhere, and its channel.
fn newcomer(chain: &Chain, name: &str) -> (Process, Channel) {
    let path = socket_path(name);
    let mut words = chain.words.clone();
    words[5] = path.display().to_string();
    let new = launch(&words, &["-u"]);
    let mut joined = None;
    eventually("it waits", || {
        joined = Channel::join(&path).unwrap();
        joined.is_some()
    });
    (new, joined.unwrap())
}

#[test]
fn a_new_process_that_dies_when_everything_is_its_own_leaves_it_to_the_old_one() {
    let origin = Origin::named("o");
    let chain = Chain::start(&[&origin], &[]);
    let mut client = chain.client();
    assert_eq!(text(&mut client), "o");
    let (new, to_new) = newcomer(&chain, "dies");
    let old = meet(&chain);
    pass_until(&old, &to_new, "Offered");
    pass(&to_new, &old).unwrap();
    old.set_limit(Some(HANG)).unwrap();
    while !String::from_utf8(old.receive().unwrap().unwrap().bytes).unwrap().contains("Yours") {}
    drop((new, to_new, old));
    eventually("it goes on", || chain.running.says("not handed over, going on"));
    assert_eq!((text(&mut client), text(&mut chain.client())), ("o".into(), "o".into()));
}

#[test]
fn a_new_process_that_says_nothing_more_has_not_taken_over() {
    let origin = Origin::named("o");
    let chain = Chain::start(&[&origin], &[]);
    let (new, to_new) = newcomer(&chain, "mute");
    let old = meet(&chain);
    pass_until(&old, &to_new, "Offered");
    pass(&to_new, &old).unwrap();
    pass_until(&old, &to_new, "Yours");
    // What the new one says does not arrive.
    eventually("it goes on", || chain.running.says("not handed over, going on"));
    assert_eq!(text(&mut chain.client()), "o");
    drop((to_new, old));
    drop(new);
}

#[test]
fn requests_are_answered_while_their_connections_wait_to_be_handed_over() {
    let origin = Origin::named("o");
    let chain = Chain::start(&[&origin], &[]);
    // Several times as many as may be on their way.
    let mut clients: Vec<Client> = (0..200).map(|_| chain.client()).collect();
    for client in &mut clients {
        assert_eq!(text(client), "o");
    }
    let (new, to_new) = newcomer(&chain, "slow");
    let old = meet(&chain);
    pass_until(&old, &to_new, "Offered");
    pass(&to_new, &old).unwrap();
    pass_until(&old, &to_new, "Yours");
    pass(&to_new, &old).unwrap();
    // Some are on their way, and nobody takes them: which ones is not known.
    old.readable().unwrap();
    let before = origin.heads().len();
    for client in &mut clients {
        client.get("/");
    }
    eventually("most are answered here", || origin.heads().len() >= before + 100);
    while pass(&old, &to_new).is_some() {}
    for client in &mut clients {
        assert_eq!(client.response().text(), "o");
    }
    assert_eq!(chain.running.end().0, Some(0));
    drop(new);
}

#[test]
fn an_old_process_that_dies_when_it_has_said_the_last_word_is_gone_on_without() {
    let origin = Origin::named("o");
    let mut chain = Chain::start(&[&origin], &[]);
    let path = chain.words[5].clone();
    let next = launch(&chain.words, &["-u"]);
    eventually("it waits", || next.says("waiting for up to 30s"));
    assert!(Path::new(&path).exists());
    chain.running.signal("QUIT");
    eventually("it has taken over", || chain.running.says("handed over; what still runs"));
    chain.running.signal("KILL");
    chain.running = next;
    assert_eq!(text(&mut chain.client()), "o");
}

#[test]
fn a_new_process_that_speaks_another_version_leaves_it_to_the_old_one() {
    let origin = Origin::named("o");
    let chain = Chain::start(&[&origin], &[]);
    drop(meet(&chain));
    eventually("it goes on", || chain.running.says("not handed over, going on"));
    assert_eq!(text(&mut chain.client()), "o");
}

#[test]
fn an_old_process_that_speaks_another_version_is_passed_over() {
    let origin = Origin::named("o");
    let chain = Chain::start(&[&origin], &[]);
    let (new, to_new) = newcomer(&chain, "older");
    let hello = b"{\"Hello\":{\"version\":2,\"pid\":1,\"age_millis\":1}}";
    to_new.send(hello, &[], SendFlags::empty()).unwrap();
    eventually("it is passed over", || new.says("ignored a connection that is not a handover"));
    assert!(to_new.receive().unwrap().is_none());
}

#[test]
fn clients_that_rest_are_told_when_nothing_goes_out_even_if_they_have_not_been_woken() {
    run(Duration::from_secs(60), async {
        let (ours, theirs) = Channel::pair().unwrap();
        drop(theirs);
        let hand_off = HandOff::new(ours);
        let idle = HandedOff::Idle { upstream: String::new(), address: String::new(), carried: 0 };
        let file = std::fs::File::open("/dev/null").unwrap();
        let turn = hand_off.turn().await.unwrap();
        turn.leave(&idle, file.as_fd()).await.unwrap_err();
        let handle = PlanHandle::new(context(&["--route", "/=127.0.0.1:1"]));
        let drain = Rc::clone(&handle.get().drain);
        // None of these tries to go, as if all were busy.
        let _busy: Vec<_> = (0..100).map(|_| drain.enter()).collect();
        handle.open_exit(hand_off);
        handle.let_sessions_go().await;
        assert_eq!(drain.phase(), DrainPhase::Draining);
    });
}
