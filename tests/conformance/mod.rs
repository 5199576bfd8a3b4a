//! Every rule on the wire as one named test on real sockets; `docs/specification.md` has a row for each.
//!
//! A macro turns each of its lines into a test of the same name: `refused!`, `refused_at_once!` and
//! `refused_body!` for requests that must not be passed on, `arrives!` for those that are, and
//! `bad_response!`, `bad_response_at_once!` and `returns!` for responses.

/// `name: request => status Reject;`, checked by [`gate::Gate::refuses`].
macro_rules! refused {
    ($($name:ident: $request:expr => $status:literal $reject:ident;)+) => {$(
        #[test]
        fn $name() {
            let reject = evener::reject::Reject::$reject;
            crate::conformance::gate::lent(|gate| gate.refuses($request, $status, reject));
        }
    )+};
}

/// `name: beginning => status Reject;`, checked by [`gate::Gate::refuses_at_once`].
macro_rules! refused_at_once {
    ($($name:ident: $bytes:expr => $status:literal $reject:ident;)+) => {$(
        #[test]
        fn $name() {
            let reject = evener::reject::Reject::$reject;
            crate::conformance::gate::lent(|gate| gate.refuses_at_once($bytes, $status, reject));
        }
    )+};
}

/// `name: chunks => Reject;`, checked by [`gate::Gate::refuses_body`].
macro_rules! refused_body {
    ($($name:ident: $chunks:expr => $reject:ident;)+) => {$(
        #[test]
        fn $name() {
            let reject = evener::reject::Reject::$reject;
            crate::conformance::gate::lent(|gate| gate.refuses_body($chunks, reject));
        }
    )+};
}

/// `name: request => Keep|Close request;`, checked by [`gate::Gate::passes`]; the X-Forwarded-* headers
/// added to every request are left out of what arrives.
macro_rules! arrives {
    ($($name:ident: $request:expr => $after:ident $arrived:expr;)+) => {$(
        #[test]
        fn $name() {
            let after = crate::conformance::gate::After::$after;
            crate::conformance::gate::lent(|gate| gate.passes($request, after, $arrived));
        }
    )+};
}

/// `name: response => Reject[, to request];`, checked by [`gate::Gate::refuses_response`]; in response to
/// a plain GET if no request is given.
macro_rules! bad_response {
    ($($name:ident: $response:expr => $reject:ident $(, to $request:expr)?;)+) => {$(
        #[test]
        fn $name() {
            use crate::conformance::{PLAIN, gate::lent};
            let request = [$($request,)? PLAIN][0];
            let reject = evener::reject::Reject::$reject;
            lent(|gate| gate.refuses_response(request, $response, reject));
        }
    )+};
}

/// `name: beginning => Reject;`, checked by [`gate::Gate::refuses_response_at_once`].
macro_rules! bad_response_at_once {
    ($($name:ident: $bytes:expr => $reject:ident;)+) => {$(
        #[test]
        fn $name() {
            let reject = evener::reject::Reject::$reject;
            crate::conformance::gate::lent(|gate| gate.refuses_response_at_once($bytes, reject));
        }
    )+};
}

/// `name: response => Keep|Close Reused|Dropped|Rests response[, to request];`, checked by
/// [`gate::Gate::returns`]; in response to a plain GET if no request is given.
macro_rules! returns {
    ($($name:ident: $response:expr => $after:ident $upstream:ident $returned:expr
        $(, to $request:expr)?;)+) => {$(
        #[test]
        fn $name() {
            use crate::conformance::{PLAIN, gate};
            let request = [$($request,)? PLAIN][0];
            let expected = (gate::After::$after, gate::Upstream::$upstream);
            gate::lent(|gate| gate.returns(request, $response, expected, $returned));
        }
    )+};
}

mod at_once;
mod chunks;
mod codings;
mod fields;
mod forwarded;
mod gate;
mod h2;
mod hop_by_hop;
mod hosts;
mod lengths;
mod limits;
mod max_forwards;
mod origin;
mod request_line;
mod response_bodies;
mod response_fields;
mod response_framing;
mod status_line;
mod targets;
mod trailers;

/// The plainest request.
const PLAIN: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The plainest response.
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A request with this first line.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

/// A request with this header line.
fn field(line: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n")
}

/// A request with these header lines, followed by a last chunk.
fn framed(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n0\r\n\r\n")
}

/// A response with this header line and no body.
fn answered(line: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 0\r\n\r\n")
}
