//! What a reviewer once made go wrong, kept from going wrong again.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use evener::reject::Reject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::paused::{Endpoint, connect, run, services, until};
use crate::support::{Origin, Proxy, eventually, filler};

/// The last bytes of a body, read but not taken by the endpoint, once ran as the next request.
#[test]
fn a_body_that_was_not_taken_is_never_read_as_a_request() {
    run(Duration::from_millis(100), async {
        let endpoint = Endpoint::start("full", |mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            std::future::pending::<()>().await;
        });
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n";
        // Some of these are just more than the endpoint's socket takes, by less than a block.
        for blocks in 2..16 {
            let services = services(&[&endpoint.route(), "--idle-timeout", "1s"]);
            let body = "\r\n".repeat(blocks * 16_384) + smuggled;
            let length = body.len();
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            let (mut read, mut write) = connect(&services).into_split();
            let mut answers = Vec::new();
            let sending = async {
                let _ = write.write_all((head + &body).as_bytes()).await;
                let _ = write.shutdown().await;
            };
            let _ = tokio::join!(sending, read.read_to_end(&mut answers));
            let answers = String::from_utf8(answers).unwrap();
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{blocks}: {answers}");
        }
    });
}

#[test]
fn an_answer_cut_by_the_drain_limit_is_a_reset_where_it_could_pass_for_whole() {
    let origin = Origin::start(|mut conn| {
        conn.head();
        conn.send("HTTP/1.1 200 OK\r\n\r\npart");
        conn.rest();
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.get("/");
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart";
    assert_eq!(client.exactly(head.len()), head.as_bytes());
    proxy.drain(Duration::ZERO);
    assert!(client.is_reset());
}

#[test]
fn an_answer_whose_first_chunk_is_bad_is_a_502() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    let proxy = Proxy::before(&[&origin], &[]);
    assert_eq!(proxy.get("/").status, 502);
    let counted = || proxy.count(|metrics| &metrics.bad_responses[Reject::ChunkSize as usize]);
    eventually("it is counted", || counted() == 1);
}

#[test]
fn an_empty_line_behind_a_request_begins_no_head() {
    let origin = Origin::named("a");
    let flags = ["--header-timeout", "50ms", "--keepalive-timeout", "20s"];
    let proxy = Proxy::before(&[&origin], &flags);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n");
    assert_eq!(client.response().status, 200);
    // Long enough for a head to have timed out; were it so, the next answer would be a 408.
    std::thread::sleep(Duration::from_millis(200));
    client.get("/");
    assert_eq!(client.response().text(), "a");
    assert_eq!(proxy.count(|metrics| &metrics.head_timeouts), 0);
}

#[test]
fn an_early_answer_goes_on_when_its_client_stops_sending() {
    let (tell, told) = sync_channel(1);
    let told = Mutex::new(told);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        conn.send("HTTP/1.1 413 A\r\nContent-Length: 10\r\n\r\nhello");
        told.lock().unwrap().recv().unwrap();
        conn.send("world");
    });
    let proxy = Proxy::start(&["--route", &format!("/up={}", origin.address)]);
    let mut client = proxy.client();
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\nab");
    let head = "HTTP/1.1 413 A\r\nContent-Length: 10\r\nConnection: close\r\n\r\n";
    client.exactly(head.len() + 5);
    client.finish();
    // The end has arrived by the time that anything sent after it is answered.
    assert_eq!(proxy.get("/nope").status, 404);
    tell.send(()).unwrap();
    assert_eq!(client.rest(), b"world");
}

#[test]
fn a_reset_of_the_client_resets_the_tunnel_to_its_end() {
    let (tell, told) = sync_channel(1);
    let origin = Origin::start(move |mut conn| {
        conn.head();
        conn.send("HTTP/1.1 101 A\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
        let _ = tell.send(conn.ends_by_reset());
    });
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.response().status, 101);
    client.reset();
    assert!(told.recv().unwrap());
}

#[test]
fn names_that_an_endpoint_would_take_for_ours_are_dropped() {
    let origin = Origin::named("a");
    let proxy = Proxy::before(&[&origin], &[]);
    let mut client = proxy.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\nContent_Length: 3\r\n\
         User_Id: 7\r\n\r\n",
    );
    client.response();
    let head = &origin.heads()[0];
    assert!(!head.contains('6') && !head.contains("Content_Length"), "{head}");
    assert!(head.contains("User_Id: 7\r\n"), "{head}");
}

#[test]
fn a_426_names_the_protocols() {
    let origin = Origin::answering(
        "HTTP/1.1 426 A\r\nUpgrade: h9\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
    );
    let response = Proxy::before(&[&origin], &[]).get("/");
    assert_eq!(response.field("upgrade"), Some("h9"));
    assert_eq!(response.field("connection"), Some("upgrade"));
}

/// A buffer filled to its last byte once looked like the end of the connection.
#[test]
fn bodies_of_about_the_size_of_a_block_pass() {
    for size in [65_535, 65_536, 65_537, 131_072] {
        let origin = Origin::echoing(size);
        let proxy = Proxy::before(&[&origin], &[]);
        let body = filler(size);
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        client.send(&body);
        assert!(client.response().body == body, "{size}");
    }
}
