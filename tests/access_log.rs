//! Access log lines of requests, tunnels and connections.

use serde_json::{Value, json};

use crate::support::logged::Logged;
use crate::support::origin::ok_head;
use crate::support::{Client, Origin, eventually};

const END: [&str; 3] = ["status", "end", "target"];

#[test]
fn a_request_is_a_line() {
    let origin = Origin::named("hello");
    let logged = Logged::before(&[&origin], &[]);
    let request = "GET /a?b HTTP/1.1\r\nHost: a.example\r\nReferer: r\r\nUser-Agent: u\r\n\r\n";
    let response = logged.proxy.ask(request);
    let line = logged.line();
    let rows = [
        ("client", json!("127.0.0.1")),
        ("peer", json!("127.0.0.1")),
        ("method", json!("GET")),
        ("target", json!("/a?b")),
        ("protocol", json!("HTTP/1.1")),
        ("host", json!("a.example")),
        ("referer", json!("r")),
        ("user_agent", json!("u")),
        ("status", json!(200)),
        ("up", json!(request.len())),
        ("down", json!(response.head.len() + 4 + response.body.len())),
        ("spliced", json!(0)),
        ("route", json!("/")),
        ("upstream", json!("/")),
        ("tried", json!([origin.address.to_string()])),
        ("retries", json!(0)),
        ("end", json!("--")),
        ("tls", Value::Null),
    ];
    for (name, expected) in rows {
        assert_eq!(line[name], expected, "{name} in {line}");
    }
    for timer in ["head", "queue", "connect", "first_byte", "total"] {
        assert!(line[timer].is_number(), "{timer} in {line}");
    }
}

#[test]
fn each_request_of_a_connection_is_a_line() {
    let origin = Origin::named("o");
    let logged = Logged::before(&[&origin], &[]);
    let mut client = logged.client();
    client.get("/first");
    client.response();
    let body = "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    client.send(format!("{body}GET /third HTTP/1.1\r\nHost: a\r\n\r\n"));
    client.response();
    client.response();
    let lines = logged.lines(3);
    assert_eq!(
        lines.iter().map(|line| &line["target"]).collect::<Vec<_>>(),
        ["/first", "/second", "/third"]
    );
    assert_eq!((&lines[1]["method"], &lines[1]["up"]), (&json!("POST"), &json!(body.len())));
    // It reused the upstream connection of the first request.
    assert_eq!(lines[1]["connect"], Value::Null);
}

#[test]
fn a_refused_request_is_a_line_with_what_is_known_of_it() {
    let rows = [
        ("GET /x HTTP/1.1\r\nHost: a\r\nA b\r\n\r\n", 400, "RH", "/x"),
        ("GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "RH", "/x"),
        ("GET /x HTTP/3.0\r\n\r\n", 505, "RH", "/x"),
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", 400, "RQ", "/x"),
    ];
    for (request, status, end, target) in rows {
        let logged = Logged::start(&["--route", "/=127.0.0.1:1"]);
        assert_eq!(logged.proxy.ask(request).status, status);
        assert_eq!(logged.says(END), [json!(status), json!(end), json!(target)], "{request:?}");
        assert_eq!(logged.line()["up"], json!(request.len()), "{request:?}");
    }
}

#[test]
fn an_incomplete_head_is_a_line_and_silence_is_not() {
    let logged = Logged::start(&["--route", "/=127.0.0.1:1", "--header-timeout", "100ms"]);
    let mut silent = logged.client();
    silent.send("\r\n");
    let mut slow = logged.client();
    slow.send("GET /x HT");
    assert_eq!(slow.response().status, 408);
    assert_eq!(logged.says(END), [json!(408), json!("cH"), json!("/x")]);
    drop(silent);
    let mut gone = logged.client();
    gone.send("GET");
    gone.finish();
    assert!(gone.is_closed());
    let line = logged.lines(2).remove(1);
    assert_eq!((&line["status"], &line["end"]), (&Value::Null, &json!("CH")));
}

#[test]
fn a_path_without_a_route_is_a_line() {
    let logged = Logged::start(&["--route", "/x=127.0.0.1:1"]);
    assert_eq!(logged.proxy.get("/y").status, 404);
    assert_eq!(logged.says(END), [json!(404), json!("RN"), json!("/y")]);
    assert_eq!((&logged.line()["route"], &logged.line()["tried"]), (&Value::Null, &json!([])));
}

#[test]
fn every_endpoint_that_was_tried_is_named_in_order() {
    let (dead, well) = (Origin::refusing(), Origin::named("well"));
    let logged = Logged::before(&[&dead, &well], &[]);
    assert_eq!(logged.proxy.get("/").text(), "well");
    let tried = [&dead, &well].map(|origin| origin.address.to_string());
    assert_eq!(logged.says(["tried", "retries", "end"]), [json!(tried), json!(1), json!("--")]);
}

#[test]
fn a_failure_names_side_and_phase() {
    let dead = Origin::refusing();
    let mute = Origin::start(|mut conn| drop(conn.rest()));
    let odd = Origin::answering("HTTP/1.1 2x0\r\n\r\n");
    let cut = Origin::start(|mut conn| {
        conn.head();
        conn.send([ok_head(9), b"x".to_vec()].concat());
        conn.close();
    });
    let rows = [(&dead, 502, "UN"), (&mute, 504, "uA"), (&odd, 502, "RA"), (&cut, 200, "UB")];
    for (origin, status, end) in rows {
        let logged = Logged::before(&[origin], &["--response-timeout", "1s"]);
        assert_eq!(logged.proxy.get("/").status, status);
        assert_eq!(logged.says(END), [json!(status), json!(end), json!("/")]);
    }
}

#[test]
fn a_client_that_leaves_is_logged_with_the_phase() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send_without_end(&String::from_utf8(ok_head(1 << 40)).unwrap(), &"x".repeat(1 << 16));
    });
    let logged = Logged::before(&[&origin], &[]);
    let mut client = logged.client();
    client.get("/down");
    client.exactly(1 << 20);
    client.reset();
    assert_eq!(logged.says(END), [json!(200), json!("CB"), json!("/down")]);
    let mut client = logged.client();
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx");
    eventually("it has arrived", || origin.heads().len() == 2);
    drop(client);
    let line = logged.lines(2).remove(1);
    assert_eq!(line["target"], "/up");
    assert!(line["end"] == "CQ" || line["end"] == "CB", "{line}");
}

#[test]
fn a_tunnel_is_a_line_when_it_ends() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send("HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
        while let Some(bytes) = conn.bytes(5) {
            conn.send(bytes);
        }
    });
    let logged = Logged::before(&[&origin], &[]);
    let ask = "GET /t HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let mut client = logged.client();
    let head = client.ask(ask).head.len() + 4;
    client.send("hello");
    assert_eq!(client.exactly(5), b"hello");
    client.reset();
    let line = logged.line();
    assert_eq!([&line["status"], &line["end"]], [&json!(101), &json!("CT")]);
    assert_eq!([&line["up"], &line["down"]], [&json!(ask.len() + 5), &json!(head + 5)]);
}

#[test]
fn a_connection_that_is_passed_on_is_a_line() {
    let origin = Origin::start(|mut conn| {
        let bytes = conn.bytes(5).unwrap_or_default();
        conn.send([&bytes[..], b"!"].concat());
        conn.close();
    });
    let (relay, dead) = (format!("127.0.0.1:0={}", origin.address), Origin::refusing());
    let lost = format!("127.0.0.1:0={}", dead.address);
    let logged = Logged::start(&["--route", "/=127.0.0.1:1", "--tcp", &relay, "--tcp", &lost]);
    let addresses = logged.proxy.addresses();
    let mut client = Client::connect(addresses[1]);
    client.send("hello");
    client.finish();
    assert_eq!(client.rest(), b"hello!");
    let line = logged.line();
    assert_eq!(
        [&line["protocol"], &line["end"], &line["up"]],
        [&json!("TCP"), &json!("--"), &json!(5)]
    );
    assert_eq!([&line["down"], &line["tried"]], [&json!(6), &json!([origin.address.to_string()])]);
    assert_eq!(line["method"], Value::Null);
    assert!(Client::connect(addresses[2]).is_reset());
    assert_eq!(logged.lines(2)[1]["end"], "UN");
}

#[test]
fn a_refused_proxy_header_is_a_line() {
    let listen = ["--listen=127.0.0.1:0,proxy", "--route=/=127.0.0.1:1"];
    let rows: [(&str, &[&str], Value); 2] = [
        ("PROXY TCP5 a\r\n", &["--trusted", "127.0.0.1"], json!("PROXY")),
        ("", &["--trusted", "10.0.0.0/8"], Value::Null),
    ];
    for (sent, trusted, method) in rows {
        let logged = Logged::start(&[&listen, trusted].concat());
        let mut client = Client::connect(logged.proxy.addresses()[0]);
        client.send(sent);
        assert!(client.is_reset());
        assert_eq!(logged.says(["end", "method", "status"]), [json!("RH"), method, Value::Null]);
    }
}
