//! What filters are told when an exchange has ended: all that its line in the access log says.

use std::time::Duration;

use evener::{ExchangeEnd, ExchangeRecord, Protocol};
use serde_json::{Value, json};

use crate::support::filters::{Admission, Script};
use crate::support::h2::{H2Origin, RawClient};
use crate::support::logged::lines;
use crate::support::{Conn, Origin, Proxy, temporary};

fn text(bytes: &[u8]) -> Value {
    if bytes.is_empty() { Value::Null } else { String::from_utf8(bytes.into()).unwrap().into() }
}

/// In microseconds.
fn time(duration: Option<Duration>) -> Value {
    json!(duration.map(|duration| u64::try_from(duration.as_micros()).unwrap()))
}

/// A record as the access log would have it, with times in microseconds.
fn as_line(end: &ExchangeEnd<'_>, record: &ExchangeRecord<'_>) -> Value {
    let (timers, retries) = (record.timers(), record.attempts().saturating_sub(1));
    let tried: Vec<String> = record.tried().map(|of| of.address.to_string()).collect();
    let protocol = match record.protocol() {
        Protocol::Http11 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2.0",
        other => panic!("{other:?}"),
    };
    let mut line = json!({
        "client": record.client(), "peer": record.peer(), "method": text(record.method()),
        "target": text(record.target()), "protocol": protocol, "host": text(record.host()),
        "referer": text(record.referer()), "user_agent": text(record.user_agent()),
        "id": text(record.request_id()), "tls": text(record.tls()), "status": end.status,
        "route": end.route().map(|route| &*route.name), "tried": tried, "retries": retries,
        "upstream": record.upstream().map(|upstream| &*upstream.name),
        "up": record.bytes_from_client(), "down": record.bytes_to_client(),
        "spliced": record.bytes_spliced(), "head": time(timers.head), "queue": time(timers.queue),
        "connect": time(timers.connect), "first_byte": time(timers.first_byte),
        "total": time(Some(timers.total)), "stream": record.stream(),
        "end": record.termination().to_string(), "picked": text(record.picked().as_bytes()),
    });
    if !record.rule().is_empty() {
        line["rule"] = record.rule().into();
    }
    if let Some(status) = record.grpc_status() {
        line["grpc_status"] = status.into();
    }
    line
}

/// Notes what is told at the end.
fn telling() -> Script {
    let tell = |end: &ExchangeEnd<'_>| as_line(end, &end.record.unwrap()).to_string();
    Script { end: Some(Box::new(tell)), ..Script::default() }
}

/// Has one request made, and checks that what is told is what is logged.
fn compared(script: Script, flags: &[&str], request: impl FnOnce(&Proxy)) -> Value {
    let path = temporary("access.log");
    let log = format!("--access-log={}", path.display());
    let flags = [flags, &[&log, "--access-log-format=json"]].concat();
    let (proxy, calls) = Proxy::filtered(script, &flags);
    request(&proxy);
    let told: Value = serde_json::from_str(&calls.end()).unwrap();
    let mut logged = lines(&path, 1).remove(0);
    logged.as_object_mut().unwrap().remove("time").unwrap();
    for name in ["head", "queue", "connect", "first_byte", "total"] {
        logged[name] = time(logged[name].as_f64().map(Duration::from_secs_f64));
    }
    assert_eq!(told, logged);
    told
}

#[test]
fn what_is_told_is_what_is_logged() {
    let refusing = Origin::refusing();
    let origin = Origin::named("hello");
    let route = format!("--route=/={},{}", refusing.address, origin.address);
    let told = compared(telling(), &[&route], |proxy| {
        let head = "POST /a?b HTTP/1.1\r\nHost: a.test:80\r\nReferer: r\r\nUser-Agent: u\r\n";
        proxy.ask(format!("{head}Content-Length: 3\r\n\r\nabc"));
    });
    assert_eq!(
        (&told["retries"], &told["status"], &told["end"]),
        (&1.into(), &200.into(), &"--".into())
    );
    let nowhere = [format!("--route=/={}", refusing.address)];
    let told = compared(telling(), &[&nowhere[0]], |proxy| assert_eq!(proxy.get("/").status, 502));
    assert_eq!(told["end"], "UN");
    let told = compared(telling(), &["--route=/x=127.0.0.1:1"], |proxy| {
        assert_eq!(proxy.get("/").status, 404);
    });
    assert_eq!((&told["end"], &told["route"]), (&"RN".into(), &Value::Null));
}

#[test]
fn of_streams_and_calls_too() {
    let origin = H2Origin::named("hello");
    let route = format!("--route=/={}", origin.endpoint());
    let told = compared(telling(), &[&route], |proxy| {
        let mut client = RawClient::connect(proxy.address);
        client.get(1, "/");
        client.expect_answer(1, 200);
    });
    assert_eq!((&told["stream"], &told["protocol"]), (&1.into(), &"HTTP/2.0".into()));
}

#[test]
fn an_answer_that_is_cut_and_one_of_a_filter_are_told_as_such() {
    let origin = Origin::start(|mut conn: Conn| {
        conn.head();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        conn.close();
    });
    let route = format!("--route=/={}", origin.address);
    let told = compared(telling(), &[&route], |proxy| {
        let mut client = proxy.client();
        client.get("/");
        client.rest();
    });
    assert_eq!(told["end"], "UB");
    let script = Script { admission: Admission::Refused, ..telling() };
    let told = compared(script, &[&route], |proxy| assert_eq!(proxy.get("/").status, 403));
    assert_eq!((&told["end"], &told["tried"]), (&"RN".into(), &json!([])));
}

#[test]
fn it_is_told_without_an_access_log() {
    let origin = Origin::named("hello");
    let (proxy, calls) = Proxy::filtered(telling(), &[&format!("--route=/={}", origin.address)]);
    assert_eq!(proxy.get("/").text(), "hello");
    let told: Value = serde_json::from_str(&calls.end()).unwrap();
    assert_eq!((&told["method"], &told["end"]), (&"GET".into(), &"--".into()));
    assert!(told["down"].as_u64() > Some(5) && told["total"].as_u64() > Some(0), "{told}");
    let id = told["id"].as_str().unwrap();
    assert!(id.len() == 32 && origin.heads()[0].contains(&format!("X-Request-Id: {id}\r\n")));
}
