//! Endpoints from SRV records: ports, weights, priorities, and targets that do not resolve.

use serde_json::Value;

use crate::support::Admin;
use crate::support::discovered::{Load, answering, asking, endpoints, eventually_has, on_one_port};
use crate::support::dns::{Dns, Failing};

const NAME: &str = "_http._tcp.app.example";

/// A name server that knows the hosts `one` to `three`, at 127.0.0.1 to 127.0.0.3.
fn hosts() -> Dns {
    let dns = Dns::start();
    for (host, address) in
        [("one.example", "127.0.0.1"), ("two.example", "127.0.0.2"), ("three.example", "127.0.0.3")]
    {
        dns.says(host, &[address]);
    }
    dns
}

fn start(dns: &Dns) -> Admin {
    asking(dns, &["--route", &format!("/=srv:{NAME}"), "--max-fails", "1"])
}

/// Name, weight and role of each endpoint.
fn shown(admin: &Admin) -> Vec<String> {
    let status = admin.status();
    let shown = |endpoint: &Value| {
        let backup = if endpoint["backup"] == true { " backup" } else { "" };
        format!("{}@{}{backup}", endpoint["name"].as_str().unwrap(), endpoint["weight"])
    };
    status["upstreams"][0]["endpoints"].as_array().unwrap().iter().map(shown).collect()
}

#[test]
fn services_have_ports_weights_and_priorities() {
    let ((port, origins), dns) = (on_one_port(3), hosts());
    let services = [
        (20, 0, port, "three.example"),
        (10, 60000, port, "one.example"),
        (10, 30000, port, "two.example"),
    ];
    dns.serves(NAME, &services);
    let admin = start(&dns);
    let expected = ["one.example:{}@1000", "two.example:{}@500", "three.example:{}@1 backup"];
    assert_eq!(shown(&admin), expected.map(|text| text.replace("{}", &port.to_string())));
    assert_eq!(answering(&admin), ["127.0.0.1", "127.0.0.2"]);
    origins[0].origin.stop();
    origins[1].origin.stop();
    assert_eq!(answering(&admin), ["127.0.0.3"]);
}

#[test]
fn no_request_fails_while_the_services_change() {
    let ((port, origins), dns) = (on_one_port(3), hosts());
    dns.serves(NAME, &[(1, 1, port, "one.example"), (1, 1, port, "two.example")]);
    let admin = start(&dns);
    let load = Load::on(&admin);
    load.goes_on();
    dns.serves(NAME, &[(1, 1, port, "two.example"), (1, 1, port, "three.example")]);
    eventually_has(&admin, &["127.0.0.3", "127.0.0.2"]);
    load.goes_on();
    dns.says("two.example", &["127.0.0.1"]);
    eventually_has(&admin, &["127.0.0.3", "127.0.0.1"]);
    load.goes_on();
    load.ends();
    origins[1].is_left();
}

#[test]
fn a_target_that_does_not_resolve_keeps_the_addresses_it_had() {
    let ((port, _origins), dns) = (on_one_port(3), hosts());
    dns.serves(NAME, &[(1, 1, port, "one.example"), (1, 1, port, "two.example")]);
    let admin = start(&dns);
    dns.fails("two.example", Failing::NoSuchName);
    dns.says("one.example", &["127.0.0.3"]);
    eventually_has(&admin, &["127.0.0.3", "127.0.0.2"]);
}

#[test]
fn services_without_a_target_are_an_answer_that_is_not_taken() {
    let ((port, _origins), dns) = (on_one_port(1), hosts());
    dns.serves(NAME, &[(1, 1, port, "one.example")]);
    let admin = start(&dns);
    dns.serves(NAME, &[(0, 0, 0, ".")]);
    let told = format!("srv:{NAME}: it has no services; its endpoint stays");
    crate::support::eventually("it is told", || admin.process.says(&told));
    assert_eq!(endpoints(&admin), ["127.0.0.1"]);
}

#[test]
fn a_target_that_cannot_be_the_name_of_a_host_is_left_out() {
    let ((port, _origins), dns) = (on_one_port(2), hosts());
    // The last one would be taken for an address.
    let odd = ["<b>.example", "a b.example", "x\"y.example", "127.0.0.2"];
    for odd in &odd {
        dns.says(odd, &["127.0.0.2"]);
    }
    let services = ["one.example", odd[0], odd[1], odd[2], odd[3]];
    dns.serves(NAME, &services.map(|target| (1, 1, port, target)));
    assert_eq!(shown(&start(&dns)), [format!("one.example:{port}@1")]);
}
