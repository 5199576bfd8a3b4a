//! Filters: requests that they answer, hold up, or send elsewhere.

use evener::{LocalReply, Verdict};

use crate::support::filters::{Admission, Script};
use crate::support::h2::RawClient;
use crate::support::{Origin, Proxy};

const GET: &str = "GET /a HTTP/1.1\r\nHost: test\r\n\r\n";

fn before(origin: &Origin) -> String {
    format!("--route=/={}", origin.address)
}

fn teapot() -> Verdict {
    let mut reply = LocalReply::new(418, "no coffee").with_body("text/x-tea", &b"tea"[..]);
    reply.add_header("X-Pot", b"1").unwrap();
    Verdict::reply(reply)
}

#[test]
fn a_request_is_answered_as_soon_as_its_head_is_there_or_its_route_is_known() {
    let origin = Origin::named("hello");
    let request = Script { request: Some(Box::new(|_, _| teapot())), ..Script::default() };
    let route = Script { route: Some(Box::new(|_, _, _| teapot())), ..Script::default() };
    for (script, called) in [(request, &["request"][..]), (route, &["request", "route"])] {
        let (proxy, calls) = Proxy::filtered(script, &[&before(&origin)]);
        let answer = proxy.ask(GET);
        assert_eq!((answer.status, answer.text()), (418, "tea".to_owned()));
        assert_eq!(
            (answer.field("X-Pot"), answer.field("Content-Type")),
            (Some("1"), Some("text/x-tea"))
        );
        let after = ["reply 418", "response_out 418", "end 418"];
        let all = [&["connection"], called, &after].concat();
        assert_eq!(calls.first(all.len()), all);
        let mut client = RawClient::connect(proxy.address);
        client.get(1, "/");
        assert_eq!(client.expect_answer(1, 418).text(), "tea");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_request_is_admitted_later_or_not_at_all() {
    let origin = Origin::named("hello");
    for (admission, status) in [(Admission::Later, 200), (Admission::Refused, 403)] {
        let script = Script { admission, ..Script::default() };
        let (proxy, calls) = Proxy::filtered(script, &[&before(&origin)]);
        assert_eq!(proxy.ask(GET).status, status);
        calls.wait_for(&format!("end {status}"));
        let mut client = RawClient::connect(proxy.address);
        client.get(1, "/");
        client.expect_answer(1, status);
    }
    assert_eq!(origin.heads().len(), 2);
}

#[test]
fn a_decision_that_does_not_come_is_a_504() {
    let origin = Origin::named("hello");
    let script = Script { admission: Admission::Never, ..Script::default() };
    let flags = [&before(&origin), "--response-timeout", "20ms"];
    let (proxy, calls) = Proxy::filtered(script, &flags);
    assert_eq!(proxy.ask(GET).status, 504);
    calls.wait_for("end 504");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_client_that_leaves_is_not_decided_about_any_more() {
    let origin = Origin::named("hello");
    let script = Script { admission: Admission::Never, ..Script::default() };
    let (proxy, calls) = Proxy::filtered(script, &[&before(&origin), "--half-close-timeout", "0s"]);
    let mut client = proxy.client();
    client.send(GET);
    calls.wait_for("admit");
    drop(client);
    calls.wait_for("end none");
}

#[test]
fn another_upstream_or_another_endpoint_is_chosen() {
    let origins = ["one", "two", "three"].map(Origin::named);
    let addresses = origins.each_ref().map(|origin| origin.address.to_string());
    let [one, two, three] = &addresses;
    let chosen = three.clone();
    let script = Script {
        route: Some(Box::new(move |request, choice, _| {
            match request.path {
                b"/b" => assert!(choice.set_upstream("/other")),
                b"/c" => assert!(choice.set_endpoint(&chosen)),
                _ => assert!(!choice.set_upstream("nowhere") && !choice.set_endpoint("nowhere")),
            }
            Verdict::Continue
        })),
        ..Script::default()
    };
    let routes = [format!("--route=/={one}@1000,{three}"), format!("--route=/other={two}")];
    let (proxy, _) = Proxy::filtered(script, &[&routes[0], &routes[1]]);
    let texts = ["/a", "/b", "/c"].map(|path| proxy.get(path).text());
    assert_eq!(texts, ["one", "two", "three"]);
}

#[test]
fn an_error_is_answered_as_a_filter_has_it() {
    let refusing = Origin::refusing();
    let script = Script {
        reply: Some(Box::new(|reply| {
            let status = reply.status().to_string();
            *reply = LocalReply::new(500, "sorry").with_body("text/plain", status.into_bytes());
        })),
        ..Script::default()
    };
    let (proxy, calls) = Proxy::filtered(script, &[&before(&refusing)]);
    let answer = proxy.ask(GET);
    assert_eq!((answer.status, answer.text()), (500, "502".to_owned()));
    calls.wait_for("end 500");
    assert!(calls.first(6).contains(&"reply 502".to_owned()));
}
