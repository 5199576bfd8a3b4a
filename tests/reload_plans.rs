//! What a reload leaves behind: no connection, whatever it is for, keeps a plan that has gone.

use std::sync::{Arc, Weak};

use evener::plan::Plan;
use serde_json::json;

use crate::support::logged::lines;
use crate::support::{Client, Conn, Origin, Proxy, eventually};

const V1: &str = "PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Follows the same flags again so often, and fails if a plan that was in force meanwhile is not
/// given up. `use_connections` is done after each reload.
fn hold(proxy: &mut Proxy, flags: &[&str], mut use_connections: impl FnMut()) {
    let mut gone: Vec<Weak<Plan>> = Vec::new();
    for _ in 0..20 {
        gone.push(Arc::downgrade(proxy.plan()));
        proxy.reload_words(flags).unwrap();
        use_connections();
    }
    eventually("no plan is kept that has gone", || {
        gone.iter().all(|plan| plan.strong_count() == 0)
    });
}

#[test]
fn clients_named_by_a_header_follow_the_plan_in_force() {
    let origin = Origin::named("x");
    let route = format!("/={}", origin.address);
    let flags = ["--listen", "127.0.0.1:0,proxy", "--trusted", "127.0.0.1", "--route", &route];
    let mut proxy = Proxy::start_words(&flags);
    let mut clients: Vec<Client> = (0..10).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(V1);
    }
    hold(&mut proxy, &flags, || {
        for client in &mut clients {
            assert_eq!(client.ask(GET).text(), "x");
        }
    });
}

#[test]
fn a_head_that_is_not_whole_keeps_no_plan_and_goes_by_the_one_in_force() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let log = crate::support::temporary("access.log");
    let to = |origin: &Origin| format!("--route=/{}={}", origin.address.port(), origin.address);
    let route = |origin: &Origin| format!("--route=/={}", origin.address);
    let flags = ["--access-log", log.to_str().unwrap(), "--access-log-format=json"];
    let mut proxy = Proxy::start(&[&flags[..], &[&route(&one)]].concat());
    let mut client = proxy.client();
    // Once the first has been answered, what has come of the second has been read.
    client.send(GET.to_owned() + &GET[..20]);
    assert_eq!(client.response().text(), "one");
    let routes = [to(&one), route(&two)];
    let with_two = [&flags[..], &[&routes[0], &routes[1]]].concat();
    proxy.reload(&with_two).unwrap();
    let listen = ["--listen", "127.0.0.1:0"];
    hold(&mut proxy, &[&listen[..], &with_two].concat(), || {});
    client.send(&GET[20..]);
    assert_eq!(client.response().text(), "two");
    let line = lines(&log, 2).remove(1);
    assert_eq!([&line["route"], &line["tried"]], [&json!("/"), &json!([two.address])]);
}

#[test]
fn a_relay_keeps_no_plan() {
    let origin = Origin::start(|mut conn: Conn| {
        while let Some(bytes) = conn.bytes(1) {
            conn.send(bytes);
        }
    });
    let log = crate::support::temporary("relay.log");
    let (plain, header) = (
        format!("127.0.0.1:0={}", origin.address),
        format!("127.0.0.1:0,proxy={}", origin.address),
    );
    let flags = ["--tcp", &plain, "--tcp", &header, "--trusted", "127.0.0.1"];
    let flags = [&flags[..], &["--access-log", log.to_str().unwrap()]].concat();
    let mut proxy = Proxy::start_words(&flags);
    let mut clients: Vec<Client> = proxy.addresses().into_iter().map(Client::connect).collect();
    clients[1].send(V1);
    hold(&mut proxy, &flags, || {
        for client in &mut clients {
            client.send("x");
            assert_eq!(client.exactly(1), b"x");
        }
    });
}
