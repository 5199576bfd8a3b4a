//! gRPC, by hand: heads of calls, messages with their prefix, and the status at the end.

use bytes::{Buf, Bytes, BytesMut};
use h2::RecvStream;
use hyper::http::{HeaderMap, Request};

use super::h2::{RawClient, flag, kind, post, value_of};

/// The head of a call, with these fields besides.
pub fn call<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let fields = [("content-type", "application/grpc+proto"), ("te", "trailers")];
    [post("/a.B/C"), fields.to_vec(), more.to_vec()].concat()
}

/// A message with its prefix, which says that it is compressed: nobody but the peers is to mind.
pub fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[1][..], &length, text.as_bytes()].concat().into()
}

/// The same for the `h2` crate.
pub fn request() -> Request<()> {
    let fields = call(&[]).into_iter().filter(|(name, _)| !name.starts_with(':'));
    let request = Request::post("http://test/a.B/C");
    fields.fold(request, |request, (name, value)| request.header(name, value)).body(()).unwrap()
}

/// The trailers that end a call.
pub fn status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())])
}

/// The messages of a stream.
pub struct Messages {
    stream: RecvStream,
    come: BytesMut,
}

impl Messages {
    pub fn of(stream: RecvStream) -> Self {
        Self { stream, come: BytesMut::new() }
    }

    /// The next one; none at the end.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((prefix, rest)) = self.come.split_first_chunk::<5>() {
                let [flags, length @ ..] = *prefix;
                let length = u32::from_be_bytes(length) as usize;
                if rest.len() >= length {
                    assert_eq!(flags, 1);
                    self.come.advance(5);
                    return Some(String::from_utf8(self.come.split_to(length).to_vec()).unwrap());
                }
            }
            let data = self.stream.data().await?.unwrap();
            self.stream.flow_control().release_capacity(data.len()).unwrap();
            self.come.extend_from_slice(&data);
        }
    }

    /// What the trailers say, after the last message.
    pub async fn status(mut self) -> String {
        assert_eq!(self.next().await, None);
        let trailers = self.stream.trailers().await.unwrap().expect("trailers");
        trailers["grpc-status"].to_str().unwrap().to_owned()
    }
}

/// An answer of ours: one section that ends the stream. Its status and its message.
pub fn refusal(client: &mut RawClient, stream: u32) -> (String, String) {
    let head = client.until("an answer", |frame| frame.is(kind::HEADERS, stream));
    assert!(head.has(flag::END_STREAM));
    let fields = head.fields.unwrap();
    let value = |name| value_of(&fields, name).unwrap().to_owned();
    assert_eq!(
        (value(":status"), value("content-type")),
        ("200".into(), "application/grpc".into())
    );
    (value("grpc-status"), value("grpc-message"))
}
