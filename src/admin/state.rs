//! The state of an endpoint as reported to operators, and the reason for it.

use std::num::NonZeroU8;

use crate::upstream::Upstream;
use crate::upstream::admin_state::AdminMode;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::failures::Met;
use crate::upstream::health::{HealthStatus, Tick};

/// The state of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointState {
    /// It receives requests.
    Up,
    /// It failed requests and receives none for a while.
    Ejected,
    /// It receives a single request, which decides whether it is up again.
    Trial,
    /// Its checks fail, or a command took it down.
    Down,
    /// A command drained it: it finishes its requests but receives no new ones.
    Drained,
}

impl EndpointState {
    /// All states.
    pub(crate) const ALL: [Self; 5] =
        [Self::Up, Self::Ejected, Self::Trial, Self::Down, Self::Drained];

    /// Its name in metrics and status.
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

/// The state of an endpoint, with its reason and times.
pub(crate) struct EndpointReport {
    pub(crate) state: EndpointState,
    pub(crate) why: Option<String>,
    pub(crate) since: Option<Tick>,
    pub(crate) until: Option<Tick>,
}

/// Reports on an endpoint at `now`.
pub(crate) fn report(endpoint: &Endpoint, upstream: &Upstream, now: Tick) -> EndpointReport {
    let by_command = |state, why: &str, since| EndpointReport {
        state,
        why: Some(why.to_owned()),
        since: Some(since),
        until: None,
    };
    match endpoint.record.admin_state.mode_since() {
        (AdminMode::Ready, _) => by_health(endpoint, upstream, now),
        (AdminMode::Drained, since) => by_command(EndpointState::Drained, "drained by hand", since),
        (AdminMode::Down, since) => by_command(EndpointState::Down, "taken down by hand", since),
    }
}

/// Whether it is healthy, even if drained.
pub(crate) fn is_healthy(endpoint: &Endpoint, now: Tick) -> bool {
    let record = &endpoint.record;
    record.admin_state.mode() != AdminMode::Down && record.health.condition(now) == HealthStatus::Up
}

fn by_health(endpoint: &Endpoint, upstream: &Upstream, now: Tick) -> EndpointReport {
    let failures = &endpoint.record.failures;
    let last = |met| failures.last().into_iter().find(|failed| failed.met == met);
    let turned = failures.turned();
    match endpoint.record.health.condition(now) {
        HealthStatus::Up => {
            EndpointReport { state: EndpointState::Up, why: None, since: turned, until: None }
        }
        HealthStatus::Ejected { since, until, round } => {
            let failures = match upstream.thresholds.fails_max.map(NonZeroU8::get) {
                Some(1) => "1 failure".to_owned(),
                Some(count) => format!("{count} consecutive failures"),
                None => "consecutive failures".to_owned(),
            };
            let mut why = format!("{failures}, ejection {round}");
            if let Some(failed) = last(Met::ByRequest) {
                why = format!("{why}; last: {failed}");
            }
            EndpointReport {
                state: EndpointState::Ejected,
                why: Some(why),
                since: Some(since),
                until: Some(until),
            }
        }
        HealthStatus::TrialDue => {
            let why = Some("the next request decides whether it is up again".to_owned());
            EndpointReport { state: EndpointState::Trial, why, since: turned, until: None }
        }
        HealthStatus::Trial { since, until } => {
            let why = Some("a request in progress decides whether it is up again".to_owned());
            EndpointReport {
                state: EndpointState::Trial,
                why,
                since: Some(since),
                until: Some(until),
            }
        }
        HealthStatus::Down => {
            let why = last(Met::ByCheck)
                .map_or_else(|| "checks fail".to_owned(), |failed| failed.to_string());
            EndpointReport {
                state: EndpointState::Down,
                why: Some(why),
                since: turned,
                until: None,
            }
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
    fn an_endpoint_reports_its_state_and_reason() {
        let at = Tick::from_millis;
        let address = Address::Unix("/x".into());
        let upstream =
            Upstream::sample(EndpointSet::new([Endpoint::new(address, NonZeroU16::MIN, 1)]));
        let endpoint = &upstream.endpoints[0];
        let record = &endpoint.record;
        let state = |now| report(endpoint, &upstream, at(now)).state;
        assert_eq!((state(1), is_healthy(endpoint, at(1))), (EndpointState::Up, true));
        let fault = Fault::upstream(Stage::ResponseHead, Kind::Reset);
        record.failures.add(Failed::new(at(1), Met::ByRequest, fault));
        for _ in 0..3 {
            record.health.on_failure(at(1), at(1), FailureKind::Exchange, &upstream.thresholds);
        }
        let ejected = report(endpoint, &upstream, at(2));
        assert_eq!((ejected.since, ejected.until), (Some(at(1)), Some(at(5001))));
        assert!(ejected.why.unwrap().ends_with("(ECONNRESET)"));
        assert_eq!(
            (state(2), state(5001), is_healthy(endpoint, at(2))),
            (EndpointState::Ejected, EndpointState::Trial, false)
        );
        record.admin_state.set(AdminMode::Drained, at(7));
        assert_eq!(state(8), EndpointState::Drained);
        record.admin_state.set(AdminMode::Ready, at(9));
        record.health.on_check(CheckVerdict::Down, at(9));
        assert_eq!(state(10), EndpointState::Down);
        record.health.on_check(CheckVerdict::Up, at(11));
        record.admin_state.set(AdminMode::Drained, at(12));
        assert!(is_healthy(endpoint, at(13)));
        record.admin_state.set(AdminMode::Down, at(14));
        assert_eq!((state(15), is_healthy(endpoint, at(15))), (EndpointState::Down, false));
    }
}
