//! The control thread: starts the workers, checks the endpoints, and ends it all on a signal.

mod checks;
pub mod demo;
pub mod origin;
mod running;
mod signals;

pub use running::{Running, StartError, start};

use crate::config::Config;

/// Runs a balancer until a signal ends it.
pub fn run(config: &Config) -> Result<(), StartError> {
    let mut signals = signals::Signals::install().map_err(StartError::Thread)?;
    let running = start(config)?;
    for address in &running.addresses {
        log::info!("listening on {address}, {} threads", config.threads);
    }
    signals.end(running, config.drain_timeout);
    Ok(())
}
