//! Environment variables in the values of the configuration file.

use std::env::VarError;
use std::fs;
use std::process::Command;

use evener::config::Config;
use evener::config::describe::{difference, summary};
use evener::config::explain::{AskedRequest, explain};
use evener::config::sources::{Sources, Unreadable};

use crate::support::{Origin, Process, temporary};

fn environment(name: &str) -> Result<String, VarError> {
    match name {
        "PORT" => Ok("8081".to_owned()),
        "PEER" => Ok("127.0.0.1:1".to_owned()),
        "YES" => Ok("true".to_owned()),
        "MANY" => Ok("127.0.0.1:1, 127.0.0.1:2]".to_owned()),
        "SECRET" => Ok("hunter2 hunter2".to_owned()),
        "LINES" => Ok("a\nthreads: 9\n".to_owned()),
        "LOOP" => Ok("${PORT}".to_owned()),
        _ => Err(VarError::NotPresent),
    }
}

/// What `-t` says of a file, or its mistakes.
fn read(text: &str) -> Result<String, Vec<String>> {
    config(text).map(|config| summary(&config))
}

fn config(text: &str) -> Result<Config, Vec<String>> {
    let path = temporary("env.yaml");
    fs::write(&path, text).unwrap();
    let words = ["evener", "-c", path.to_str().unwrap()].map(str::to_owned);
    let sources = Sources::read(&words, &environment).map_err(Unreadable::reasons);
    let resolve = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let told = sources.and_then(|(_, sources)| {
        let config = Config::new(&sources, &resolve, &|_| false);
        config.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<String>>())
    });
    let name = format!("{}:", path.display());
    told.map_err(|told| told.iter().map(|line| line.replace(&name, "")).collect())
}

#[test]
fn variables_stand_in_values_of_every_kind() {
    let text = "
# ${NOTHING} in a comment
threads: \"${N:-2}\"
listen: ['127.0.0.1:${PORT}']
via: $${PORT}.example
fail_on_5xx: ${YES}
routes:
  - prefix: /
    host: ${HOST:-a.example}
    strip_prefix: ${NO:-false}
    endpoints: [{address: '${PEER}', weight: '${W:-3}'}]
";
    let mistakes = read(text).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].starts_with("5:6: invalid name \"${PORT}.example\""), "{mistakes:?}");
    let told = read(&text.replace("$${PORT}.", "")).unwrap();
    for line in [
        "threads: 2",
        "listen 127.0.0.1:8081: HTTP",
        "route a.example/: to a.example/",
        "endpoint 127.0.0.1:1 of a.example/: weight 3",
    ] {
        assert!(told.lines().any(|other| other == line), "{line} in\n{told}");
    }
    assert!(told.contains("including 500-599"), "{told}");
}

#[test]
fn all_that_are_not_set_are_told_with_their_places() {
    let text = "threads: ${A}\nroutes:\n  - {prefix: '/${B}', endpoints: ['${C}', '${PEER}']}\n";
    let mistakes = read(text).unwrap_err();
    let expected = [
        "1:10: the environment variable A is not set: set it, write ${A:-default}",
        "3:14: the environment variable B is not set",
        "3:35: the environment variable C is not",
    ];
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:?}");
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake}");
    }
}

#[test]
fn what_a_variable_holds_never_adds_to_the_structure() {
    let rows = [
        ("routes: [{prefix: /, endpoints: ['${MANY}']}]\n", "1:34: "),
        ("via: ${LINES}\nroute: /=127.0.0.1:1\n", "1:6: invalid name \"${LINES}\""),
        ("threads: '${LOOP}'\nroute: /=127.0.0.1:1\n", "1:10: invalid value \"${PORT}\""),
        ("fail_on_5xx: ${PORT}\nroute: /=127.0.0.1:1\n", "1:14: expected true or false"),
        ("${PORT}: 1\n", "1:1: unknown key \"${PORT}\""),
    ];
    for (text, expected) in rows {
        let mistakes = read(text).unwrap_err();
        assert!(
            mistakes.iter().any(|told| told.starts_with(expected)),
            "{expected} in {mistakes:?}"
        );
    }
}

#[test]
fn a_reference_in_flow_style_without_quotes_is_told_how_to_write_it() {
    for text in [
        "routes: [{prefix: /, endpoints: [${PEER}]}]\n",
        "routes:\n  - {prefix: /, host: ${HOST}}\n",
    ] {
        let mistakes = read(text).unwrap_err();
        let hint = "in [] and {}, write \"${NAME}\" with quotes";
        assert!(mistakes[0].contains(hint), "{mistakes:?}");
    }
}

#[test]
fn mistakes_and_warnings_show_no_secrets() {
    let text = "threads: x${SECRET}\nroute: /=127.0.0.1:1\n";
    assert!(read(text).unwrap_err()[0].starts_with("1:10: invalid value \"x${SECRET}\""));
}

#[test]
fn routes_are_named_without_the_secrets_that_they_ask_for() {
    let text = "routes:\n  - {prefix: /, headers: {Key: 'x ${SECRET}'}, query: {q: '${SECRET}', v: '${PORT}'}, \
                endpoints: ['127.0.0.1:1']}\n";
    let told = read(text).unwrap();
    let name = "route / Key=x%20${SECRET} ?q=${SECRET} ?v=8081: to";
    assert!(told.lines().any(|line| line.starts_with(name)), "{told}");
    let conditions =
        r#"header Key: x ${SECRET}, parameter "q" = "${SECRET}", parameter "v" = "8081""#;
    assert!(told.contains(conditions) && !told.contains("hunter2"), "{told}");
}

const SECRETS: &str = "
request_headers: {set: {Authorization: 'Bearer ${SECRET}'}}
routes:
  - {prefix: /, endpoints: ['127.0.0.1:1'], response_headers: {add: {X-Port: '${PORT}'}}}
  - {path: /told, respond: {status: 200, body: 'it is ${SECRET}', headers: {X-Key: '${SECRET}'}}}
  - {path: /sent, redirect: {to: '/sent?key=${SECRET}'}}
";

#[test]
fn what_is_described_and_explained_shows_no_secrets() {
    let config = config(SECRETS).unwrap();
    let explained = |path: &str| explain(&config, AskedRequest::to("a", path)).unwrap().text;
    let all = summary(&config) + &explained("/") + &explained("/told") + &explained("/sent");
    for line in [
        "request header Authorization: set to \"Bearer ${SECRET}\"",
        "route =/told: answers 200 with text/plain, \"it is ${SECRET}\", X-Key: \"${SECRET}\"",
        "route =/sent: redirects by 308 to /sent?key=${SECRET}",
        "response header X-Port of route /: added, \"8081\"",
        "body: text/plain, \"it is ${SECRET}\"",
        "response header X-Key: set to \"${SECRET}\"",
    ] {
        assert!(all.lines().any(|other| other == line), "{line} in\n{all}");
    }
    assert!(!all.contains("hunter2"), "{all}");
}

#[test]
fn a_reload_names_headers_and_answers_without_their_values() {
    let before = config(SECRETS).unwrap();
    let text = SECRETS.replace("Bearer", "Basic").replace("it is", "it was").replace("key=", "k=");
    let text =
        text.replace("add: {X-Port", "set: {X-More: value, X-Port").replace("/told", "/more");
    let mut changes = difference(&before, &config(&text).unwrap());
    changes.sort();
    assert_eq!(
        changes,
        [
            "+ response header X-More of route /: set",
            "+ route =/more: answers 200 with text/plain, X-Key",
            "- route =/told: answers 200 with text/plain, X-Key",
            "~ request header Authorization: set, changed",
            "~ response header X-Port of route /: added → set",
            "~ route =/sent: redirects by 308, changed",
        ]
    );
}

#[test]
fn a_process_reads_its_own_environment_and_again_at_a_reload() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let path = temporary("env.yaml");
    let write = |name: &str| {
        let text = format!("listen: 127.0.0.1:0\nroute: /=${{{name}}}\ncheck: off\n");
        fs::write(&path, text).unwrap();
    };
    write("ONE");
    let mut command = Command::new(env!("CARGO_BIN_EXE_evener"));
    command.args(["-c", path.to_str().unwrap()]);
    command.env("ONE", one.address.to_string()).env("TWO", two.address.to_string());
    let process = Process::of(&mut command);
    let mut client = process.client();
    client.get("/");
    assert_eq!(client.response().text(), "one");
    write("TWO");
    process.signal("HUP");
    process.announces("reloaded");
    let mut client = process.client();
    client.get("/");
    assert_eq!(client.response().text(), "two");
}
