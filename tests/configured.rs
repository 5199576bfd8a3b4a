//! Behaviour that only a configuration file can enable.

use std::fs;

use evener::config::Config;
use evener::config::sources::Sources;

use crate::support::{Origin, Process, Proxy, no_environment, temporary};

fn read(text: &str) -> Config {
    let path = temporary("conf.yaml");
    fs::write(&path, text).unwrap();
    let words = ["evener", "--check", "off", "--log-level", "off", "-c", path.to_str().unwrap()];
    let (_, sources) = Sources::read(&words.map(str::to_owned), &no_environment).unwrap();
    Config::new(&sources, &|_| Err(std::io::ErrorKind::NotFound.into()), &|_| false).unwrap()
}

/// The balancer with this file, on a port of its own.
pub fn proxy(text: &str) -> Proxy {
    Proxy::configured(read(&format!("listen: 127.0.0.1:0\n{text}")))
}

#[test]
fn a_route_strips_its_prefix_and_sets_the_host() {
    let origin = Origin::named("o");
    let text = format!(
        "listen: 127.0.0.1:0\nroutes:\n  - {{prefix: /auth, strip_prefix: true, host_header: \
         inner, endpoints: ['{}']}}\n",
        origin.address
    );
    let proxy = Proxy::configured(read(&text));
    let rows = [
        ("/auth", "GET / HTTP/1.1"),
        ("/auth/x?y=/auth", "GET /x?y=/auth HTTP/1.1"),
        ("/auth//a", "GET //a HTTP/1.1"),
        ("/auth/%2f%7e?q", "GET /%2f%7e?q HTTP/1.1"),
        ("/a%75th/%2e%2e/auth/%7e?q", "GET /~?q HTTP/1.1"),
        ("/auth/../auth/x", "GET /x HTTP/1.1"),
    ];
    for (index, (target, line)) in rows.iter().enumerate() {
        assert_eq!(proxy.get(target).status, 200);
        let head = &origin.heads()[index];
        assert_eq!(head.lines().next(), Some(*line));
        assert!(head.contains("\r\nHost: inner\r\n"), "{head}");
        assert!(head.contains("\r\nX-Forwarded-Prefix: /auth\r\n"), "{head}");
    }
}

#[test]
fn an_upstream_sets_the_host_where_its_route_does_not() {
    let origin = Origin::named("o");
    let proxy = proxy(&format!(
        "host_header: flag\nupstreams:\n  - {{name: a, endpoints: ['{0}'], host_header: upstream}}\n  - {{name: b, endpoints: \
         ['{0}']}}\nroutes:\n  - {{prefix: /a, upstream: a}}\n  - {{prefix: /own, upstream: a, host_header: route}}\n  - \
         {{prefix: /b, upstream: b}}\n  - {{prefix: /split, split: {{b: 0, a: 1}}}}\n",
        origin.address
    ));
    let rows = [("/a", "upstream"), ("/own", "route"), ("/b", "flag"), ("/split", "upstream")];
    for (path, host) in rows {
        for lines in ["HTTP/1.1\r\nHost: x", "HTTP/1.0"] {
            assert_eq!(proxy.ask(format!("GET {path} {lines}\r\n\r\n")).status, 200);
            let head = origin.heads().pop().unwrap();
            assert!(head.contains(&format!("\r\nHost: {host}\r\n")), "{path}: {head}");
        }
    }
}

#[test]
fn the_host_of_each_side_of_a_split_is_shown() {
    let text = "upstreams:\n  - {name: a, endpoints: ['127.0.0.1:1'], host_header: x}\n  - {name: b, endpoints: \
                ['127.0.0.1:2']}\nroutes:\n  - {prefix: /, split: {a: 1, b: 1}}\n";
    let path = temporary("conf.yaml");
    fs::write(&path, format!("listen: 127.0.0.1:0\n{text}")).unwrap();
    let told = Process::start(&["-t", "-c", path.to_str().unwrap()]).end().1.join("\n");
    assert!(told.contains("route /: to a (1), b (1), Host x at a"), "{told}");
}

#[test]
fn a_backup_serves_while_the_others_are_unavailable() {
    let (well, spare) = (Origin::named("well"), Origin::named("spare"));
    let text = format!(
        "listen: 127.0.0.1:0\nfail_timeout: 10m\nroutes:\n  - prefix: /\n    endpoints: \
         ['{}', {{address: '{}', backup: true}}]\n",
        well.address, spare.address
    );
    let proxy = Proxy::configured(read(&text));
    assert!((0..10).all(|_| proxy.get("/").text() == "well"));
    well.stop();
    assert!((0..10).all(|_| proxy.get("/").text() == "spare"));
}

#[test]
fn a_process_uses_its_file() {
    let origin = Origin::named("o");
    let path = temporary("conf.yaml");
    let text = format!(
        "listen: 127.0.0.1:0\nthreads: 1\nroutes: [{{prefix: /, endpoints: ['{}']}}]\n",
        origin.address
    );
    fs::write(&path, text).unwrap();
    let process = Process::start(&["-c", path.to_str().unwrap()]);
    let mut client = process.client();
    client.get("/");
    assert_eq!(client.response().text(), "o");
}
