//! What ended an exchange early, and everything that follows from it.
//!
//! A [`Fault`] says who (side), where (stage) and how (kind). Its consequences (the status of the
//! answer, whether the endpoint is to blame, whether another attempt may be made, the termination code)
//! are derived here and nowhere else.

use std::fmt;
use std::io;
use std::num::NonZeroU8;

use crate::reject::Reject;
use crate::termination::{Ender, ExchangePhase, Termination};
use crate::tls_fault::TlsFault;

/// Whose doing it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The peer that sent the request.
    Client,
    /// The endpoint that was to answer it.
    Upstream,
    /// This process or its machine: out of descriptors, ports, memory.
    Local,
}

impl Side {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Client, Self::Upstream, Self::Local];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Local => "evener",
        }
    }
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the head of a request.
    RequestHead,
    /// Waiting for room at an endpoint.
    Queue,
    /// Opening a connection to an endpoint.
    Connect,
    /// Moving the request to the endpoint.
    Request,
    /// Waiting for or reading the head of the response.
    ResponseHead,
    /// Moving the response to the client.
    ResponseBody,
}

impl Stage {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestHead => "request head",
            Self::Queue => "queue",
            Self::Connect => "connect",
            Self::Request => "request",
            Self::ResponseHead => "response head",
            Self::ResponseBody => "response body",
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The peer ended the connection where it must not.
    Closed,
    /// The peer reset the connection: what it had to say need not be whole.
    Reset,
    /// The connection broke in another way: unreachable, or any other error of the socket.
    Broken,
    /// The connection was refused.
    Refused,
    /// A deadline passed.
    TimedOut,
    /// The deadline passed that a client has set for its own request (gRPC's `grpc-timeout`).
    Deadline,
    /// The message broke a rule.
    Rejected(Reject),
    /// A resource of this machine ran out.
    Exhausted,
    /// The endpoint ended an HTTP/2 connection before it took a stream.
    Ended,
    /// The endpoint takes no more streams for now: it is busy, and answers others.
    Busy,
    /// The endpoint has accepted a connection, and not sent the SETTINGS that begin one of HTTP/2 in time
    /// (RFC 9113 §3.4).
    NoSettings,
    /// The answer to a check was none of a healthy endpoint.
    Unhealthy,
    /// TLS could not be agreed on, or its rules were broken.
    Tls(TlsFault),
}

/// How far an attempt had come when it failed: what decides whether another one is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No byte of the request can have reached the endpoint.
    Unsent,
    /// Bytes may have reached it, no byte of an answer came back, and all that was sent is kept.
    Unanswered,
    /// Part of an answer came back, or part of what was sent is no longer kept.
    Underway,
}

/// What ended an exchange early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose doing.
    pub side: Side,
    /// What was being done.
    pub stage: Stage,
    /// How it ended.
    pub kind: Kind,
    /// The error of the system behind it, where one is known.
    pub errno: Option<Errno>,
}

/// A number of errno(3); all that Linux has fit a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(NonZeroU8);

impl Fault {
    /// The client's doing.
    pub fn client(stage: Stage, kind: Kind) -> Self {
        Self { side: Side::Client, stage, kind, errno: None }
    }

    /// The endpoint's doing, unless a resource of this machine ran out.
    pub fn upstream(stage: Stage, kind: Kind) -> Self {
        let side = if kind == Kind::Exhausted { Side::Local } else { Side::Upstream };
        Self { side, stage, kind, errno: None }
    }

    /// The same with the error of the system behind it.
    #[must_use]
    pub fn caused_by(self, error: &io::Error) -> Self {
        Self { errno: error.raw_os_error().and_then(Errno::of), ..self }
    }

    /// The status that answers the client, as long as nothing of a response has been sent.
    /// `None`: there is nobody left to answer.
    pub fn status(&self) -> Option<u16> {
        match (self.side, self.kind) {
            (Side::Client, Kind::Rejected(reject)) => Some(reject.status()),
            (Side::Client, Kind::TimedOut) => Some(408),
            (Side::Client, Kind::Deadline)
            | (Side::Upstream, Kind::TimedOut | Kind::NoSettings | Kind::Tls(TlsFault::TimedOut)) => {
                Some(504)
            }
            (Side::Client, _) => None,
            (Side::Upstream, Kind::Busy) | (Side::Local, _) => Some(503),
            (Side::Upstream, _) => Some(502),
        }
    }

    /// Whether it counts against the endpoint. Faults of this machine and of the client never do,
    /// nor does an answer that breaks a rule: one odd page must not take out every endpoint that
    /// serves it. What is not HTTP at all does. One that is busy is well.
    pub fn blames_endpoint(&self) -> bool {
        match self.kind {
            Kind::Rejected(Reject::StatusLine | Reject::NotHttp2 | Reject::SpeaksHttp2) => {
                self.side == Side::Upstream
            }
            Kind::Rejected(_) | Kind::Busy => false,
            _ => self.side == Side::Upstream,
        }
    }

    /// Whether another attempt would be safe after this one, and could help.
    pub fn retryable(&self, progress: Progress, idempotent: bool) -> bool {
        if self.side == Side::Client || self.is_of_descriptors() {
            return false;
        }
        match progress {
            Progress::Unsent => true,
            Progress::Unanswered => idempotent,
            Progress::Underway => false,
        }
    }

    /// Whether it was for want of a descriptor, which another endpoint would not help.
    fn is_of_descriptors(self) -> bool {
        let errno = self.errno.map(|Errno(number)| i32::from(number.get()));
        self.side == Side::Local && matches!(errno, Some(libc::EMFILE | libc::ENFILE))
    }

    /// The reason in words, fixed and free of anything a peer wrote.
    pub fn phrase(&self) -> &'static str {
        match (self.kind, self.stage) {
            (Kind::Rejected(reject), _) => reject.phrase(),
            (Kind::NoSettings, _) => "endpoint sent no HTTP/2 SETTINGS in time",
            (Kind::Unhealthy, _) => "unhealthy answer",
            (Kind::Tls(fault), _) => fault.phrase(),
            (Kind::Deadline, _) => "deadline of the client has passed",
            (Kind::Exhausted, _) => "out of descriptors, ports or memory",
            (Kind::Ended, _) => "endpoint closed before any HTTP/2 request",
            (Kind::Busy, _) => "endpoint takes no more streams",
            (Kind::Refused, _) => "endpoint refused the connection",
            (Kind::TimedOut, Stage::Connect) => "endpoint did not accept in time",
            (Kind::TimedOut, Stage::RequestHead) => "request head took too long",
            (Kind::TimedOut, Stage::Queue) => "no endpoint had room in time",
            (Kind::TimedOut, Stage::Request) => "request body stalled",
            (Kind::TimedOut, Stage::ResponseHead) => "endpoint did not answer in time",
            (Kind::TimedOut, Stage::ResponseBody) => "response body stalled",
            (Kind::Closed | Kind::Reset | Kind::Broken, Stage::Queue) => "client left the queue",
            (Kind::Closed | Kind::Reset | Kind::Broken, Stage::Connect) => {
                "endpoint cannot be reached"
            }
            (Kind::Closed | Kind::Reset | Kind::Broken, Stage::RequestHead) => {
                "request head was cut short"
            }
            (Kind::Closed | Kind::Reset | Kind::Broken, Stage::Request) => "request was cut short",
            (Kind::Closed | Kind::Reset | Kind::Broken, Stage::ResponseHead) => {
                "endpoint closed without an answer"
            }
            (Kind::Closed | Kind::Reset | Kind::Broken, Stage::ResponseBody) => {
                "response was cut short"
            }
        }
    }

    /// The termination code that the logs show.
    pub fn termination(&self) -> Termination {
        let phase = match self.stage {
            Stage::RequestHead => ExchangePhase::RequestHead,
            Stage::Queue => ExchangePhase::Queue,
            Stage::Connect => ExchangePhase::Connect,
            Stage::Request => ExchangePhase::Request,
            Stage::ResponseHead => ExchangePhase::ResponseHead,
            Stage::ResponseBody => ExchangePhase::ResponseBody,
        };
        Termination::new(ender(self.side, self.kind), phase)
    }
}

/// The termination code of a tunnel that ended before both sides had ended their direction: `side` did
/// it, by `kind`.
pub fn tunnel_termination(side: Side, kind: Kind) -> Termination {
    Termination::new(ender(side, kind), ExchangePhase::Tunnel)
}

fn ender(side: Side, kind: Kind) -> Ender {
    match (side, kind) {
        (Side::Local, _) | (_, Kind::Exhausted) => Ender::Machine,
        (_, Kind::Rejected(_)) | (Side::Client, Kind::Tls(TlsFault::PlainHttp)) => Ender::Rule,
        (Side::Client, Kind::TimedOut | Kind::Tls(TlsFault::TimedOut)) => Ender::ClientSilence,
        (Side::Client, _) => Ender::Client,
        (Side::Upstream, Kind::TimedOut | Kind::NoSettings | Kind::Tls(TlsFault::TimedOut)) => {
            Ender::UpstreamSilence
        }
        (Side::Upstream, _) => Ender::Upstream,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.phrase(), self.termination())
    }
}

impl Errno {
    /// The one of that number, if there can be such a one.
    pub fn of(number: i32) -> Option<Self> {
        u8::try_from(number).ok().and_then(NonZeroU8::new).map(Self)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match i32::from(self.0.get()) {
            libc::EACCES => "EACCES",
            libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
            libc::EAGAIN => "EAGAIN",
            libc::ECONNABORTED => "ECONNABORTED",
            libc::ECONNREFUSED => "ECONNREFUSED",
            libc::ECONNRESET => "ECONNRESET",
            libc::EMFILE => "EMFILE",
            libc::ENFILE => "ENFILE",
            libc::ENOBUFS => "ENOBUFS",
            libc::ENOMEM => "ENOMEM",
            libc::EHOSTUNREACH => "EHOSTUNREACH",
            libc::ENETDOWN => "ENETDOWN",
            libc::ENETUNREACH => "ENETUNREACH",
            libc::ENOENT => "ENOENT",
            libc::EPERM => "EPERM",
            libc::EPIPE => "EPIPE",
            libc::ETIMEDOUT => "ETIMEDOUT",
            number => return write!(f, "errno {number}"),
        };
        f.write_str(name)
    }
}

impl Kind {
    /// What an error of a socket means here.
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(
                libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::EADDRNOTAVAIL
                // A full accept queue of a unix listener, and no answer to anything asked here.
                | libc::EAGAIN,
            ) => Self::Exhausted,
            Some(libc::ENOENT) => Self::Refused,
            Some(libc::ETIMEDOUT) => Self::TimedOut,
            Some(libc::ECONNRESET) => Self::Reset,
            _ if error.kind() == io::ErrorKind::ConnectionRefused => Self::Refused,
            _ => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_follows_side_and_kind() {
        let rows = [
            (Fault::client(Stage::RequestHead, Kind::Rejected(Reject::BareLf)), Some(400)),
            (Fault::client(Stage::RequestHead, Kind::Rejected(Reject::Version)), Some(505)),
            (Fault::client(Stage::RequestHead, Kind::TimedOut), Some(408)),
            (Fault::client(Stage::Request, Kind::Closed), None),
            (Fault::client(Stage::ResponseHead, Kind::Deadline), Some(504)),
            (Fault::upstream(Stage::Connect, Kind::Refused), Some(502)),
            (Fault::upstream(Stage::ResponseHead, Kind::TimedOut), Some(504)),
            (Fault::upstream(Stage::ResponseHead, Kind::Rejected(Reject::StatusLine)), Some(502)),
            (Fault::upstream(Stage::Connect, Kind::Exhausted), Some(503)),
            (Fault::upstream(Stage::Connect, Kind::Busy), Some(503)),
            (Fault::upstream(Stage::Connect, Kind::NoSettings), Some(504)),
            (Fault::upstream(Stage::Connect, Kind::Tls(TlsFault::Expired)), Some(502)),
            (Fault::upstream(Stage::Connect, Kind::Tls(TlsFault::TimedOut)), Some(504)),
        ];
        for (fault, status) in rows {
            assert_eq!(fault.status(), status, "{fault}");
        }
    }

    /// All that a fault can be, each in the error log and in the access log alike.
    #[test]
    fn termination_codes_follow_side_stage_and_kind() {
        use Kind::{
            Broken, Busy, Closed, Deadline, Ended, Exhausted, NoSettings, Refused, Rejected, Reset,
            TimedOut, Unhealthy,
        };
        let expired = Kind::Tls(TlsFault::Expired);
        let stages = [
            (Stage::RequestHead, 'H'),
            (Stage::Connect, 'N'),
            (Stage::Request, 'Q'),
            (Stage::ResponseHead, 'A'),
            (Stage::ResponseBody, 'B'),
        ];
        let enders = [
            (Side::Client, vec![Closed, Reset, Broken, Refused, Unhealthy, Deadline], 'C'),
            (Side::Client, vec![TimedOut], 'c'),
            (
                Side::Upstream,
                vec![Closed, Reset, Broken, Refused, Ended, Busy, Unhealthy, expired],
                'U',
            ),
            (Side::Upstream, vec![TimedOut, NoSettings, Kind::Tls(TlsFault::TimedOut)], 'u'),
            (Side::Client, vec![Rejected(Reject::BareLf)], 'R'),
            (Side::Upstream, vec![Rejected(Reject::StatusLine)], 'R'),
            (Side::Client, vec![Exhausted], 'L'),
            (Side::Upstream, vec![Exhausted], 'L'),
            (Side::Local, vec![Closed, TimedOut, Rejected(Reject::BareLf), Exhausted], 'L'),
        ];
        for (side, kinds, first) in enders {
            for kind in kinds {
                for (stage, second) in stages {
                    let fault = Fault { side, stage, kind, errno: None };
                    let code = format!("{first}{second}");
                    assert_eq!(fault.termination().to_string(), code, "{fault:?}");
                    assert_eq!(fault.to_string(), format!("{} ({code})", fault.phrase()));
                }
                let tunnel = tunnel_termination(side, kind).to_string();
                assert_eq!(tunnel, format!("{first}T"), "{side:?} {kind:?}");
            }
        }
    }

    #[test]
    fn only_the_upstream_side_is_blamed() {
        assert!(Fault::upstream(Stage::Connect, Kind::Refused).blames_endpoint());
        assert!(!Fault::upstream(Stage::Connect, Kind::Exhausted).blames_endpoint());
        assert!(!Fault::upstream(Stage::Connect, Kind::Busy).blames_endpoint());
        assert!(!Fault::client(Stage::ResponseBody, Kind::Broken).blames_endpoint());
        let refused = |reject| Fault::upstream(Stage::ResponseHead, Kind::Rejected(reject));
        assert!(!refused(Reject::HeadTooLarge).blames_endpoint());
        assert!(refused(Reject::StatusLine).blames_endpoint());
    }

    #[test]
    fn a_request_that_may_have_arrived_is_repeated_only_if_idempotent() {
        let closed = Fault::upstream(Stage::ResponseHead, Kind::Closed);
        let slow = Fault::upstream(Stage::ResponseHead, Kind::TimedOut);
        let refused = Fault::upstream(Stage::Connect, Kind::Refused);
        let rows = [
            (refused, Progress::Unsent, false, true),
            (closed, Progress::Unanswered, true, true),
            (closed, Progress::Unanswered, false, false),
            (closed, Progress::Underway, true, false),
            (slow, Progress::Unanswered, true, true),
            (slow, Progress::Unanswered, false, false),
            (Fault::client(Stage::Request, Kind::Closed), Progress::Unsent, true, false),
        ];
        for (fault, progress, idempotent, retry) in rows {
            assert_eq!(fault.retryable(progress, idempotent), retry, "{fault} {progress:?}");
        }
    }

    #[test]
    fn an_error_of_the_system_is_named() {
        let rows = [(libc::ECONNREFUSED, "ECONNREFUSED"), (libc::EBADMSG, "errno 74")];
        for (number, name) in rows {
            assert_eq!(Errno::of(number).map(|errno| errno.to_string()).as_deref(), Some(name));
        }
        assert_eq!((Errno::of(0), Errno::of(-1), Errno::of(256)), (None, None, None));
    }

    #[test]
    fn running_out_of_descriptors_is_a_local_matter() {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        assert_eq!(Fault::upstream(Stage::Connect, Kind::of(&error)).side, Side::Local);
    }
}
