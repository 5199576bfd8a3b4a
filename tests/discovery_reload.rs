//! Sources of endpoints that change by a reload, what is said of them, and TLS to what they lead to.

use std::fs;
use std::path::PathBuf;

use crate::configuration::read;
use crate::support::discovered::{Load, asking, endpoints, eventually_has, on_one_port};
use crate::support::dns::Dns;
use crate::support::origin::ok;
use crate::support::tls::{Authority, TlsOrigin, TlsServer};
use crate::support::{Admin, Process, eventually, temporary};

/// A configuration file, removed on drop.
struct Conf(PathBuf);

impl Conf {
    /// One whose route has these endpoints.
    fn of(dns: &Dns, endpoints: &str) -> Self {
        let conf = Self(temporary("conf.yaml"));
        conf.becomes(dns, endpoints);
        conf
    }

    fn becomes(&self, dns: &Dns, endpoints: &str) {
        let text = format!(
            "threads: 1\ncheck: off\nlisten: ['127.0.0.1:0']\nresolver: ['{}']\nroutes:\n  - {{prefix: /, \
             endpoints: [{endpoints}]}}\n",
            dns.address
        );
        fs::write(&self.0, text).unwrap();
    }

    fn start(&self) -> Admin {
        Admin::start(&["-c", self.0.to_str().unwrap()])
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_reload_waits_for_new_sources() {
    let ((port, _origins), dns) = (on_one_port(3), Dns::start());
    dns.says("app.example", &["127.0.0.2", "127.0.0.3"]);
    let conf = Conf::of(&dns, &format!("'127.0.0.1:{port}'"));
    let admin = conf.start();
    let load = Load::on(&admin);
    conf.becomes(&dns, &format!("'dns:app.example:{port}'"));
    admin.process.signal("HUP");
    eventually("it has reloaded", || admin.process.says("reloaded: "));
    assert_eq!(endpoints(&admin), ["127.0.0.2", "127.0.0.3"]);
    conf.becomes(&dns, &format!("'127.0.0.1:{port}'"));
    admin.process.signal("HUP");
    eventually_has(&admin, &["127.0.0.1"]);
    load.goes_on();
    load.ends();
    assert_eq!(admin.status()["discovery"], serde_json::json!([]));
}

#[test]
fn sources_are_shown_and_a_reload_says_which_have_changed() {
    let dns = Dns::start();
    let conf = Conf::of(&dns, "'dns:app.example:80@2', {address: 'srv:_a._tcp.b', backup: true}");
    let (code, lines) = Process::start(&["-t", "-c", conf.0.to_str().unwrap()]).end();
    let expected = [
        "source dns:app.example:80 of /: weight 2, every address".to_owned(),
        "source srv:_a._tcp.b of /: every address of every target, backup".to_owned(),
        format!("resolver: {}", dns.address),
    ];
    for line in expected {
        assert!(code == Some(0) && lines.contains(&line), "{line} in {lines:#?}");
    }
    let admin = conf.start();
    conf.becomes(&dns, "'other.example:80'");
    admin.process.signal("HUP");
    eventually("it has reloaded", || admin.process.says("reloaded: "));
    assert!(admin.process.says("reload: - source dns:app.example:80 of /: weight 2"));
    let added = "reload: + source other.example:80 of /: weight 1, addresses of one family";
    assert!(admin.process.says(added));
}

#[test]
fn the_certificate_is_that_of_the_name() {
    let dns = Dns::start();
    let server = TlsServer::showing(&Authority::shared().issue(&["app.example"]));
    let origin = TlsOrigin::answering(&server, ok("hello"));
    let port = origin.address.port();
    dns.says("app.example", &["127.0.0.1"]);
    dns.serves("_a._tcp.example", &[(1, 1, port, "app.example")]);
    let routes = [
        format!("--route=/dns=https://dns:app.example:{port}"),
        format!("--route=/name=https://App.Example:{port}"),
        "--route=/srv=https://srv:_a._tcp.example".to_owned(),
    ];
    let ca = format!("--upstream-ca={}", Authority::shared().file());
    let admin = asking(&dns, &[&*routes[0], &*routes[1], &*routes[2], &ca]);
    let mut client = admin.client();
    for path in ["/dns", "/name", "/srv"] {
        client.get(path);
        assert_eq!(client.response().text(), "hello", "{path}");
    }
    for handshake in origin.handshakes() {
        assert_eq!(handshake.unwrap().sni.as_deref(), Some("app.example"));
    }
}

#[test]
fn name_servers_without_a_name_are_warned_about() {
    let warnings = |endpoint: &str| {
        let text =
            format!("resolver: [10.0.0.53]\nroutes: [{{prefix: /, endpoints: ['{endpoint}']}}]");
        read(&text, &[]).unwrap().warnings
    };
    let told = warnings("127.0.0.1:1");
    assert!(told.len() == 1, "{told:?}");
    assert!(told[0].ends_with("conf.yaml:1:12: has no effect: no endpoint is a name"), "{told:?}");
    assert_eq!(warnings("dns:app:1"), [""; 0]);
}
