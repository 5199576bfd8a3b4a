//! Endpoints that were found are put in force.

use std::fmt::Write as _;

use super::carry_over;
use super::running::Running;
use super::start_error::StartError;
use crate::address::Address;
use crate::config::discovery::Listed;
use crate::config::found::{loop_warning, take_loops};
use crate::upstream::endpoint::Endpoint;

/// Endpoints that are named in a line of the log; of a thousand the count says enough.
const SHOWN_MAX: usize = 8;

impl Running {
    /// Gives upstreams the endpoints that were found for them, and says what that changes. One that would have none
    /// any more, or some that do not suit it, keeps those that it has.
    pub(super) fn adopt(&mut self, found: Vec<Listed>) -> Result<Vec<String>, StartError> {
        // Not before it is certain: from there on ejections are counted among the endpoints of another set.
        self.workers.refuse_stuck()?;
        let ours: Vec<Address> = self.addresses().cloned().collect();
        let (mut plan, mut changes) = ((**self.plan()).clone(), Vec::new());
        for (id, endpoints) in found {
            let upstream = plan.upstream(id);
            let name = upstream.name.clone();
            let mut endpoints = match endpoints {
                Ok(endpoints) => endpoints,
                Err(reason) => {
                    log::warn!("upstream {name}: its endpoints stay: {reason}");
                    continue;
                }
            };
            let loops = take_loops(&mut endpoints, &ours);
            let before = &upstream.endpoints;
            if endpoints.is_empty() && !before.is_empty() {
                log::warn!("upstream {name}: nothing was found: its endpoints stay");
                continue;
            }
            let Some(change) = difference(before, &endpoints) else { continue };
            for address in &loops {
                log::warn!("{}", loop_warning(&name, address));
            }
            changes.push(format!("upstream {name}: {change}"));
            plan = carry_over::replace(&plan, id, endpoints, self.tick());
        }
        if !changes.is_empty() {
            self.replace_endpoint_sets(plan)?;
        }
        Ok(changes)
    }
}

/// What distinguishes two lists of endpoints, in words; None if nothing does.
fn difference(before: &[Endpoint], after: &[Endpoint]) -> Option<String> {
    let said = |endpoint: &Endpoint| {
        let Endpoint { address, name, weight, role, scheme, .. } = endpoint;
        (address.clone(), name.clone(), *weight, *role, *scheme)
    };
    if before.iter().map(said).eq(after.iter().map(said)) {
        return None;
    }
    let lacks =
        |list: &[Endpoint], address: &Address| list.iter().all(|known| known.address != *address);
    let missing = |of: &[Endpoint], list: &[Endpoint]| -> Vec<String> {
        let missing = of.iter().filter(|endpoint| lacks(list, &endpoint.address));
        missing.map(ToString::to_string).collect()
    };
    let (come, gone) = (missing(after, before), missing(before, after));
    let plural = if after.len() == 1 { "" } else { "s" };
    let mut text = format!("{} endpoint{plural}", after.len());
    for (what, list) in [("added", come), ("removed", gone)] {
        if !list.is_empty() {
            let _ = write!(text, ", {} {what}: {}", list.len(), shown(&list));
        }
    }
    Some(text)
}

fn shown(list: &[String]) -> String {
    let mut text = list[..list.len().min(SHOWN_MAX)].join(", ");
    if list.len() > SHOWN_MAX {
        text.push_str(", …");
    }
    text
}
