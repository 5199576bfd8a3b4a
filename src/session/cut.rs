//! What a client is told of an answer that it has seen the beginning of, and that ends early.

use super::client::{Begun, ClientConnection, ClientSide};
use crate::fault::{Fault, Kind};
use crate::grpc::status::Status;
use crate::http::h1::reply::Reply;
use crate::http::h2::encode;
use crate::http::h2::error_code::ErrorCode;

/// Tells a client of HTTP/2 as much as can be told, before its stream ends. What its endpoint says of the answer is
/// passed on if it is about the exchange, and not about the connection to the endpoint; else it is an error of ours.
/// It is never said that the answer is whole, or that nothing was done about the request.
///
/// A call of gRPC whose endpoint is lost, or that stalls, has a status: a client that is not told makes up
/// `INTERNAL`, after which it does not try again.
pub(super) fn tell(client: &ClientConnection<'_>, begun: Begun, fault: Fault) {
    let ClientSide::H2(stream) = client.side else { return };
    match (fault.kind, client.endpoint_reset) {
        // A client that waits no longer has given it up.
        (Kind::Deadline, _) => stream.set_unfinished(ErrorCode::Cancel),
        (_, Some(code @ (ErrorCode::Cancel | ErrorCode::EnhanceYourCalm))) => {
            stream.set_unfinished(code);
        }
        (_, None) if begun.takes_status => {
            let Some(status) = fault.status() else { return };
            let (reply, status) = (Reply::new(status, fault.phrase()), Status::of_http(status));
            let sent = stream.send_head(true, |encoder, out| {
                encode::status_of_call(&reply, status, encoder, out);
            });
            // A client that is gone is told nothing.
            if sent.is_ok() {
                client.call_status.set(Some(status));
            }
        }
        _ => {}
    }
}
