//! Limits on the size of heads over HTTP/2, and what is logged of those that are refused.

use serde_json::json;

use crate::support::h2::{Frame, H2Origin, RawClient, RawOrigin, error, get, setting};
use crate::support::logged::Logged;
use crate::support::{Admin, Origin, Proxy};

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// A GET of this path with one more field, so that all of it counts so many bytes: names, values, and 32 for
/// each field (RFC 9113 §6.5.2).
fn of_size(bytes: usize, path: &str) -> Vec<(String, String)> {
    let cost = |fields: &[(&str, &str)]| -> usize {
        fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    };
    let fields = [get(path), vec![("a", "")]].concat();
    let mut fields: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let rest = bytes - cost(&[get(path), vec![("a", "")]].concat());
    fields.last_mut().expect("fields").1 = "x".repeat(rest);
    fields
}

/// `--max-head` of these, and 32 for each field of `--max-fields`.
const LIMITS: [&str; 4] = ["--max-head", "1k", "--max-fields", "10"];
const BYTES_MAX: usize = 1024 + 10 * 32;

#[test]
fn a_head_of_max_head_and_32_bytes_for_each_of_max_fields_passes_and_no_longer_one() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[&origin], &LIMITS);
    let mut client = RawClient::silent(proxy.address);
    client.send_bytes(crate::support::h2::PREFACE);
    client.send(Frame::settings(&[]));
    let told = client.until("SETTINGS", |frame| frame.kind == crate::support::h2::kind::SETTINGS);
    let listed = [&setting::MAX_HEADER_LIST_SIZE.to_be_bytes()[..], &1344_u32.to_be_bytes()];
    assert!(told.payload.chunks(6).any(|entry| entry == listed.concat()), "{told:?}");
    client.send_fields(1, &of_size(BYTES_MAX, "/"), true);
    client.expect_answer(1, 200);
    client.send_fields(3, &of_size(BYTES_MAX + 1, "/"), true);
    assert_eq!(
        client.expect_answer(3, 431).text(),
        "431 Request Header Fields Too Large: head too large\n"
    );
    client.send_fields(5, &[get("/"), vec![("a", ""); 10]].concat(), true);
    client.expect_answer(5, 200);
    for count in [11, 60] {
        let stream = 5 + 2 * count;
        client.send_fields(stream, &[get("/"), vec![("a", ""); count as usize]].concat(), true);
        let text = client.expect_answer(stream, 431).text();
        assert!(text.ends_with(": too many header fields\n"), "{count}: {text}");
    }
}

#[test]
fn an_answer_with_too_many_fields_is_counted_as_that() {
    let origin = RawOrigin::start(|mut peer| {
        while let Some((stream, _)) = peer.request() {
            peer.send_fields(
                stream,
                &[vec![(":status", "200")], vec![("a", ""); 60]].concat(),
                true,
            );
        }
    });
    let admin =
        Admin::start(&[&["--route", &format!("/={}", origin.endpoint())][..], &LIMITS].concat());
    let mut client = admin.client();
    client.get("/");
    assert_eq!(client.response().text(), "502 Bad Gateway: too many header fields\n");
    assert_eq!(admin.metric("evener_bad_responses_total{reason=\"too_many_fields\"}"), 1);
}

/// What the log says of a request that is refused.
fn logged(fields: &Fields<'_>) -> [serde_json::Value; 7] {
    let origin = H2Origin::named("a");
    let route = format!("--route=/={}", origin.endpoint());
    let logged = Logged::start(&[&[&*route][..], &LIMITS].concat());
    let mut client = RawClient::connect(logged.proxy.address);
    client.send_fields(1, fields, true);
    client.message(1).map_or_else(|code| assert_eq!(code, error::PROTOCOL_ERROR), drop);
    let line = logged.line();
    ["method", "target", "host", "user_agent", "protocol", "stream", "end"]
        .map(|name| line[name].clone())
}

#[test]
fn what_has_come_of_a_head_that_is_refused_is_logged() {
    let agent = ("user-agent", "curl/8");
    let long = "x".repeat(2000);
    let rest = [json!("HTTP/2.0"), json!(1), json!("RH")];
    let expect = |fields: &Fields<'_>, known: [serde_json::Value; 4]| {
        let found = logged(fields);
        assert_eq!((&found[..4], &found[4..]), (&known[..], &rest[..]), "{fields:?}");
    };
    let whole = [json!("GET"), json!("/a"), json!("test"), json!("curl/8")];
    expect(&[get("/a"), vec![agent], vec![("a", ""); 60]].concat(), whole.clone());
    expect(&[get("/a"), vec![agent, ("a", &long)]].concat(), whole.clone());
    // A field that is malformed.
    expect(&[get("/a"), vec![agent, ("A", "")]].concat(), whole);
    // What is not there, and what could break a line.
    let odd = vec![(":method", "GET"), (":path", "/\r\n\"x"), ("host", "b"), ("a", &long)];
    expect(&odd, [json!("GET"), json!("/\r\n\"x"), json!("b"), json!(null)]);
}
