//! Chooses which endpoint of an upstream a request goes to.
//!
//! A [`Picker`] knows which endpoints may be chosen and keeps them in tiers; a
//! [`Balancer`](balancer::Balancer) chooses among those of the first tier that is left, by its policy.
//! Health and commands change the tiers, which is rare: a pick compares one count, and the tiers are
//! assigned again only if it has moved. The endpoint that is picked is looked at once more, so that none
//! that has just failed is sent anything.

pub mod balancer;
pub mod candidate;
mod ceilings;
pub mod custom_choice;
pub mod hash_choice;
pub mod key;
pub mod least_requests;
pub mod least_time;
mod lots;
pub mod pick;
mod picker;
#[cfg(test)]
mod picker_tests;
#[cfg(test)]
mod policy_tests;
pub mod random_choice;
pub mod round_robin;
mod slow_start;
pub mod tried;
pub mod two_choices;

pub use least_time::AttemptOutcome;
pub use pick::{Affinity, NoneLeft, Pick, PickReason, Picked, Standing};
pub use picker::Picker;
