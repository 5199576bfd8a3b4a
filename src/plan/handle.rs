//! The plan in force on one worker, as its sessions reach it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::Plan;
use super::context::Services;
use crate::drain::Phase;
use crate::net::hand_off::{Barred, Departure, Exit};
use crate::net::stream::Stream;

/// The services of one worker under the plan that is in force now. A session takes them anew for
/// each request, and keeps those it has until that has ended.
pub struct Current {
    services: RefCell<Rc<Services>>,
    exit: RefCell<Option<Rc<Exit>>>,
}

impl Current {
    /// These, to begin with.
    pub fn new(services: Rc<Services>) -> Rc<Self> {
        Rc::new(Self { services: RefCell::new(services), exit: RefCell::new(None) })
    }

    /// Those in force.
    pub fn get(&self) -> Rc<Services> {
        Rc::clone(&self.services.borrow())
    }

    /// Puts another plan in force.
    pub fn adopt(&self, plan: Arc<Plan>) {
        let next = self.get().succeeded_by(plan);
        self.services.replace(next);
    }

    /// From now on connections that rest leave by this way.
    pub fn open_exit(&self, exit: Exit) {
        self.exit.replace(Some(Rc::new(exit)));
        self.get().drain.advance(Phase::Leaving);
    }

    /// Sends a client's connection out, if there is a way. Where there is none any more, what is
    /// left is finished here.
    pub async fn let_go(&self, stream: &Stream, client: &Departure) -> Result<(), Barred> {
        let exit = self.exit.borrow().clone().ok_or(Barred)?;
        let left = match stream.descriptor() {
            Some(descriptor) => exit.leave(client, descriptor).await,
            None => Err(Barred),
        };
        let drain = &self.get().drain;
        if left.is_err() && drain.phase() == Phase::Leaving {
            drain.advance(Phase::Draining);
        }
        left
    }

    /// Sends the idle connections to endpoints out.
    pub async fn let_pools_go(&self) {
        let Some(exit) = self.exit.borrow().clone() else { return };
        let services = self.get();
        for (upstream, share) in services.plan.upstreams.iter().zip(&services.shares) {
            for (endpoint, pool) in upstream.endpoints.iter().zip(&share.pools) {
                let leases = pool.borrow_mut().take(Instant::now());
                for lease in leases {
                    let departure = Departure::Idle {
                        upstream: upstream.name.to_string(),
                        address: endpoint.address.to_string(),
                        carried: lease.carried,
                    };
                    let Some(descriptor) = lease.stream.descriptor() else { continue };
                    if exit.leave(&departure, descriptor).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
