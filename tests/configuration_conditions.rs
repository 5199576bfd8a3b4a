//! What the file says of whom routes take: names, mistakes, ties and warnings.

use evener::config::describe::summary;

use crate::configuration::read;

/// A file with a route for each of these keys.
fn routes(entries: &[&str]) -> String {
    let entry = |keys: &&str| format!("  - {{{keys}, endpoints: [127.0.0.1:1]}}\n");
    format!("routes:\n{}", entries.iter().map(entry).collect::<String>())
}

#[test]
fn a_route_is_named_by_its_pattern_and_its_conditions() {
    let long = "x".repeat(200);
    let rows = [
        ("host: a.b", "a.b/"),
        ("host: [A.b, '*.c'], path: /x", "=a.b,*.c/x"),
        (
            "prefix: /api, host: example.com, methods: [GET], headers: {X-Beta: 1}",
            "example.com/api GET X-Beta=1",
        ),
        (
            "query: {v: 2, 'a=b': '*'}, clients: [10.1.2.3/8, '::1']",
            "/ ?a%3Db=* ?v=2 10.0.0.0/8,::1/128",
        ),
        (r#"headers: {b: "x \"y", A: "é%"}"#, "/ A=%C3%A9%25 b=x%20%22y"),
        (&format!("headers: {{X: {long}}}"), &format!("/ X={}~", "x".repeat(139))),
    ];
    for (keys, name) in rows {
        let config = read(&routes(&[keys]), &[]).unwrap();
        let found = &config.plan.routes[0].name;
        let is_cut = found.starts_with(name) && found.len() == 160;
        assert!(&**found == name || is_cut, "{keys}: {found}");
    }
}

#[test]
fn a_summary_tells_the_conditions_of_routes() {
    let keys =
        "methods: [GET, PUT], headers: {X-Beta: 1, X-B: '*'}, query: {v: 2}, clients: [10.0.0.0/8]";
    let text = summary(&read(&routes(&[keys]), &[]).unwrap());
    let told = "only with method GET or PUT, header X-B, header X-Beta: 1, parameter \"v\" = \"2\", \
                client in 10.0.0.0/8";
    assert!(text.lines().any(|line| line.ends_with(told)), "{text}");
}

#[test]
fn each_mistake_has_its_place() {
    let rows = [
        ("prefix: /, path: /a", "2:23: a route has either prefix or path"),
        ("path: a", "2:12: \"a\": a path begins with /: write /a"),
        ("path: /a*", "2:12: \"/a*\": a path that ends in `*` is a prefix"),
        ("host: []", "2:12: there are no hosts"),
        ("host: [a, '']", "2:16: \"\" is no host"),
        ("host: [a, A]", "2:16: \"A\" is there twice"),
        ("host: a.*.b", "2:12: invalid host \"a.*.b\": `*` may only stand for the first"),
        ("host: '*'", "2:12: \"*\": a route without a host takes every host: leave it out"),
        ("methods: []", "2:15: methods is empty"),
        ("methods: ['G T']", "2:16: \"G T\": not a method"),
        ("methods: [get]", "2:16: \"get\": methods have a case"),
        ("methods: [GET, GET]", "2:21: \"GET\": it is there twice"),
        ("methods: [CONNECT]", "2:16: \"CONNECT\": no route takes CONNECT"),
        ("methods: GET", "2:15: methods: expected a list, not a text: write methods: [GET]"),
        ("headers: {}", "2:15: headers is empty"),
        ("headers: {'a b': 1}", "2:16: \"a b\": not the name of a header"),
        ("headers: {Host: a}", "2:16: \"Host\": routes are found by it"),
        ("headers: {X: ''}", "2:19: \"\": no header has such a value"),
        ("headers: {X: ' a'}", "2:19: \" a\": no header has such a value"),
        (r#"headers: {X: "a\nb"}"#, "2:19: \"a\\nb\": no header has such a value"),
        ("headers: {X: 1, x: 2}", "2:22: \"x\": it is there twice"),
        ("query: {}", "2:13: query is empty"),
        ("query: {'': 1}", "2:14: \"\": a parameter has a name"),
        ("clients: []", "2:15: clients is empty"),
        ("clients: [10.0.0.0/33]", "2:16: invalid value \"10.0.0.0/33\": expected a network"),
        ("clients: [10.0.0.0/8, 10.1.0.0/8]", "2:28: \"10.1.0.0/8\" is there twice"),
    ];
    for (keys, expected) in rows {
        let mistakes = read(&routes(&[keys]), &[]).unwrap_err();
        let told = mistakes.iter().any(|mistake| mistake.starts_with(expected));
        assert!(told, "{expected} in {mistakes:?}");
    }
}

#[test]
fn two_routes_that_tie_are_a_mistake_with_both_places() {
    let ties = [
        ["methods: [GET]", "headers: {X: 1}"],
        ["methods: [GET]", "methods: [HEAD]"],
        ["headers: {X: 1}", "headers: {x: '*'}"],
        ["headers: {X: 1}", "query: {X: 1}"],
        ["query: {a: 1}", "query: {b: 1}"],
        ["host: [a, b], query: {a: 1}", "host: [c, b], query: {a: 1}"],
        ["clients: [10.0.0.0/8]", "headers: {X: 1}"],
        ["clients: [10.0.0.0/8]", "clients: [10.0.0.0/8]"],
    ];
    for [first, second] in ties {
        let mistakes = read(&routes(&[first, second]), &[]).unwrap_err();
        let told = "3:5: ties with the route at 2:5: the same host and path";
        assert!(mistakes.len() == 1 && mistakes[0].starts_with(told), "{second}: {mistakes:?}");
    }
}

#[test]
fn routes_that_no_request_fits_both_of_do_not_tie() {
    let pairs = [
        ["methods: [GET]", "methods: [PUT]"],
        ["headers: {X: 1}", "headers: {X: 2}"],
        ["query: {a: 1}, methods: [GET]", "query: {a: 2}, headers: {X: 1}"],
        ["query: {a: 1}", "query: {a: 1}, headers: {X: 1}"],
        ["clients: [10.0.0.0/8]", "clients: [192.168.0.0/16, '::/0']"],
        ["prefix: /a", "path: /a"],
        ["host: '*.a', query: {a: 1}", "host: b.a, query: {a: 1}"],
    ];
    for pair in pairs {
        let config = read(&routes(&pair), &[]).unwrap();
        assert!(!config.warnings.iter().any(|warning| warning.contains("route")), "{pair:?}");
    }
}

#[test]
fn clients_that_overlap_and_routes_that_take_nothing_are_warned_of() {
    let rows: [(&[&str], &str); 4] = [
        (
            &["clients: [10.1.0.0/16]", "clients: [10.0.0.0/8]"],
            "clients of route / 10.1.0.0/16 at 2:5 and route / 10.0.0.0/8 at 3:5 overlap: clients that both name",
        ),
        (
            &["clients: [10.0.0.0/8]", "clients: [10.1.0.0/16]"],
            "clients of route / 10.0.0.0/8 at 2:5 and route / 10.1.0.0/16 at 3:5 overlap: the latter takes nothing",
        ),
        (
            &["path: /a", "prefix: /a/", "prefix: /a, methods: [GET]"],
            "route /a GET at 4:14 takes nothing: routes without conditions take its path",
        ),
        (&["path: /a", "prefix: /a/, methods: [GET]", "prefix: /a"], ""),
    ];
    for (entries, expected) in rows {
        let config = read(&routes(entries), &[]).unwrap();
        let warnings = config
            .warnings
            .iter()
            .map(|told| told.split(" at ").map(place).collect::<Vec<_>>().join(" at "));
        let warnings: Vec<String> = warnings.filter(|told| told.contains("route")).collect();
        let told = warnings.iter().any(|told| told.starts_with(expected));
        assert!(told || expected.is_empty() && warnings.is_empty(), "{warnings:?}");
    }
}

/// Without the path of the file, where a text begins with one.
fn place(text: &str) -> &str {
    text.split_once(".yaml:").map_or(text, |(_, rest)| rest)
}

#[test]
fn many_routes_that_are_looked_at_in_turn_are_warned_of() {
    let keys: Vec<String> = (0..101).map(|nth| format!("clients: [10.0.{nth}.0/24]")).collect();
    let entries: Vec<&str> = keys.iter().map(|keys| &**keys).collect();
    let told = |count: usize| {
        let config = read(&routes(&entries[..count]), &[]).unwrap();
        config.warnings.iter().any(|warning| warning.contains("one after the other"))
    };
    assert_eq!((told(100), told(101)), (false, true));
}
