//! docs/status.md has every field of `/status`, with its type, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;

use serde_json::Value;

use crate::support::origin::ok;
use crate::support::tls::Identity;
use crate::support::{Admin, Client, Origin, Process, eventually, temporary};

/// Objects whose keys are names of something.
const MAPS: [&str; 8] = [
    "requests.classes",
    "handshakes.versions",
    "handshakes.failed",
    "routes[].classes",
    "rejects",
    "http2.failed_connections",
    "upstreams[].ejections.reasons",
    "upstreams[].ceiling.shed",
];

/// The fields of a value with the types that they have been seen with.
type Fields = BTreeMap<String, BTreeSet<&'static str>>;

fn walk(path: &str, value: &Value, fields: &mut Fields) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(items) => {
            return items.iter().for_each(|item| walk(&format!("{path}[]"), item, fields));
        }
        Value::Object(members) => {
            for (name, member) in members {
                let name = if MAPS.contains(&path) { "*" } else { name };
                let dot = if path.is_empty() { "" } else { "." };
                walk(&format!("{path}{dot}{name}"), member, fields);
            }
            return;
        }
    };
    fields.entry(path.to_owned()).or_default().insert(kind);
}

/// The fields of the tables, with their types.
fn documented() -> Fields {
    let mut fields = Fields::new();
    for row in include_str!("../docs/status.md").lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.trim_matches(['|', ' ']).split(" | ");
        let (names, types) = (cells.next().unwrap(), cells.next().unwrap());
        let known = ["text", "number", "boolean", "null"];
        let types: BTreeSet<_> = known.into_iter().filter(|kind| types.contains(kind)).collect();
        for name in names.split('`').skip(1).step_by(2) {
            assert!(fields.insert(name.to_owned(), types.clone()).is_none(), "{name} comes twice");
        }
    }
    fields
}

/// A balancer with everything that is shown, after everything has happened to it that is.
fn full() -> (Admin, Vec<Origin>) {
    let origins = vec![Origin::answering(ok("x")), Origin::answering(ok("y"))];
    let (files, list) = (Identity::localhost().files(), temporary("list"));
    let (config, log) = (temporary("conf.yaml"), temporary("log"));
    fs::write(&list, format!("{}\n", origins[0].address)).unwrap();
    let [one, two] = [origins[0].address, origins[1].address];
    let text = format!(
        "listen: 127.0.0.1:0\nlisten_tls: 127.0.0.1:0\nadmin: 127.0.0.1:0\nthreads: 1\ncheck: off\n\
         certificates: [{{cert: {}, key: {}}}]\naccess_log: {}\nmax_fails: 1\nfail_timeout: 1h\n\
         routes:\n  - {{prefix: /, upstream: a}}\n  - {{prefix: /tls, endpoints: [\"https://{one}\"]}}\n\
         \x20 - {{prefix: /found, endpoints: [\"file:{}\", \"file:/missing\"]}}\n\
         \x20 - {{prefix: /dead, endpoints: [\"127.0.0.1:1\", \"{one}\"]}}\n\
         tcp: [{{listen: \"127.0.0.1:0\", endpoints: [\"{two}\"]}}]\n\
         upstreams:\n  - {{name: a, endpoints: [\"{one}\", {{address: \"{two}\", backup: true}}], \
         policy: hash, hash_on: \"header:x\", sticky: s, max_requests: 9}}\n",
        files.cert,
        files.key,
        log.display(),
        list.display(),
    );
    fs::write(&config, &text).unwrap();
    let process = Process::start(&["-c", config.to_str().unwrap()]);
    let at = process.announces("admin on ").parse().unwrap();
    let admin = Admin { address: process.address(), at, process };
    fs::write(&config, "nonsense").unwrap();
    assert_eq!(admin.post("/reload").status, 422);
    (admin, origins)
}

#[test]
fn every_field_of_the_status_is_documented_and_the_reverse() {
    let (admin, _origins) = full();
    Client::connect(admin.address).ask("GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n");
    let mut http2 = Client::connect(admin.address);
    http2.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x06\0\0\0\0\0");
    let secure: SocketAddr = admin.status()["listeners"][1].as_str().unwrap().parse().unwrap();
    Client::connect(secure).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let ejected = |status: &Value| {
        let all = status["upstreams"].as_array().unwrap();
        all.iter().any(|upstream| upstream["ejections"]["now"] == 1)
    };
    eventually("an endpoint is ejected", || {
        Client::connect(admin.address).ask("GET /dead HTTP/1.1\r\nHost: a\r\n\r\n");
        let status = admin.status();
        let empty = serde_json::json!({});
        let failed = [&status["http2"]["failed_connections"], &status["handshakes"]["failed"]];
        ejected(&status) && failed.iter().all(|known| **known != empty)
    });
    let (mut shown, written) = (Fields::new(), documented());
    walk("", &admin.status(), &mut shown);
    // Parents that are null stand for their fields.
    shown.retain(|path, _| !written.keys().any(|field| field.starts_with(&format!("{path}."))));
    let names = |fields: &Fields| fields.keys().cloned().collect::<BTreeSet<_>>();
    let both = (names(&shown), names(&written));
    let not_listed: Vec<_> = both.0.difference(&both.1).collect();
    let not_shown: Vec<_> =
        both.1.difference(&both.0).filter(|name| *name != "unavailable[]").collect();
    assert!(not_listed.is_empty(), "docs/status.md lacks {not_listed:?}");
    assert!(not_shown.is_empty(), "docs/status.md has {not_shown:?}, which /status does not");
    for (name, types) in &shown {
        assert!(types.is_subset(&written[name]), "{name} is {types:?}, not {:?}", written[name]);
    }
}
