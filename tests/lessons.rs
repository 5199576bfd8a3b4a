//! What has brought down others, where no other test would have noticed it here: see docs/would-we-have-fallen.md.

use crate::configured::proxy;
use crate::support::h2::{RawClient, get};
use crate::support::{Origin, Proxy};

const UPGRADE: &str =
    "GET /tunnel HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

/// CVE-2024-45410, CVE-2026-29054, CVE-2026-105299.
#[test]
fn what_connection_names_takes_away_nothing_that_evener_adds() {
    let origin = Origin::named("o");
    let proxy = proxy(&format!(
        "routes:\n  - {{prefix: /, endpoints: ['{}'], request_headers: {{set: {{X-Tenant: ours}}}}}}\n",
        origin.address
    ));
    let named = "x-tenant, X-Tenant, x-forwarded-for, X-Forwarded-Proto, x-forwarded-host, host";
    proxy.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: e\r\nConnection: {named}\r\n\r\n"));
    let head = origin.heads()[0].to_ascii_lowercase();
    for field in
        ["x-tenant: ours", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "host: a"]
    {
        assert_eq!(head.matches(&format!("\r\n{field}\r\n")).count(), 1, "{field}: {head}");
    }
    assert!(!head.contains("x-tenant: e") && !head.contains("\r\nconnection: x"), "{head}");
}

/// CVE-2026-2833, CVE-2026-73548.
#[test]
fn what_follows_a_request_to_upgrade_is_a_request_of_its_own_unless_the_endpoint_agrees() {
    let origin = Origin::named("no upgrade");
    let proxy = Proxy::start(&["--route", &format!("/tunnel={}", origin.address)]);
    let mut client = proxy.client();
    client.send(UPGRADE.to_owned() + "GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().text(), "no upgrade");
    assert_eq!(client.response().status, 404);
    assert_eq!(origin.heads().len(), 1, "{:?}", origin.heads());
}

/// CVE-2026-55458.
#[test]
fn a_101_keeps_nothing_that_is_for_the_endpoints_connection() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send(
            "HTTP/1.1 101 Switching\r\nConnection: upgrade, X-Internal\r\nUpgrade: echo\r\nX-Internal: 1\r\n\
             Keep-Alive: timeout=5\r\nX-Other: 1\r\n\r\n",
        );
        conn.rest();
    });
    let answer = Proxy::before(&[&origin], &[]).ask(UPGRADE);
    assert_eq!((answer.status, answer.field("x-other")), (101, Some("1")));
    assert_eq!((answer.field("x-internal"), answer.field("keep-alive")), (None, None));
}

/// CVE-2026-47774, CVE-2026-49975, CVE-2026-73550, CVE-2026-105297.
#[test]
fn pieces_of_a_cookie_and_hosts_that_are_given_twice_count_like_any_field() {
    let origin = Origin::named("o");
    let proxy = Proxy::before(&[&origin], &[]);
    for (piece, statuses) in [(("cookie", "a"), &["431"][..]), (("host", "a"), &["400", "431"])] {
        let mut client = RawClient::connect(proxy.address);
        client.send_fields(1, &[get("/"), vec![piece; 110]].concat(), true);
        let answer = client.message(1).expect("an answer");
        assert!(statuses.contains(&answer.status()), "{piece:?}: {answer:?}");
    }
    assert!(origin.heads().is_empty());
}

/// CVE-2025-32431, CVE-2025-66490, CVE-2026-27587, CVE-2026-48020.
#[test]
fn a_path_that_is_guarded_is_guarded_however_it_is_written() {
    let origin = Origin::named("o");
    let proxy = proxy(&format!(
        "routes:\n  - {{prefix: /admin, endpoints: ['{0}'], allow: [10.0.0.0/8]}}\n  - {{prefix: /, endpoints: ['{0}']}}\n",
        origin.address
    ));
    for path in [
        "/admin",
        "/admin/",
        "/admin?x",
        "/%61dmin/x",
        "/%41dmin/../admin/x",
        "/./admin/x",
        "/x/../admin/x",
        "/x/%2e%2e/admin/x",
        "/x/.%2E/admin/./x",
        "http://a/x/../admin/x",
    ] {
        assert_eq!(
            proxy.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).status,
            403,
            "{path}"
        );
    }
    assert!(origin.heads().is_empty(), "{:?}", origin.heads());
}
