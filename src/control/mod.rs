//! The control thread: starts the workers, checks the endpoints, reloads, and ends it all on a
//! signal.

mod checks;
pub mod demo;
pub mod origin;
mod running;
mod signals;

pub use running::{Running, StartError, start};

use crate::config::{Config, Loader};
use signals::{Asked, Signals};

/// Runs a balancer until a signal ends it. `loader` reads its configuration anew for a reload.
pub fn run(config: Config, loader: &Loader) -> Result<(), StartError> {
    let mut signals = Signals::install().map_err(StartError::Thread)?;
    let mut running = start(config)?;
    for address in running.addresses() {
        log::info!("listening on {address}, {} threads", running.config().threads);
    }
    loop {
        match signals.next() {
            Asked::Reload => reload(&mut running, loader),
            Asked::Drain => break signals.drain(running),
            Asked::EndAtOnce => break end_at_once(&running),
        }
    }
    Ok(())
}

fn end_at_once(running: &Running) {
    log::info!("ending at once");
    running::remove_socket_files(running.addresses());
}

fn reload(running: &mut Running, loader: &Loader) {
    let next = match loader.reload(running.config().threads) {
        Ok(next) => next,
        Err(reasons) => {
            for reason in reasons {
                log::error!("reload refused, nothing has changed: {reason}");
            }
            return;
        }
    };
    match running.reload(next) {
        Ok(changes) if changes.is_empty() => log::info!("reloaded: nothing is different"),
        Ok(changes) => {
            for change in &changes {
                log::info!("reload: {change}");
            }
            log::info!("reloaded: {} changes", changes.len());
        }
        Err(error) => log::error!("reload refused, nothing has changed: {error}"),
    }
}
