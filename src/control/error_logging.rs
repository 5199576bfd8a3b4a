//! Sends what is logged to the error log.

use std::path::Path;

use super::process::Identity;
use super::start_error::StartError;
use crate::log::error_log::ErrorLog;

/// Opens the error log as whom the process is to become, standard error without a path, and logs to it, unless the
/// program has a logger of its own already. What a reload may change is left to `log::set_max_level`, unless
/// `RUST_LOG` has the say.
pub fn log_to(
    path: Option<&Path>,
    level: log::LevelFilter,
    identity: Identity,
) -> Result<ErrorLog, StartError> {
    let opened = identity.open(|| ErrorLog::open(path)).map_err(|error| {
        let path = path.unwrap_or(Path::new("standard error"));
        StartError::File(path.to_owned(), error)
    })?;
    let mut builder = env_logger::Builder::new();
    builder.filter_level(log::LevelFilter::Debug).parse_default_env();
    builder.target(env_logger::Target::Pipe(Box::new(opened.clone())));
    if builder.try_init().is_ok() && std::env::var_os("RUST_LOG").is_none() {
        log::set_max_level(level);
    }
    Ok(opened)
}
