//! What has gone wrong with an endpoint lately, to say why it is out.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::health::Tick;
use crate::fault::{Errno, Fault, Kind};
use crate::http::h2::error_code::ErrorCode;
use crate::tls_fault::TlsFault;

/// How many are kept.
const KEPT_MAX: usize = 8;

/// Who met a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// A request, or a connection that was passed on.
    ByRequest,
    /// The same, and the endpoint is not blamed for it.
    Unblamed,
    /// A check.
    ByCheck,
}

/// What there is to say about a failure besides its phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// This: which names a certificate has, say, or how a check was answered. Nothing that a peer has written
    /// at will.
    Text(Arc<str>),
    /// The endpoint has reset the stream with this code (RFC 9113 §7).
    Reset(ErrorCode),
}

/// One failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// When.
    pub at: Tick,
    /// By whom it was met.
    pub met: Met,
    /// What it was.
    pub fault: Fault,
    /// What else is known of it.
    pub detail: Option<Detail>,
}

impl Failed {
    /// Nothing more is known of it.
    pub fn new(at: Tick, met: Met, fault: Fault) -> Self {
        Self { at, met, fault, detail: None }
    }

    /// The same with what else is known.
    #[must_use]
    pub fn with(self, detail: Option<Detail>) -> Self {
        Self { detail, ..self }
    }

    /// What it was, as the log says it.
    pub fn reason(&self) -> String {
        let detail = self.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
        format!("{}{detail}", self.fault)
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Reset(code) => write!(f, "it reset the stream with {code}"),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = if self.met == Met::ByCheck { "check, " } else { "" };
        write!(f, "{check}{}: {}", self.fault.stage.name(), self.fault.phrase())?;
        // What a connection is cut by in the middle is known by its kind only.
        let is_reset = self.fault.kind == Kind::Reset && self.detail.is_none();
        let reset = || Errno::of(libc::ECONNRESET).filter(|_| is_reset);
        self.fault.errno.or_else(reset).map_or(Ok(()), |errno| write!(f, " ({errno})"))?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))?;
        if self.met == Met::Unblamed { f.write_str("; not blamed for it") } else { Ok(()) }
    }
}

/// The last failures, and when the endpoint last became another one by its health.
///
/// A lock is fine: successful requests never take it.
#[derive(Debug, Default)]
pub struct Failures(Mutex<History>);

#[derive(Debug, Default)]
struct History {
    last: VecDeque<Failed>,
    turned: Option<Tick>,
    /// What was said last about a failure of TLS.
    tls: Option<(TlsFault, Arc<str>)>,
}

impl Failures {
    /// Keeps what there is to say about a failure of TLS, for when that is added.
    pub fn explain(&self, fault: TlsFault, detail: &str) {
        let mut kept = self.kept();
        if kept.tls.as_ref().is_none_or(|known| (known.0, &*known.1) != (fault, detail)) {
            kept.tls = Some((fault, detail.into()));
        }
    }

    /// Keeps one more, and returns it with its detail. A check that fails as the one before did only
    /// makes that newer, and so does what the endpoint is not blamed for: neither must push out what explains
    /// an ejection.
    pub fn add(&self, mut failed: Failed) -> Failed {
        let mut kept = self.kept();
        if let (Kind::Tls(fault), Some((known, detail))) = (failed.fault.kind, &kept.tls)
            && fault == *known
        {
            failed.detail = Some(Detail::Text(Arc::clone(detail)));
        }
        if let Some(newest) = kept.last.front_mut()
            && failed.met != Met::ByRequest
            && (newest.met, newest.fault) == (failed.met, failed.fault)
        {
            newest.clone_from(&failed);
            return failed;
        }
        kept.last.truncate(KEPT_MAX - 1);
        kept.last.push_front(failed.clone());
        failed
    }

    /// The newest first.
    pub fn last(&self) -> Vec<Failed> {
        self.kept().last.iter().cloned().collect()
    }

    /// It is in another state from `at` on.
    pub fn turn(&self, at: Tick) {
        self.kept().turned = Some(at);
    }

    /// Since when it has been in its state, if it was ever in another one.
    pub fn turned(&self) -> Option<Tick> {
        self.kept().turned
    }

    /// The entries are whole even if the lock is poisoned by a panic elsewhere.
    fn kept(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::fault::Stage;

    fn failed(at: u64, met: Met, kind: Kind) -> Failed {
        Failed::new(Tick::from_millis(at), met, Fault::upstream(Stage::Connect, kind))
    }

    #[test]
    fn the_newest_are_kept_and_checks_that_fail_alike_are_one() {
        let failures = Failures::default();
        for at in 0..20 {
            failures.add(failed(at, Met::ByRequest, Kind::Refused));
        }
        for (met, at) in [(Met::ByCheck, 20..40), (Met::Unblamed, 40..60)] {
            at.for_each(|at| drop(failures.add(failed(at, met, Kind::Refused))));
        }
        let at: Vec<u64> = failures.last().iter().map(|failed| failed.at.as_millis()).collect();
        assert_eq!(at, [59, 39, 19, 18, 17, 16, 15, 14]);
        failures.add(failed(60, Met::ByCheck, Kind::TimedOut));
        assert_eq!(failures.last().len(), KEPT_MAX);
        assert_eq!(failures.last()[1].at, Tick::from_millis(59));
    }

    #[test]
    fn a_failure_says_where_what_and_why() {
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let mut one = failed(0, Met::ByCheck, Kind::Refused);
        assert_eq!(one.to_string(), "check, connect: endpoint refused the connection");
        one.fault = one.fault.caused_by(&refused);
        one.met = Met::ByRequest;
        assert_eq!(one.to_string(), "connect: endpoint refused the connection (ECONNREFUSED)");
        let reset = Fault::upstream(Stage::ResponseHead, Kind::Reset);
        one = Failed { fault: reset, ..one };
        let text = "response head: endpoint closed without an answer (ECONNRESET)";
        assert_eq!(one.to_string(), text);
        one = one.with(Some(Detail::Reset(ErrorCode::EnhanceYourCalm)));
        one.met = Met::Unblamed;
        let text = "response head: endpoint closed without an answer: \
                    it reset the stream with ENHANCE_YOUR_CALM; not blamed for it";
        assert_eq!(one.to_string(), text);
    }

    #[test]
    fn a_failure_of_tls_has_the_detail_that_was_told_of_it() {
        let failures = Failures::default();
        let other_name = || failed(0, Met::ByRequest, Kind::Tls(TlsFault::NameMismatch));
        assert_eq!(failures.add(other_name()).detail, None);
        failures.explain(TlsFault::NameMismatch, "it is for a.example");
        let added = failures.add(other_name());
        let text = "connect: certificate is for another name: it is for a.example";
        assert_eq!((added.to_string(), &failures.last()[0]), (text.to_owned(), &added));
        let text = "certificate is for another name (UN): it is for a.example";
        assert_eq!(added.reason(), text);
        let expired = failed(0, Met::ByRequest, Kind::Tls(TlsFault::Expired));
        assert_eq!(failures.add(expired).detail, None);
    }
}
