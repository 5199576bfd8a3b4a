//! What is asked of a balancer, and what it answers.

use super::tried::Tried;
use crate::id::EndpointId;
use crate::upstream::health::Tick;
use crate::upstream::queue::FreedAt;
use crate::upstream::request_permit::RequestPermit;

/// What an endpoint is picked for.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// When.
    pub now: Tick,
    /// What ties the request to an endpoint.
    pub affinity: Affinity,
    /// What was tried before.
    pub tried: &'a Tried,
    /// Any number, another one each time: for policies that go by chance.
    pub random: u64,
    /// Who asks, where there is a ceiling.
    pub standing: Standing,
}

/// Who asks for an endpoint that has a ceiling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// A newcomer: behind all who wait already.
    #[default]
    Newcomer,
    /// Whoever has its turn in the queue, and knows perhaps where there is room.
    Called(Option<FreedAt>),
}

/// What ties a request to an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// The [hash](crate::hash::hash) of what requests that belong together have in common; a request
    /// without one goes wherever there is room. Only [`Policy::Hash`](crate::upstream::settings::Policy)
    /// looks at it.
    pub key: Option<u64>,
    /// The endpoint that served its client before: taken whatever the policy, as long as it may have
    /// requests.
    pub sticky: Option<EndpointId>,
}

/// Where a request goes.
#[derive(Debug, PartialEq)]
pub struct Picked {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Whether this request decides if an ejected endpoint comes back.
    pub on_trial: bool,
    /// Why this endpoint.
    pub reason: PickReason,
    /// Its permit to be there, if there is a ceiling: to be held for as long as it is.
    pub permit: Option<RequestPermit>,
}

impl Picked {
    /// One that was picked for its room.
    pub(super) fn with_room(endpoint: EndpointId, permit: RequestPermit) -> Self {
        let (reason, permit) = (PickReason::Room, Some(permit));
        Self { endpoint, on_trial: false, reason, permit }
    }
}

/// Why an endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PickReason {
    /// By the policy.
    Policy,
    /// It served this client before.
    Sticky,
    /// No other one that is healthy is left.
    OnlyOne,
    /// It was ejected, and this request decides whether it comes back.
    Trial,
    /// It is a backup, and no primary endpoint is left.
    Backup,
    /// It is ejected, and no endpoint that is not is left.
    Panic,
    /// It has room, and those that the policy would have picked have none.
    Room,
}

impl PickReason {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Sticky => "sticky",
            Self::OnlyOne => "only_one",
            Self::Trial => "trial",
            Self::Backup => "backup",
            Self::Panic => "panic",
            Self::Room => "room",
        }
    }
}

/// Why no endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoneLeft {
    /// None can be asked, and not all of them were taken out by hand: the active checks have found the
    /// others dead, or there are none.
    AllDown,
    /// Every endpoint was taken out by hand.
    AllDrained,
    /// Every endpoint that is not dead has been tried already.
    AllTried,
    /// Every endpoint that could be asked has as many requests as it may have, or others wait for room.
    AllFull,
}
