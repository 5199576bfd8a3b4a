//! What `-t` tries of a start, without listening, creating a file or disturbing a process that runs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::pid_file;
use super::process::Identity;
use super::start_error::StartError;
use crate::address::Address;
use crate::config::{Config, words::job};
use crate::log::target::LogTarget;
use crate::net::holder::Holder;
use crate::net::{listen, writable};

/// What passes listeners on to a service of a socket unit (systemd.socket(5)).
const SYSTEMD: [&str; 2] = ["systemd", "init"];

/// What becomes of what a running Evener holds.
const GOES_ON: &str = "a reload or an upgrade goes on with that, a second start would be refused";

/// What is known of a start before it is tried.
pub(crate) struct DryRun {
    /// What would keep it from starting.
    pub(crate) refusals: Vec<StartError>,
    /// What may not be what was meant, or would keep another user from starting it.
    pub(crate) warnings: Vec<String>,
}

impl DryRun {
    /// Tries all that a start takes from this machine.
    pub(crate) fn of(config: &Config, identity: Identity) -> Self {
        let mut run = Self { refusals: Vec::new(), warnings: Vec::new() };
        run.listen(config);
        run.write(config, identity);
        run.warnings.extend(missing_sockets(config));
        run
    }

    /// Where it is to listen.
    fn listen(&mut self, config: &Config) {
        let admin = config.admin.iter().map(|admin| &admin.address);
        let listeners = config.listeners.iter().map(|listener| &listener.address);
        let mut held: BTreeMap<Option<Holder>, Vec<String>> = BTreeMap::new();
        for address in listeners.chain(admin) {
            let Err(error) = listen::try_bind(address) else { continue };
            match StartError::binding(address, error) {
                StartError::InUse(address, holder) if passes_on(holder.as_ref()) => {
                    held.entry(holder).or_default().push(address.to_string());
                }
                StartError::Bind(address, error) if is_refused_here(&error) => {
                    let what = "this user may not listen there: start as root, or with \
                                CAP_NET_BIND_SERVICE for ports below 1024";
                    self.warnings.push(format!("{address}: {what}"));
                }
                refused => self.refusals.push(refused),
            }
        }
        for (holder, addresses) in held {
            self.warnings.push(in_use(holder.as_ref(), &addresses.join(", ")));
        }
    }

    /// What it is to write, as whom it becomes; the socket of an upgrade as whom it is.
    fn write(&mut self, config: &Config, identity: Identity) {
        let access_log = match &config.access_log {
            Some(LogTarget::File(path)) => Some(path),
            Some(LogTarget::Stdout) | None => None,
        };
        for log in [access_log, config.error_log.as_ref()].into_iter().flatten() {
            self.tried(log, identity.open(|| writable::file(log)));
        }
        let owner = config.pid_file.as_deref().and_then(pid_file::owner);
        if let (Some(path), Some(pid)) = (&config.pid_file, owner) {
            self.warnings.push(format!(
                "{}: it is the pid file of process {pid}, which is running: {GOES_ON}",
                path.display()
            ));
        }
        if let Some(path) = &config.pid_file {
            self.tried(path, writable::place(path));
        }
        if let Some(path) = &config.upgrade_sock {
            let tried = writable::directory_of(path);
            let is_other =
                fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket());
            let other =
                || io::Error::other("it is there and no socket: remove it or choose another path");
            self.tried(path, if is_other { Err(other()) } else { tried });
        }
    }

    fn tried(&mut self, path: &Path, tried: io::Result<()>) {
        match tried {
            Ok(()) => {}
            Err(error) if is_refused_here(&error) => {
                let path = path.display();
                self.warnings.push(format!("{path}: this user may not write there: {error}"));
            }
            Err(error) => self.refusals.push(StartError::File(path.to_owned(), error)),
        }
    }
}

/// Whether another user could do what this one may not.
fn is_refused_here(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && !geteuid().is_root()
}

/// Whether a process that listens where this one is to may be one that this takes over from. One that cannot be seen
/// may be.
fn passes_on(holder: Option<&Holder>) -> bool {
    let own = std::env::current_exe().ok();
    let own = own.as_deref().and_then(Path::file_name);
    let is_own = |holder: &Holder| own.is_some_and(|own| own == &*holder.program);
    // One with a subcommand, such as `evener origin`, has nothing to pass on.
    let is_balancer = |holder: &Holder| is_own(holder) && job(&holder.words).is_none();
    holder.is_none_or(|holder| is_balancer(holder) || is_systemd(holder))
}

fn is_systemd(holder: &Holder) -> bool {
    holder.pid == 1 && SYSTEMD.contains(&&*holder.program)
}

fn in_use(holder: Option<&Holder>, addresses: &str) -> String {
    match holder {
        Some(holder) if is_systemd(holder) => {
            format!(
                "{addresses}: systemd listens there: it passes that on to a service of its socket"
            )
        }
        Some(holder) => format!("{addresses}: in use by {holder}: {GOES_ON}"),
        None => format!(
            "{addresses}: in use by a process of another user: if it is not the one that this takes \
             over from, stop it or choose another address"
        ),
    }
}

/// The Unix sockets of endpoints that are not there.
fn missing_sockets(config: &Config) -> Vec<String> {
    let endpoints = config.plan.upstreams.iter().flat_map(|upstream| {
        upstream.endpoints.iter().map(|endpoint| (&upstream.name, &endpoint.address))
    });
    let missing = endpoints.filter_map(|(name, address)| {
        let Address::Unix(path) = address else { return None };
        let what = no_socket(path)?;
        Some(format!("upstream {name}: {address}: {what}"))
    });
    missing.collect()
}

fn no_socket(path: &PathBuf) -> Option<String> {
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_socket() => None,
        Ok(_) => Some("it is a file and no socket".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some("there is no such socket: start what listens there, or check the path".to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}
