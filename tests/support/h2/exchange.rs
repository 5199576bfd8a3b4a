//! A request that has come to an [`super::H2Origin`].

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Error, Reason, RecvStream, SendStream};
use hyper::http::request::Parts;
use hyper::http::{Response, StatusCode};

use super::body::{Body, collect, send_body};

/// A request and the means to answer it.
pub struct H2Exchange {
    pub head: Parts,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
}

impl H2Exchange {
    /// Reads the body, then answers with this status and body. A client that has left is nobody's fault.
    pub async fn answer(mut self, status: u16, body: impl Into<Vec<u8>>) {
        let Ok(_) = collect(self.body).await else { return };
        let body = Body { bytes: body.into(), trailers: None };
        let _ = reply(&mut self.respond, status, body).await;
    }

    /// Answers with the request's body and trailers, piece by piece as they come.
    pub async fn echo(mut self) -> Result<(), Error> {
        let mut stream = self.begin(200)?;
        while let Some(data) = self.body.data().await {
            let data = data?;
            let length = data.len();
            super::body::send_data(&mut stream, data, false).await?;
            self.body.flow_control().release_capacity(length)?;
        }
        match self.body.trailers().await? {
            Some(trailers) => stream.send_trailers(trailers),
            None => stream.send_data(Bytes::new(), true),
        }
    }

    /// Sends the head of a response that goes on.
    pub fn begin(&mut self, status: u16) -> Result<SendStream<Bytes>, Error> {
        self.respond.send_response(response(status), false)
    }

    /// Sends an interim response.
    pub fn inform(&mut self, status: u16) -> Result<(), Error> {
        self.respond.send_informational(response(status))
    }

    pub fn reset(mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }
}

/// A response's head.
pub fn response(status: u16) -> Response<()> {
    let status = StatusCode::from_u16(status).expect("a status");
    Response::builder().status(status).body(()).expect("a response")
}

async fn reply(respond: &mut SendResponse<Bytes>, status: u16, body: Body) -> Result<(), Error> {
    let ends = body == Body::default();
    let mut stream = respond.send_response(response(status), ends)?;
    if ends { Ok(()) } else { send_body(&mut stream, body).await }
}
