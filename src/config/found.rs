//! Endpoints that were found, in a plan.

use std::sync::Arc;

use super::discovery::Listed;
use super::{Config, leads_to};
use crate::address::Address;
use crate::net::interfaces::LocalAddresses;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::endpoint_set::EndpointSet;

impl Config {
    /// Gives the plan the endpoints that were found for it. Returns why some are left out, in words.
    pub fn adopt(&mut self, listed: Vec<Listed>) -> Vec<String> {
        let listeners: Vec<Address> =
            self.listeners.iter().map(|listener| listener.address.clone()).collect();
        let mut told = Vec::new();
        for (id, endpoints) in listed {
            let name = &self.plan.upstream(id).name;
            match endpoints {
                Ok(mut endpoints) => {
                    let loops = take_loops(&mut endpoints, &listeners);
                    told.extend(loops.iter().map(|found| loop_warning(name, found)));
                    let endpoints = EndpointSet::new(endpoints);
                    self.plan = Arc::new(self.plan.with_endpoints(id, endpoints));
                }
                Err(reason) => told.push(format!("upstream {name}: {reason}")),
            }
        }
        told
    }
}

/// Takes out those that lead back to us: what is sent there would come back until there are no connections left.
pub(crate) fn take_loops(endpoints: &mut Vec<Endpoint>, listeners: &[Address]) -> Vec<Address> {
    let (mut loops, local) = (Vec::new(), LocalAddresses::default());
    endpoints.retain(|endpoint| {
        let is_loop = listeners
            .iter()
            .any(|ours| leads_to(&endpoint.address, ours, &|ip| local.contains(ip)));
        if is_loop {
            loops.push(endpoint.address.clone());
        }
        !is_loop
    });
    loops
}

/// What is said of an endpoint that leads back to us.
pub(crate) fn loop_warning(upstream: &str, address: &Address) -> String {
    format!("upstream {upstream}: {address} is where this balancer listens itself: left out")
}
