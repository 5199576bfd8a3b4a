//! Endpoints that are looked up in DNS: they follow its answers, and stay while it has none.

use evener::config::explain::{AskedRequest, explain};

use crate::configuration::read;
use crate::support::discovered::{
    Load, answering, asking, endpoints, eventually_has, on_one_port, passes_and_says,
};
use crate::support::dns::{Dns, Failing};
use crate::support::{Admin, eventually};

#[test]
fn every_address_of_a_name_is_an_endpoint() {
    let ((port, _origins), dns) = (on_one_port(3), Dns::start());
    dns.says("app.example", &["127.0.0.2", "127.0.0.1", "127.0.0.3", "::1"]);
    let admin = asking(&dns, &["--route", &format!("/=dns:App.example:{port}@3")]);
    assert_eq!(endpoints(&admin), ["127.0.0.1", "127.0.0.2", "127.0.0.3", "[::1]"]);
    assert_eq!(admin.endpoint(0)["weight"], 3);
    assert_eq!(admin.endpoint(0)["name"], format!("App.example:{port}"));
    assert_eq!(answering(&admin), ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
}

#[test]
fn looked_up_endpoints_stand_beside_written_ones_each_once() {
    let ((port, _origins), dns) = (on_one_port(3), Dns::start());
    dns.says("app.example", &["127.0.0.1", "127.0.0.2"]);
    let route = format!("/=127.0.0.3:{port},dns:app.example:{port},127.0.0.1:{port}@7");
    let admin = asking(&dns, &["--route", &route]);
    assert_eq!(endpoints(&admin), ["127.0.0.3", "127.0.0.1", "127.0.0.2"]);
    assert_eq!(admin.endpoint(1)["weight"], 1);
}

#[test]
fn no_request_fails_while_the_records_change() {
    let ((port, origins), dns) = (on_one_port(4), Dns::start());
    dns.says("app.example", &["127.0.0.1", "127.0.0.2"]);
    let admin = asking(&dns, &["--route", &format!("/=dns:app.example:{port}")]);
    let load = Load::on(&admin);
    for next in [["127.0.0.3", "127.0.0.4"], ["127.0.0.1", "127.0.0.4"], ["127.0.0.2", "127.0.0.3"]]
    {
        load.goes_on();
        dns.says("app.example", &next);
        eventually_has(&admin, &next);
    }
    load.goes_on();
    load.ends();
    // Those that have gone have no connections any more.
    for gone in [0, 3] {
        origins[gone].is_left();
    }
}

#[test]
fn the_last_good_answer_stays_while_there_is_no_other() {
    let ((port, _origins), dns) = (on_one_port(2), Dns::start());
    dns.says("app.example", &["127.0.0.1", "127.0.0.2"]);
    let admin = asking(&dns, &["--route", &format!("/=dns:app.example:{port}")]);
    let rows = [
        (Failing::NoSuchName, "NXDOMAIN"),
        (Failing::Fails, "Server Failure"),
        (Failing::Empty, "an empty answer"),
        (Failing::Silent, "does not answer"),
    ];
    for (how, reason) in rows {
        dns.fails("app.example", how);
        eventually(reason, || admin.process.says(reason));
        assert_eq!(endpoints(&admin), ["127.0.0.1", "127.0.0.2"]);
        assert_eq!(admin.get("/").status, 200);
    }
    dns.says("app.example", &["127.0.0.2"]);
    eventually_has(&admin, &["127.0.0.2"]);
    assert!(admin.process.says("dns:app.example: answered again"));
}

#[test]
fn a_failure_is_told_once_and_counted_each_time() {
    let ((port, _origins), dns) = (on_one_port(1), Dns::start());
    dns.says("app.example", &["127.0.0.1"]);
    let admin = asking(&dns, &["--route", &format!("/=dns:app.example:{port}")]);
    dns.fails("app.example", Failing::NoSuchName);
    let source = || admin.status()["discovery"][0].clone();
    eventually("it has failed twice", || source()["failures"].as_u64() >= Some(2));
    let told = "dns:app.example: there is no such name (NXDOMAIN); its endpoint stays";
    assert_eq!(admin.process.count(told), 1);
    let source = source();
    assert_eq!(source["source"], "dns:app.example");
    assert_eq!(source["upstreams"], serde_json::json!(["/"]));
    assert_eq!(source["endpoints"], 1);
    assert!(source["last_error"].as_str().unwrap().contains("NXDOMAIN"));
    assert!(source["last_success_seconds_ago"].is_number());
    assert!(source["next_lookup_seconds"].is_number());
    let metrics = admin.get("/metrics").text();
    let row = "evener_discovery_endpoints{source=\"dns:app.example\"} 1\n";
    assert!(metrics.contains(row), "{metrics}");
    assert!(metrics.contains("evener_discovery_failures_total{source=\"dns:app.example\"} "));
}

#[test]
fn a_name_that_does_not_resolve_yet_is_waited_for_with_503() {
    let ((port, _origins), dns) = (on_one_port(1), Dns::start());
    let admin = asking(&dns, &["--route", &format!("/=dns:app.example:{port}")]);
    let mut client = admin.client();
    client.get("/");
    assert_eq!(client.response().status, 503);
    assert!(admin.process.says("dns:app.example: there is no such name (NXDOMAIN)"));
    dns.says("app.example", &["127.0.0.1"]);
    eventually_has(&admin, &["127.0.0.1"]);
    client.get("/");
    assert_eq!(client.response().status, 200);
}

#[test]
fn connections_are_reset_while_the_name_of_their_endpoint_does_not_resolve() {
    let ((port, _origins), dns) = (on_one_port(1), Dns::start());
    let relay = format!("127.0.0.1:0=dns:app.example:{port}");
    let admin = Admin::with(&[
        "--admin",
        "127.0.0.1:0",
        "--threads",
        "1",
        "--check",
        "off",
        &dns.flag(),
        "--tcp",
        &relay,
    ]);
    assert!(admin.client().is_reset());
    dns.says("app.example", &["127.0.0.1"]);
    eventually_has(&admin, &["127.0.0.1"]);
    let mut client = admin.client();
    client.get("/");
    assert_eq!(client.response().text(), "127.0.0.1");
}

#[test]
fn two_hundred_addresses_come_over_tcp() {
    let ((port, _origins), dns) = (on_one_port(1), Dns::start());
    let addresses: Vec<String> = (1..=200).map(|last| format!("127.0.1.{last}")).collect();
    dns.says("app.example", &addresses.iter().map(|text| &**text).collect::<Vec<_>>());
    let admin = asking(&dns, &["--route", &format!("/=dns:app.example:{port}")]);
    assert_eq!(endpoints(&admin), {
        let mut sorted = addresses;
        sorted.sort_by_key(|text| text.parse::<std::net::Ipv4Addr>().unwrap());
        sorted
    });
    assert!(dns.asked_over_tcp() > 0);
}

#[test]
fn a_name_that_many_upstreams_have_is_asked_about_once() {
    let ((port, _origins), dns) = (on_one_port(1), Dns::start());
    dns.says("app.example", &["127.0.0.1"]);
    let routes =
        ["/a", "/b", "/c", "/"].map(|path| format!("--route={path}=dns:app.example:{port}"));
    let admin = asking(&dns, &routes.each_ref().map(|route| &**route));
    let status = admin.status();
    let [source] = &status["discovery"].as_array().unwrap()[..] else { panic!("{status}") };
    assert_eq!(source["upstreams"], serde_json::json!(["/a", "/b", "/c", "/"]));
}

#[test]
fn a_plain_name_has_the_addresses_of_one_family() {
    let ((port, _origins), dns) = (on_one_port(2), Dns::start());
    dns.says("app.example", &["::1", "127.0.0.2", "127.0.0.1"]);
    let admin = asking(&dns, &["--route", &format!("/=app.example:{port}")]);
    assert_eq!(endpoints(&admin), ["127.0.0.1", "127.0.0.2"]);
    dns.says("app.example", &["127.0.0.2"]);
    eventually_has(&admin, &["127.0.0.2"]);
}

#[test]
fn what_does_not_resolve_is_a_warning_of_a_test() {
    let dns = Dns::start();
    let told = "upstream /: dns:app.example: there is no such name (NXDOMAIN)";
    passes_and_says(&[&dns.flag(), "--route", "/=dns:app.example:80"], told);
}

#[test]
fn a_reload_keeps_what_was_found_though_the_name_server_fails() {
    let ((port, _origins), dns) = (on_one_port(2), Dns::start());
    dns.says("app.example", &["127.0.0.1", "127.0.0.2"]);
    let admin = asking(&dns, &["--route", &format!("/=dns:app.example:{port}")]);
    dns.fails("app.example", Failing::Silent);
    let load = Load::on(&admin);
    admin.process.signal("HUP");
    eventually("it has reloaded", || admin.process.says("reloaded: nothing is different"));
    load.goes_on();
    load.ends();
    assert_eq!(endpoints(&admin), ["127.0.0.1", "127.0.0.2"]);
}

#[test]
fn an_endpoint_is_shown_with_the_name_it_was_configured_with() {
    let text = "routes: [{prefix: /, endpoints: ['http://app.internal:80@2']}]";
    let explained = explain(&read(text, &[]).unwrap(), AskedRequest::to("a", "/")).unwrap().text;
    let line = "endpoint 192.0.2.1:80 of /: weight 2, an address of app.internal:80";
    assert!(explained.lines().any(|other| other == line), "{explained}");
}
