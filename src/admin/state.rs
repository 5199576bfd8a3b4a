//! How an endpoint is doing, why, since when and until when.

use crate::upstream::Upstream;
use crate::upstream::admin_state::Order;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::failures::Met;
use crate::upstream::health::{Condition, Tick};

/// How it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
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

impl State {
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
    pub(crate) state: State,
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
    match endpoint.record.standing.ordered() {
        (Order::Ready, _) => by_health(endpoint, upstream, now),
        (Order::Drained, since) => by_order(State::Drained, "drained by hand", since),
        (Order::Down, since) => by_order(State::Down, "taken down by hand", since),
    }
}

/// Whether it is well, be it drained or not.
pub(crate) fn is_well(endpoint: &Endpoint, now: Tick) -> bool {
    let record = &endpoint.record;
    record.standing.order() != Order::Down && record.health.condition(now) == Condition::Up
}

fn by_health(endpoint: &Endpoint, upstream: &Upstream, now: Tick) -> Told {
    let failures = &endpoint.record.failures;
    let last = |met| failures.last().into_iter().find(|failed| failed.met == met);
    let turned = failures.turned();
    match endpoint.record.health.condition(now) {
        Condition::Up => Told { state: State::Up, why: None, since: turned, until: None },
        Condition::Ejected { since, until, round } => {
            let count = upstream.thresholds.fails_max;
            let mut why = format!("{count} failures in a row, time {round}");
            if let Some(failed) = last(Met::ByRequest) {
                why = format!("{why}; the last: {failed}");
            }
            Told { state: State::Ejected, why: Some(why), since: Some(since), until: Some(until) }
        }
        Condition::TrialDue => {
            let why = Some("the next request decides whether it comes back".to_owned());
            Told { state: State::Trial, why, since: turned, until: None }
        }
        Condition::Trial { since, until } => {
            let why = Some("a request under way decides whether it comes back".to_owned());
            Told { state: State::Trial, why, since: Some(since), until: Some(until) }
        }
        Condition::Down => {
            let why = last(Met::ByCheck)
                .map_or_else(|| "checks fail".to_owned(), |failed| failed.to_string());
            Told { state: State::Down, why: Some(why), since: turned, until: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::address::Address;
    use crate::fault::{Fault, Kind, Stage};
    use crate::upstream::failures::Failed;
    use crate::upstream::health::{Failure, Verdict};

    #[test]
    fn an_endpoint_says_how_it_is_doing_and_why() {
        let at = Tick::from_millis;
        let address = Address::Unix("/x".into());
        let upstream = Upstream::sample([Endpoint::new(address, NonZeroU16::MIN, 1)].into());
        let endpoint = &upstream.endpoints[0];
        let record = &endpoint.record;
        let state = |now| told(endpoint, &upstream, at(now)).state;
        assert_eq!((state(1), is_well(endpoint, at(1))), (State::Up, true));
        let fault = Fault::upstream(Stage::ResponseHead, Kind::Reset);
        record.failures.add(Failed { at: at(1), met: Met::ByRequest, fault });
        for _ in 0..3 {
            record.health.on_failure(at(1), at(1), Failure::Exchange, &upstream.thresholds);
        }
        let ejected = told(endpoint, &upstream, at(2));
        assert_eq!((ejected.since, ejected.until), (Some(at(1)), Some(at(5001))));
        assert!(ejected.why.unwrap().ends_with("(ECONNRESET)"));
        assert_eq!(
            (state(2), state(5001), is_well(endpoint, at(2))),
            (State::Ejected, State::Trial, false)
        );
        record.standing.set(Order::Drained, at(7));
        assert_eq!(state(8), State::Drained);
        record.standing.set(Order::Ready, at(9));
        record.health.on_check(Verdict::Down, at(9));
        assert_eq!(state(10), State::Down);
        record.health.on_check(Verdict::Up, at(11));
        record.standing.set(Order::Drained, at(12));
        assert!(is_well(endpoint, at(13)));
        record.standing.set(Order::Down, at(14));
        assert_eq!((state(15), is_well(endpoint, at(15))), (State::Down, false));
    }
}
