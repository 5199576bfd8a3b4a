//! How an endpoint is doing, why, since when and until when.

use crate::upstream::Upstream;
use crate::upstream::admin_state::AdminMode;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::failures::Met;
use crate::upstream::health::{HealthStatus, Tick};

/// How it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointState {
    /// It gets requests.
    Up,
    /// It failed requests, and gets none for a while.
    Ejected,
    /// It gets a single one.
    Trial,
    /// The checks fail, or somebody has taken it out.
    Down,
    /// Somebody has taken it out gently.
    Drained,
}

impl EndpointState {
    /// All there are.
    pub(crate) const ALL: [Self; 5] =
        [Self::Up, Self::Ejected, Self::Trial, Self::Down, Self::Drained];

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Ejected => "ejected",
            Self::Trial => "trial",
            Self::Down => "down",
            Self::Drained => "drained",
        }
    }
}

/// The state of an endpoint, and what is to be told of it.
pub(crate) struct Told {
    pub(crate) state: EndpointState,
    pub(crate) why: Option<String>,
    pub(crate) since: Option<Tick>,
    pub(crate) until: Option<Tick>,
}

/// What is to be told of an endpoint at `now`.
pub(crate) fn told(endpoint: &Endpoint, upstream: &Upstream, now: Tick) -> Told {
    let by_order = |state, why: &str, since| Told {
        state,
        why: Some(why.to_owned()),
        since: Some(since),
        until: None,
    };
    match endpoint.record.admin_state.mode_since() {
        (AdminMode::Ready, _) => by_health(endpoint, upstream, now),
        (AdminMode::Drained, since) => by_order(EndpointState::Drained, "drained by hand", since),
        (AdminMode::Down, since) => by_order(EndpointState::Down, "taken down by hand", since),
    }
}

/// Whether it is well, be it drained or not.
pub(crate) fn is_well(endpoint: &Endpoint, now: Tick) -> bool {
    let record = &endpoint.record;
    record.admin_state.mode() != AdminMode::Down && record.health.condition(now) == HealthStatus::Up
}

fn by_health(endpoint: &Endpoint, upstream: &Upstream, now: Tick) -> Told {
    let failures = &endpoint.record.failures;
    let last = |met| failures.last().into_iter().find(|failed| failed.met == met);
    let turned = failures.turned();
    match endpoint.record.health.condition(now) {
        HealthStatus::Up => {
            Told { state: EndpointState::Up, why: None, since: turned, until: None }
        }
        HealthStatus::Ejected { since, until, round } => {
            let count = upstream.thresholds.fails_max;
            let mut why = format!("{count} failures in a row, time {round}");
            if let Some(failed) = last(Met::ByRequest) {
                why = format!("{why}; the last: {failed}");
            }
            Told {
                state: EndpointState::Ejected,
                why: Some(why),
                since: Some(since),
                until: Some(until),
            }
        }
        HealthStatus::TrialDue => {
            let why = Some("the next request decides whether it comes back".to_owned());
            Told { state: EndpointState::Trial, why, since: turned, until: None }
        }
        HealthStatus::Trial { since, until } => {
            let why = Some("a request under way decides whether it comes back".to_owned());
            Told { state: EndpointState::Trial, why, since: Some(since), until: Some(until) }
        }
        HealthStatus::Down => {
            let why = last(Met::ByCheck)
                .map_or_else(|| "checks fail".to_owned(), |failed| failed.to_string());
            Told { state: EndpointState::Down, why: Some(why), since: turned, until: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::address::Address;
    use crate::fault::{Fault, Kind, Stage};
    use crate::upstream::endpoint_set::EndpointSet;
    use crate::upstream::failures::Failed;
    use crate::upstream::health::{CheckVerdict, FailureKind};

    #[test]
    fn an_endpoint_says_how_it_is_doing_and_why() {
        let at = Tick::from_millis;
        let address = Address::Unix("/x".into());
        let upstream =
            Upstream::sample(EndpointSet::new([Endpoint::new(address, NonZeroU16::MIN, 1)]));
        let endpoint = &upstream.endpoints[0];
        let record = &endpoint.record;
        let state = |now| told(endpoint, &upstream, at(now)).state;
        assert_eq!((state(1), is_well(endpoint, at(1))), (EndpointState::Up, true));
        let fault = Fault::upstream(Stage::ResponseHead, Kind::Reset);
        record.failures.add(Failed { at: at(1), met: Met::ByRequest, fault });
        for _ in 0..3 {
            record.health.on_failure(at(1), at(1), FailureKind::Exchange, &upstream.thresholds);
        }
        let ejected = told(endpoint, &upstream, at(2));
        assert_eq!((ejected.since, ejected.until), (Some(at(1)), Some(at(5001))));
        assert!(ejected.why.unwrap().ends_with("(ECONNRESET)"));
        assert_eq!(
            (state(2), state(5001), is_well(endpoint, at(2))),
            (EndpointState::Ejected, EndpointState::Trial, false)
        );
        record.admin_state.set(AdminMode::Drained, at(7));
        assert_eq!(state(8), EndpointState::Drained);
        record.admin_state.set(AdminMode::Ready, at(9));
        record.health.on_check(CheckVerdict::Down, at(9));
        assert_eq!(state(10), EndpointState::Down);
        record.health.on_check(CheckVerdict::Up, at(11));
        record.admin_state.set(AdminMode::Drained, at(12));
        assert!(is_well(endpoint, at(13)));
        record.admin_state.set(AdminMode::Down, at(14));
        assert_eq!((state(15), is_well(endpoint, at(15))), (EndpointState::Down, false));
    }
}
