//! Which requests a route takes by its conditions, and what becomes of those that no route takes.

use crate::configuration::read;
use crate::support::h2::RawClient;
use crate::support::{Origin, Proxy};

/// Routes to origins that answer with their names: each entry is a name, then the keys of its route.
struct Routes {
    _origins: Vec<Origin>,
    proxy: Proxy,
}

impl Routes {
    fn new(entries: &[(&str, &str)]) -> Self {
        Self::with(entries, "")
    }

    fn with(entries: &[(&str, &str)], top: &str) -> Self {
        let origins: Vec<_> = entries.iter().map(|(name, _)| Origin::named(name)).collect();
        let routes = entries.iter().zip(&origins).map(|((_, keys), origin)| {
            format!("  - {{{keys}, endpoints: ['{}']}}\n", origin.address)
        });
        let text = format!("listen: 127.0.0.1:0\n{top}routes:\n{}", routes.collect::<String>());
        let proxy = Proxy::configured(read(&text, &["--check=off", "--log-level=off"]).unwrap());
        Self { _origins: origins, proxy }
    }

    /// The name of the route that took a request, given by its first line and further lines, or the status.
    #[track_caller]
    fn expect(&self, rows: &[(&str, &str, &str)]) {
        for (line, fields, expected) in rows {
            let fields = fields.split('|').filter(|field| !field.is_empty());
            let fields: String = fields.fold(String::new(), |all, field| all + field + "\r\n");
            let host = if fields.contains("Host:") { "" } else { "Host: test\r\n" };
            let mut client = self.proxy.client();
            client.send(format!("{line} HTTP/1.1\r\n{host}{fields}\r\n"));
            let response = client.response_with(!line.starts_with("HEAD"));
            let found = match (response.status, line.starts_with("HEAD")) {
                (200, false) => response.text(),
                (200, true) => "200".to_owned(),
                (status, _) => status.to_string(),
            };
            assert_eq!(found, *expected, "{line} {fields}");
        }
    }
}

#[test]
fn a_wildcard_takes_the_hosts_below_a_name_after_exact_hosts_and_longer_wildcards() {
    let routes = Routes::new(&[
        ("wide", "host: '*.example.com'"),
        ("long", "host: '*.b.example.com', prefix: /x"),
        ("exact", "host: a.b.example.com, prefix: /x/y"),
        ("any", "prefix: /"),
    ]);
    routes.expect(&[
        ("GET /x/y", "Host: a.b.example.com", "exact"),
        ("GET /x", "Host: A.B.example.com.:80", "long"),
        ("GET /", "Host: a.b.example.com", "wide"),
        ("GET /x/y", "Host: c.b.example.com", "long"),
        ("GET /x", "Host: b.example.com", "wide"),
        ("GET /x", "Host: example.com", "any"),
        ("GET /x", "Host: .example.com", "any"),
        ("GET /x", "Host: aexample.com", "any"),
    ]);
}

#[test]
fn a_route_may_have_several_hosts_and_no_path() {
    let routes = Routes::new(&[("both", "host: [a.example, '*.b.example']"), ("any", "host: c")]);
    routes.expect(&[
        ("GET /x", "Host: a.example", "both"),
        ("GET /", "Host: x.b.example", "both"),
        ("GET /", "Host: b.example", "404"),
    ]);
}

#[test]
fn an_exact_path_comes_before_every_prefix() {
    let routes = Routes::new(&[("p", "prefix: /a"), ("e", "path: /a"), ("s", "path: /a/")]);
    routes.expect(&[
        ("GET /a", "", "e"),
        ("GET /%61?b", "", "e"),
        ("GET /a/", "", "s"),
        ("GET /a/b", "", "p"),
    ]);
}

#[test]
fn a_method_takes_its_requests_and_get_takes_head_too() {
    let routes = Routes::new(&[("r", "methods: [GET]"), ("w", "methods: [PUT, FROB]")]);
    routes.expect(&[
        ("GET /", "", "r"),
        ("HEAD /", "", "200"),
        ("PUT /", "Content-Length: 0", "w"),
        ("FROB /", "", "w"),
        ("get /", "", "405"),
    ]);
}

#[test]
fn a_header_has_the_value_in_one_of_its_fields_or_any() {
    let routes = Routes::new(&[
        ("v", "headers: {X-Beta: Yes}"),
        ("d", "headers: {x-debug: '*'}, prefix: /d"),
    ]);
    routes.expect(&[
        ("GET /", "x-beta:  Yes ", "v"),
        ("GET /", "X-Beta: no|X-BETA: Yes", "v"),
        ("GET /", "X-Beta: yes", "404"),
        ("GET /", "X-Beta: Yes, no", "404"),
        ("GET /", "", "404"),
        ("GET /d", "X-Debug:", "d"),
        ("GET /d", "X-Debug: 1", "d"),
        ("GET /d", "", "404"),
    ]);
}

#[test]
fn a_parameter_has_the_value_in_one_of_its_places_or_any() {
    let routes = Routes::new(&[
        ("v", "query: {version: 2}"),
        ("s", "query: {'a b': x y}, prefix: /s"),
        ("a", "query: {q: '*'}, prefix: /a"),
    ]);
    routes.expect(&[
        ("GET /?version=2", "", "v"),
        ("GET /?version=1&%76ersion=%32", "", "v"),
        ("GET /?version=22", "", "404"),
        ("GET /?Version=2", "", "404"),
        ("GET /s?a+b=x%20y", "", "s"),
        ("GET /s?a%20b=x+y", "", "s"),
        ("GET /a?q", "", "a"),
        ("GET /a?q=x", "", "a"),
        ("GET /a?qq=x", "", "404"),
    ]);
}

#[test]
fn a_client_is_the_one_that_trusted_proxies_name() {
    let entries =
        [("in", "clients: [10.0.0.0/8, '::1']"), ("me", "clients: [127.0.0.1], path: /me")];
    let routes = Routes::with(&entries, "trusted: [127.0.0.0/8]\n");
    routes.expect(&[
        ("GET /", "X-Forwarded-For: 10.1.2.3", "in"),
        ("GET /", "X-Forwarded-For: 10.1.2.3, 192.0.2.1", "404"),
        ("GET /", "X-Forwarded-For: \"[::1]:5\"", "404"),
        ("GET /", "X-Forwarded-For: ::1", "in"),
        ("GET /me", "", "me"),
        ("GET /me", "X-Forwarded-For: 10.1.2.3", "in"),
    ]);
}

#[test]
fn more_conditions_come_first_and_a_route_gives_way_to_the_next_less_specific_one() {
    let routes = Routes::new(&[
        ("0", "prefix: /a"),
        ("1", "prefix: /a, headers: {X: 1}"),
        ("2", "prefix: /a, headers: {X: 1}, methods: [GET]"),
        ("long", "prefix: /a/b, headers: {X: 2}"),
        ("path", "path: /a/b/c, query: {q: 1}"),
        ("host", "host: h.example, prefix: /a, query: {q: 1}"),
        ("wild", "host: '*.example', headers: {X: 1}"),
    ]);
    routes.expect(&[
        ("GET /a/b", "X: 1", "2"),
        ("POST /a", "X: 1|Content-Length: 0", "1"),
        ("GET /a/b/c?q=1", "X: 2", "path"),
        ("GET /a/b/c?q=2", "X: 2", "long"),
        ("GET /a/b/c", "", "0"),
        ("GET /a/b?q=1", "Host: h.example|X: 2", "host"),
        ("GET /a/b", "Host: h.example|X: 1", "wild"),
        ("GET /a/b", "Host: h.example|X: 2", "long"),
        ("GET /b", "X: 1", "404"),
    ]);
}

#[test]
fn of_many_routes_told_apart_by_one_header_each_is_found() {
    let keys: Vec<(String, String)> = (0..40)
        .map(|nth| (nth.to_string(), format!("headers: {{X-Tenant: t{nth}}}, methods: [GET]")))
        .collect();
    let mut entries: Vec<(&str, &str)> =
        keys.iter().map(|(name, keys)| (&**name, &**keys)).collect();
    entries.push(("first", "headers: {X-Tenant: t7, X-First: '*'}, methods: [GET]"));
    entries.push(("rest", "headers: {X-Tenant: '*'}"));
    let routes = Routes::new(&entries);
    routes.expect(&[
        ("GET /", "X-Tenant: t0", "0"),
        ("GET /", "X-Tenant: t39", "39"),
        ("GET /", "X-Tenant: t7|X-First: 1", "first"),
        ("GET /", "X-Tenant: t40", "rest"),
        ("PUT /", "X-Tenant: t7|Content-Length: 0", "rest"),
        ("GET /", "", "404"),
        // Of several values, any may be it: the earlier route in the file wins.
        ("GET /", "X-Tenant: t9|X-Tenant: t8", "8"),
    ]);
}

#[test]
fn a_request_that_routes_take_but_for_its_method_is_answered_405_with_theirs() {
    let routes = Routes::new(&[
        ("deep", "prefix: /a/b, methods: [PUT, GET]"),
        ("high", "prefix: /a, methods: [GET, PATCH]"),
        ("other", "prefix: /a, methods: [DELETE], headers: {X: 1}"),
    ]);
    let ask = |line: &str, fields: &str| {
        let mut client = routes.proxy.client();
        let response = client.ask(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        client.get("/a");
        assert_eq!(client.response().text(), "high", "the connection goes on");
        (response.status, response.field("Allow").map(str::to_owned))
    };
    let allow = |methods: &str| Some(methods.to_owned());
    let length = "Content-Length: 2\r\n\r\nab";
    assert_eq!(ask("OPTIONS /a/b", ""), (405, allow("PUT, GET, HEAD, PATCH")));
    assert_eq!(ask("POST /a", "X: 1\r\n"), (405, allow("DELETE, GET, HEAD, PATCH")));
    assert_eq!(ask("DELETE /a", length.trim_end()).0, 405);
    assert_eq!(ask("DELETE /b", ""), (404, None));
}

#[test]
fn the_same_over_http_2() {
    let routes = Routes::new(&[("r", "methods: [GET]")]);
    let mut client = RawClient::connect(routes.proxy.address);
    client.send_fields(
        1,
        &[(":method", "PUT"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
        true,
    );
    let answer = client.expect_answer(1, 405);
    assert_eq!(answer.field("allow"), Some("GET, HEAD"));
    client.get(3, "/");
    assert_eq!(client.expect_answer(3, 200).text(), "r");
}
