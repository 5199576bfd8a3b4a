//! Bodies of the `h2` crate, whose flow control is left to whoever uses it.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Error, RecvStream, SendStream};
use hyper::http::HeaderMap;

/// A whole body and its trailers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    pub bytes: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

/// Reads a body to its end.
pub async fn collect(mut stream: RecvStream) -> Result<Body, Error> {
    let mut bytes = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Body { bytes, trailers: stream.trailers().await? })
}

/// Sends a body as the windows allow it, with its trailers if it has any, or else with `END_STREAM`.
pub async fn send_body(stream: &mut SendStream<Bytes>, body: Body) -> Result<(), Error> {
    let ends = body.trailers.is_none();
    send_data(stream, Bytes::from(body.bytes), ends).await?;
    match body.trailers {
        Some(trailers) => stream.send_trailers(trailers),
        None => Ok(()),
    }
}

/// Sends a piece of a body as the windows allow it.
pub async fn send_data(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    ends: bool,
) -> Result<(), Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let granted = poll_fn(|cx| stream.poll_capacity(cx)).await.expect("an open stream")?;
        let piece = data.split_to(granted.min(data.len()));
        if !piece.is_empty() {
            stream.send_data(piece, ends && data.is_empty())?;
            if data.is_empty() && ends {
                return Ok(());
            }
        }
    }
    if ends { stream.send_data(data, true) } else { Ok(()) }
}
