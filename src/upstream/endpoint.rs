//! One address behind a route.

use std::num::NonZeroU16;

use super::health::Health;
use crate::address::Address;

/// One address requests may be sent to, shared by all workers.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Its share of the requests, 1–1000, relative to the others behind the same route.
    pub weight: NonZeroU16,
    /// Whether it may be sent requests now.
    pub health: Health,
}

impl Endpoint {
    /// An endpoint nothing is held against.
    pub fn new(address: Address, weight: NonZeroU16) -> Self {
        Self { address, weight, health: Health::new() }
    }
}
