//! Checks of endpoints that speak HTTP/2: by a path, and by the health service of gRPC.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;
use hyper::http::request::Parts;
use hyper::http::{HeaderMap, HeaderValue, Response};

use crate::support::h2::{
    Body, Frame, H2Exchange, H2Origin, RawOrigin, collect, error, flag, kind, send_body, send_data,
    setting,
};
use crate::support::tls::{Authority, Identity, TlsServer};
use crate::support::{Admin, Origin, eventually};

fn checked(endpoint: &str, check: &str) -> Admin {
    let (route, check) = (format!("--route=/={endpoint}"), format!("--check={check}"));
    let ca = format!("--upstream-ca={}", Authority::shared().file());
    let words = ["--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--check-interval=200ms"];
    Admin::with(&[&[&*route, &check, &ca], &words[..]].concat())
}

fn field<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.headers.get(name).map(|value| value.to_str().unwrap())
}

/// On a machine that is busy it may have been too slow first.
fn says(admin: &Admin, what: &str) {
    let what = format!("check, response head: {what}");
    eventually(&what, || admin.endpoint(0)["last_failures"][0]["what"] == what);
}

/// Answers a call with these bytes and this status in the trailers.
async fn serve(mut exchange: H2Exchange, message: &[u8], status: &'static str) {
    if collect(exchange.body).await.is_err() {
        return;
    }
    let trailers =
        HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(status))]);
    let head = Response::builder().header("content-type", "application/grpc");
    let head = head.body(()).unwrap();
    let Ok(mut stream) = exchange.respond.send_response(head, false) else { return };
    let body = Body { bytes: message.to_vec(), trailers: Some(trailers) };
    let _ = send_body(&mut stream, body).await;
}

#[test]
fn a_path_is_asked_for_over_http2() {
    for (origin, scheme) in [
        (H2Origin::named("hello"), "http"),
        (
            H2Origin::start_with(
                Builder::new(),
                Some(TlsServer::showing(Identity::localhost())),
                |exchange| exchange.answer(204, ""),
            ),
            "https",
        ),
    ] {
        let admin = checked(&origin.endpoint(), &format!("{scheme}:/up?a=b"));
        eventually("it is asked", || origin.heads().len() > 2);
        let head = origin.heads().remove(0);
        assert_eq!((head.method.as_str(), head.uri.path()), ("GET", "/up"));
        assert_eq!((head.uri.query(), head.uri.scheme_str()), (Some("a=b"), Some(scheme)));
        assert_eq!(field(&head, "user-agent"), Some("evener-check"));
        admin.until(0, "up");
    }
}

#[test]
fn an_endpoint_that_answers_a_path_with_an_error_is_down() {
    let origin = H2Origin::start(|exchange| exchange.answer(500, "no"));
    let admin = checked(&origin.endpoint(), "http:/");
    admin.until(0, "down");
    says(&admin, "unhealthy answer: HTTP status 500, expected 200-399");
    let told = "is down: unhealthy answer (UA): HTTP status 500, expected 200-399";
    eventually(told, || admin.process.says(told));
}

#[test]
fn an_endpoint_of_http1_is_down_for_a_check_over_http2() {
    let origin = Origin::answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let admin = checked(&format!("h2c://{}", origin.address), "grpc");
    admin.until(0, "down");
    says(&admin, "endpoint does not speak HTTP/2");
}

#[test]
fn a_service_is_asked_about_and_its_health_followed() {
    let turn = Arc::new(AtomicUsize::new(0));
    let ours = Arc::clone(&turn);
    let origin = H2Origin::start(move |exchange| {
        let (message, status): (&[u8], _) = match ours.load(Ordering::SeqCst) {
            0 => (b"\0\0\0\0\x02\x08\x01", "0"),
            1 => (b"\0\0\0\0\x02\x08\x02", "0"),
            2 => (b"\0\0\0\0\x02\x08\x01", "5"),
            _ => (b"\x01\0\0\0\x02\x08\x01", "0"),
        };
        serve(exchange, message, status)
    });
    let admin = checked(&origin.endpoint(), "grpc:a.B");
    eventually("it is asked", || origin.heads().len() > 2);
    let head = origin.heads().remove(0);
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/grpc.health.v1.Health/Check"));
    assert_eq!(field(&head, "content-type"), Some("application/grpc"));
    assert_eq!(
        (field(&head, "te"), field(&head, "grpc-timeout")),
        (Some("trailers"), Some("200m"))
    );
    let answers = [
        "NOT_SERVING",
        "grpc-status 5 (NOT_FOUND): it does not know the service",
        "its message is malformed",
    ];
    for (unhealthy, answer) in (1..).zip(answers) {
        admin.until(0, "up");
        turn.store(unhealthy, Ordering::SeqCst);
        admin.until(0, "down");
        says(&admin, &format!("unhealthy answer: {answer}"));
        turn.store(0, Ordering::SeqCst);
    }
}

#[test]
fn the_request_names_the_service() {
    let origin = H2Origin::start(async |exchange: H2Exchange| {
        let asked = collect(exchange.body).await.map(|body| body.bytes);
        let mut respond = exchange.respond;
        let is_right = asked.is_ok_and(|asked| asked == b"\0\0\0\0\x05\x0a\x03a.B");
        let status = HeaderValue::from_static(if is_right { "0" } else { "3" });
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), status)]);
        if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
            let body = Body { bytes: b"\0\0\0\0\x02\x08\x01".to_vec(), trailers: Some(trailers) };
            let _ = send_body(&mut stream, body).await;
        }
    });
    let admin = checked(&origin.endpoint(), "grpc:a.B");
    eventually("it is asked", || origin.heads().len() > 3);
    admin.until(0, "up");
    checked(&origin.endpoint(), "grpc").until(0, "down");
}

#[test]
fn a_server_without_the_health_service_is_down() {
    let origin = H2Origin::start(async |mut exchange: H2Exchange| {
        let head = Response::builder().header("grpc-status", "12").body(()).unwrap();
        let _ = exchange.respond.send_response(head, true);
    });
    let admin = checked(&origin.endpoint(), "grpc");
    admin.until(0, "down");
    says(&admin, "unhealthy answer: grpc-status 12 (UNIMPLEMENTED): it has no health service");
}

#[test]
fn an_endpoint_that_resets_a_check_is_down_and_the_code_is_told() {
    let origin = H2Origin::start(async |mut exchange: H2Exchange| {
        exchange.respond.send_reset(Reason::ENHANCE_YOUR_CALM);
    });
    let admin = checked(&origin.endpoint(), "grpc");
    admin.until(0, "down");
    let reset = "it reset the stream with ENHANCE_YOUR_CALM";
    says(&admin, &format!("endpoint closed without an answer: {reset}"));
}

#[test]
fn an_endpoint_that_sends_no_settings_to_a_check_is_down_for_that() {
    let origin = RawOrigin::silent(|mut peer| drop(peer.find(|_| false)));
    let admin = checked(&origin.endpoint(), "grpc");
    let what = "check, connect: endpoint sent no HTTP/2 SETTINGS in time";
    eventually(what, || admin.endpoint(0)["last_failures"][0]["what"] == what);
}

#[test]
fn an_answer_that_never_ends_is_cut_off() {
    let origin = H2Origin::start(async |mut exchange: H2Exchange| {
        let Ok(mut stream) = exchange.begin(200) else { return };
        while send_data(&mut stream, Bytes::from_static(&[0; 512]), false).await.is_ok() {}
    });
    checked(&origin.endpoint(), "grpc").until(0, "down");
}

/// Answers with all that an endpoint may send, and seldom does.
fn unusual() -> RawOrigin {
    RawOrigin::start(|mut peer| {
        while let Some((stream, _)) = peer.request() {
            peer.expect_alive();
            let fields = [(":status", "200"), ("content-type", "application/grpc")];
            let block = Frame::headers(stream, &fields).payload;
            let (begun, rest) = block.split_at(3);
            peer.send_all([
                Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]),
                Frame::headers(stream, &[(":status", "103")]),
                Frame::new(kind::HEADERS, 0, stream, begun).padded(9),
                Frame::continuation(stream, rest).with(flag::END_HEADERS),
                Frame::data(stream, "").padded(200),
                Frame::data(stream, b"\0\0\0\0\x02\x08\x01").padded(3),
                Frame::go_away(stream, error::NO_ERROR),
                Frame::headers(stream, &[("grpc-status", "0")]).end(),
                Frame::reset(stream, error::NO_ERROR),
            ]);
        }
    })
}

#[test]
fn an_endpoint_that_answers_in_an_unusual_way_is_up() {
    for check in ["grpc", "http:/"] {
        let origin = unusual();
        let admin = checked(&origin.endpoint(), check);
        eventually("it is asked", || origin.connections() > 4);
        admin.until(0, "up");
    }
}
