//! Upgrades hand over the admin listener and the state set by its commands.

use crate::support::{Admin, Origin, Process, socket_path};

#[test]
fn the_listener_and_endpoint_states_are_handed_over() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let upgrade_socket = socket_path("admin-up").display().to_string();
    let words = ["--upgrade-sock", upgrade_socket.as_str()];
    let old = Admin::before(&[&one, &two], &words);
    assert_eq!(old.order(&one, "drain").status, 200);
    let since = old.endpoint(0)["since_seconds"].as_f64().unwrap();
    old.process.signal("QUIT");
    let new = Admin::before(&[&one, &two], &[&words[..], &["-u"]].concat());
    assert_eq!((old.at, old.address), (new.at, new.address));
    assert_eq!(old.process.end().0, Some(0));
    assert_eq!(new.status()["pid"], new.process.id());
    let endpoint = new.endpoint(0);
    assert_eq!(endpoint["state"], "drained");
    assert!(endpoint["since_seconds"].as_f64().unwrap() >= since);
    for _ in 0..4 {
        let mut client = new.client();
        client.get("/");
        assert_eq!(client.response().text(), "two");
    }
    assert_eq!(new.order(&one, "ready").status, 200);
    assert_eq!(new.endpoint(0)["state"], "up");
}

#[test]
fn the_file_of_a_unix_socket_stays_for_the_new_process() {
    let (origin, path) = (Origin::named("o"), socket_path("admin-go"));
    let at = format!("unix:{}", path.display());
    let upgrade_socket = socket_path("admin-meet").display().to_string();
    let route = format!("/={}", origin.address);
    let words = ["--listen", "127.0.0.1:0", "--route", &route, "--admin", &at];
    let words = [&words[..], &["--upgrade-sock", &upgrade_socket]].concat();
    let old = Process::start(&words);
    old.announces("admin on ");
    old.signal("QUIT");
    let new = Process::start(&[&words[..], &["-u"]].concat());
    new.announces("admin on ");
    assert_eq!(old.end().0, Some(0));
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    new.signal("TERM");
    assert_eq!(new.end().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_that_the_new_process_does_not_have_is_removed() {
    let (origin, path) = (Origin::named("o"), socket_path("admin-gone"));
    let at = format!("unix:{}", path.display());
    let upgrade_socket = socket_path("admin-past").display().to_string();
    let route = format!("/={}", origin.address);
    let words = ["--listen", "127.0.0.1:0", "--route", &route, "--upgrade-sock", &upgrade_socket];
    let old = Process::start(&[&words[..], &["--admin", &at]].concat());
    old.announces("admin on ");
    old.signal("QUIT");
    let new = Process::start(&[&words[..], &["-u"]].concat());
    new.address();
    old.announces("has ended: it was not taken over");
    assert_eq!(old.end().0, Some(0));
    assert!(!path.exists());
}
