//! Which route matches a request, and that the target arrives as sent.

use crate::support::{Origin, Proxy};

/// A proxy with one route per pattern, each to an origin that answers with its pattern.
struct Routes {
    origins: Vec<Origin>,
    proxy: Proxy,
}

impl Routes {
    fn new(patterns: &[&str]) -> Self {
        let origins: Vec<_> = patterns.iter().map(|pattern| Origin::named(pattern)).collect();
        let routes = patterns.iter().zip(&origins);
        let routes: Vec<_> = routes.map(|(to, at)| format!("{to}={}", at.address)).collect();
        let flags: Vec<_> = routes.iter().flat_map(|route| ["--route", route]).collect();
        Self { proxy: Proxy::start(&flags), origins }
    }

    /// The pattern that matched, or the status of the refusal.
    fn matched(&self, target: &str, host: &str) -> String {
        let response = self.proxy.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        if response.status == 200 { response.text() } else { response.status.to_string() }
    }

    #[track_caller]
    fn expect(&self, rows: &[(&str, &str)]) {
        for (target, matched) in rows {
            assert_eq!(self.matched(target, "test"), *matched, "{target}");
        }
    }
}

#[test]
fn a_prefix_ends_at_a_segment_boundary() {
    let routes = Routes::new(&["/auth"]);
    routes.expect(&[
        ("/auth", "/auth"),
        ("/auth/", "/auth"),
        ("/auth/login", "/auth"),
        ("/auth?next=/", "/auth"),
        ("/authx", "404"),
        ("/aut", "404"),
        ("/", "404"),
    ]);
}

#[test]
fn the_longest_prefix_wins_whatever_the_order() {
    let routes = Routes::new(&["/", "/a/b", "/a"]);
    routes.expect(&[
        ("/a/b/c", "/a/b"),
        ("/a/bc", "/a"),
        ("/a", "/a"),
        ("/ab", "/"),
        ("/", "/"),
        ("/?/a/b", "/"),
    ]);
}

#[test]
fn a_star_matches_every_path_with_that_prefix() {
    let routes = Routes::new(&["/img*"]);
    routes.expect(&[("/img", "/img*"), ("/img2/a", "/img*"), ("/img/a", "/img*"), ("/im", "404")]);
}

#[test]
fn a_prefix_takes_precedence_over_the_same_with_a_star() {
    let routes = Routes::new(&["/img*", "/img"]);
    routes.expect(&[("/img", "/img"), ("/img/a", "/img"), ("/img2", "/img*")]);
}

#[test]
fn a_route_of_the_host_takes_precedence_over_a_longer_one_of_any_host() {
    let routes = Routes::new(&["/a/long/path", "one.test/a", "one.test/"]);
    let rows = [
        ("one.test", "/a/long/path", "one.test/a"),
        ("one.test", "/b", "one.test/"),
        ("two.test", "/a/long/path", "/a/long/path"),
        ("two.test", "/b", "404"),
    ];
    for (host, target, matched) in rows {
        assert_eq!(routes.matched(target, host), matched, "{host} {target}");
    }
}

#[test]
fn a_host_without_a_fitting_path_falls_back_to_any_host() {
    let routes = Routes::new(&["one.test/a", "/"]);
    assert_eq!(routes.matched("/b", "one.test"), "/");
}

#[test]
fn case_and_port_of_the_host_do_not_matter() {
    let routes = Routes::new(&["one.test/", "/"]);
    for host in ["one.test", "ONE.Test", "one.test:8080", "one.test."] {
        assert_eq!(routes.matched("/", host), "one.test/", "{host}");
    }
    for host in ["one.tes", "xone.test", "one.test.x", ""] {
        assert_eq!(routes.matched("/", host), "/", "{host}");
    }
}

#[test]
fn a_path_is_normalised_to_be_routed_and_arrives_as_it_was_sent() {
    let routes = Routes::new(&["/auth", "/"]);
    let targets = ["/x/../auth/a", "/%61uth", "/./auth", "/x/%2e%2E/auth?a=%zz", "/auth/%2f/"];
    for target in targets {
        assert_eq!(routes.matched(target, "test"), "/auth", "{target}");
    }
    let heads = routes.origins[0].heads();
    let arrived: Vec<_> = heads.iter().filter_map(|head| head.split(' ').nth(1)).collect();
    assert_eq!(arrived, targets);
}

#[test]
fn an_escaped_slash_is_not_a_boundary() {
    let routes = Routes::new(&["/auth", "/"]);
    routes.expect(&[("/auth%2fx", "/"), ("//auth", "/"), ("/auth/../x", "/")]);
}

#[test]
fn an_absolute_target_is_routed_by_its_host_and_arrives_in_origin_form() {
    let routes = Routes::new(&["one.test/", "/"]);
    for target in ["http://one.test/a?b", "HTTP://ONE.test:80"] {
        let old = format!("GET {target} HTTP/1.0\r\n\r\n");
        assert_eq!(routes.proxy.ask(old).text(), "one.test/", "{target}");
    }
    let heads = routes.origins[0].heads();
    assert!(heads[0].starts_with("GET /a?b HTTP/1.1\r\nHost: one.test\r\n"), "{heads:?}");
    assert!(heads[1].starts_with("GET / HTTP/1.1\r\nHost: ONE.test:80\r\n"), "{heads:?}");
}

#[test]
fn a_connection_goes_on_after_a_request_without_a_route() {
    let routes = Routes::new(&["/a"]);
    let mut client = routes.proxy.client();
    let unrouted = "POST /b HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(client.ask(unrouted).status, 404);
    client.get("/a");
    assert_eq!(client.response().text(), "/a");
}
