//! What clients are told where no endpoint answers.

use super::admission::NotAdmitted;
use crate::balance::NoneLeft;
use crate::fault::Fault;
use crate::filters::reply::LocalReply;

/// Seconds a client is asked to wait when every endpoint is down: the interval of the checks.
const RETRY_AFTER: u32 = 1;

/// What a client is told whose request gets no endpoint, after `last` has ended the last attempt if there was one.
pub(super) fn no_endpoint(why: NotAdmitted, last: Option<Fault>) -> LocalReply {
    match (last, why) {
        (Some(fault), _) => after_fault(fault, fault.status().unwrap_or(502)),
        (None, NotAdmitted::None(NoneLeft::AllDown)) => {
            unavailable("every endpoint of this route is down")
        }
        (None, NotAdmitted::None(NoneLeft::AllDrained)) => {
            unavailable("every endpoint of this route has been taken out of service")
        }
        (None, NotAdmitted::None(NoneLeft::AllTried)) => {
            LocalReply::new(502, "no endpoint left to try")
        }
        (
            None,
            NotAdmitted::None(NoneLeft::AllFull)
            | NotAdmitted::Shed(_)
            | NotAdmitted::ClientLeft(_),
        ) => unavailable("every endpoint of this route is busy"),
    }
}

/// A 503, which may soon be over.
pub(super) fn unavailable(phrase: &'static str) -> LocalReply {
    LocalReply::new(503, phrase).with_retry_after(RETRY_AFTER)
}

/// What this machine or an endpoint is out of may soon be there again.
pub(super) fn after_fault(fault: Fault, status: u16) -> LocalReply {
    match status {
        503 => unavailable(fault.phrase()),
        _ => LocalReply::new(status, fault.phrase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Kind, Side, Stage};
    use crate::shed::Shed;

    #[test]
    fn every_503_says_when_to_retry() {
        let local = Fault::upstream(Stage::Connect, Kind::Exhausted);
        assert_eq!(local.side, Side::Local);
        for none in [NoneLeft::AllDown, NoneLeft::AllDrained, NoneLeft::AllTried] {
            let reply = no_endpoint(NotAdmitted::None(none), Some(local));
            assert_eq!((reply.status(), reply.retry_after()), (503, Some(RETRY_AFTER)), "{none:?}");
        }
        let refused = Fault::upstream(Stage::Connect, Kind::Refused);
        let reply = no_endpoint(NotAdmitted::None(NoneLeft::AllTried), Some(refused));
        assert_eq!((reply.status(), reply.retry_after()), (502, None));
        for shed in Shed::ALL {
            let reply = no_endpoint(NotAdmitted::Shed(shed), None);
            assert_eq!((reply.status(), reply.retry_after()), (503, Some(RETRY_AFTER)), "{shed:?}");
        }
    }
}
