//! What happens between SIGTERM and the drain.

use crate::support::{Admin, Origin, eventually};

/// A balancer that has been told to end, and waits.
fn waiting(origin: &Origin, delay: &str) -> Admin {
    let admin = Admin::before(&[origin], &["--shutdown-delay", delay]);
    admin.process.signal("TERM");
    eventually("it is not ready", || admin.get("/readyz").status == 503);
    admin
}

fn text(admin: &Admin) -> (Option<String>, String) {
    let mut client = admin.client();
    client.get("/");
    let response = client.response();
    (response.field("Connection").map(str::to_owned), response.text())
}

#[test]
fn connections_are_accepted_until_it_has_passed() {
    let origin = Origin::named("o");
    let admin = waiting(&origin, "10m");
    // Nothing tells a client that this is about to end.
    assert_eq!(text(&admin), (None, "o".to_owned()));
    assert_eq!(admin.status()["state"], "draining");
    let short = Admin::before(&[&origin], &["--shutdown-delay", "1ms"]);
    short.process.signal("TERM");
    let (code, said) = short.process.end();
    assert_eq!(code, Some(0));
    assert!(said.iter().any(|line| line.ends_with("drained")), "{said:?}");
}

#[test]
fn a_second_signal_ends_the_wait() {
    let admin = waiting(&Origin::named("o"), "10m");
    admin.process.signal("TERM");
    let (code, said) = admin.process.end();
    assert_eq!(code, Some(0));
    assert!(said.iter().any(|line| line.ends_with("drained")), "{said:?}");
}

#[test]
fn sigint_ends_at_once() {
    let admin = waiting(&Origin::named("o"), "10m");
    admin.process.signal("INT");
    let (code, said) = admin.process.end();
    assert_eq!(code, Some(0));
    assert!(said.iter().any(|line| line.ends_with("ending at once")), "{said:?}");
}
