//! The HTTP/1.1 peers of these tests understand each other.

use crate::support::{Client, Origin};

#[test]
fn no_body_is_taken_for_the_head_of_a_request() {
    let origin = Origin::named("o");
    let mut client = Client::connect(origin.address);
    let head = "GET /not HTTP/1.1\r\n\r\n";
    for body in [
        format!("Content-Length: {}\r\n\r\n{head}", head.len()),
        format!(
            "transfer-encoding: chunked\r\n\r\n{:x}\r\n{head}\r\n0\r\nA: b\r\n\r\n",
            head.len()
        ),
        "\r\n".to_owned(),
    ] {
        let answer = client.ask(format!("POST / HTTP/1.1\r\n{body}"));
        assert_eq!(answer.text(), "o", "{body}");
    }
    let heads = origin.heads();
    assert!(heads.len() == 3 && heads.iter().all(|head| head.starts_with("POST / ")), "{heads:?}");
}
