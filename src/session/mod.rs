//! One client connection from its acceptance to its end.

pub mod attempt;
pub mod converse;
pub mod exchange;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod http1;
pub mod record;
pub mod services;
#[cfg(any(test, fuzzing))]
pub mod simulation;

use std::rc::Rc;

use crate::net::listen::Peer;
use crate::net::stream::Stream;
use services::Services;

/// Serves a connection that has just been accepted.
pub async fn serve(stream: Stream, peer: Peer, services: Rc<Services>) {
    http1::serve(stream, peer, services).await;
}
