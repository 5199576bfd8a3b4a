//! The control thread: starts the workers, checks the endpoints, reloads, and ends it all on a
//! signal.

pub mod access_log;
mod checks;
pub mod demo;
pub mod error_log;
pub mod origin;
pub mod process;
mod running;
mod signals;

pub use running::{Running, StartError, start};

use std::time::Duration;

use crate::config::{Config, Loader};
use error_log::ErrorLog;
use process::{Daemon, Errors, Identity, PidFile};
use signals::{Asked, Signals};

/// What a balancer is started with besides its configuration.
pub struct Surroundings {
    /// Reads the configuration anew for a reload.
    pub loader: Loader,
    /// Whom to become.
    pub identity: Option<Identity>,
    /// Where it logs, if to a file.
    pub error_log: Option<ErrorLog>,
    /// Whom to tell that it runs, if it is to go on in the background.
    pub daemon: Option<Daemon>,
}

/// Runs a balancer until a signal ends it.
pub fn run(config: Config, around: Surroundings) -> Result<(), StartError> {
    let Surroundings { loader, identity, error_log, daemon } = around;
    let mut signals = Signals::install().map_err(StartError::Thread)?;
    let (path, mut pid_file) = (config.pid_file.clone(), None);
    let mut running = start(config, || {
        if let Some(path) = path {
            // Its place may be one that only whom we are now can write to.
            let written = PidFile::write(&path);
            pid_file = Some(written.map_err(|error| StartError::File(path, error))?);
        }
        identity.map_or(Ok(()), Identity::assume).map_err(StartError::Identity)
    })?;
    for address in running.addresses() {
        log::info!("listening on {address}, {} threads", running.config().threads);
    }
    if let Some(daemon) = daemon {
        let errors = if error_log.is_some() { Errors::Elsewhere } else { Errors::Standard };
        daemon.ready(errors).map_err(StartError::Thread)?;
    }
    loop {
        match signals.next() {
            Asked::Reload => reload(&mut running, &loader),
            Asked::Reopen => {
                error_log.iter().for_each(ErrorLog::reopen);
                running.access_log().inspect(|log| log.reopen());
            }
            Asked::Drain => break signals.drain(running),
            Asked::EndAtOnce => break end_at_once(running),
        }
    }
    drop(pid_file);
    Ok(())
}

fn end_at_once(running: Running) {
    log::info!("ending at once");
    // What is cut has its line in the access log.
    running.drain(Duration::ZERO);
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
    let level = next.log_level;
    let reloaded = running.reload(next);
    if reloaded.is_ok() && std::env::var_os("RUST_LOG").is_none() {
        log::set_max_level(level);
    }
    match reloaded {
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
