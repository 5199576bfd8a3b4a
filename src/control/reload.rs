//! Reloads: another configuration is read, checked whole, and followed by every worker, or refused.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use super::carry_over;
use super::certificate_watch::Renewal;
use super::inbox::{ControlCommand, Outcome, Reloaded};
use super::listeners::{Open, remove_files, settle_redirect};
use super::running::Running;
use super::signals::Signals;
use super::start_error::StartError;
use super::state::ControlState;
use super::systemd::SystemdState;
use crate::config::Config;
use crate::config::describe::{changes, described_but_routes, difference};
use crate::discovery::{Discovery, FIRST_LIMIT};
use crate::id::UpstreamId;
use crate::net::tls::server::ServerTls;
use crate::plan::Plan;
use crate::session::record::log_availability;
use crate::upstream::endpoint::Endpoint;

/// So many changes of a reload are logged one by one: thousands would displace what follows from the log's queue.
const CHANGES_LOGGED_MAX: usize = 200;

/// A configuration that was read again.
pub(super) enum Loaded {
    /// Or why it makes no sense.
    Read(Result<Box<Config>, Vec<String>>),
    /// A signal came first that says to end.
    Interrupted(ControlCommand),
}

/// Reads it on a thread of its own: a file system or a name server may take its time, and a signal
/// to end does not wait for them.
pub(super) fn load(
    next: impl FnOnce() -> Result<Config, Vec<String>> + Send + 'static,
    signals: &Signals,
    discovery: &Discovery,
) -> Loaded {
    signals.tell(SystemdState::Reloading);
    let (done, read) = sync_channel(1);
    let discovery = discovery.clone();
    let reading = thread::Builder::new().name("reload".to_owned());
    if let Err(error) = reading.spawn(move || {
        // It is no longer waited for if a signal has come.
        let _ = done.send(next().map(|mut next| {
            let unanswered = discovery.prepare(&mut next, FIRST_LIMIT);
            next.warnings.extend(unanswered);
            next
        }));
    }) {
        return Loaded::Read(Err(vec![format!("cannot start a thread: {error}")]));
    }
    loop {
        match read.recv_timeout(Duration::from_millis(20)) {
            Ok(next) => return Loaded::Read(next.map(Box::new)),
            Err(RecvTimeoutError::Disconnected) => {
                return Loaded::Read(Err(vec!["reading it has failed".to_owned()]));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(asked) = signals.ending() {
            return Loaded::Interrupted(asked);
        }
    }
}

pub(super) fn preview(running: &Running, next: Result<Box<Config>, Vec<String>>) -> Outcome {
    let next = next?;
    let changes = running.preview(&next).map_err(|error| vec![error.to_string()])?;
    Ok(Reloaded { changes, warnings: next.warnings })
}

pub(super) fn reload(
    running: &mut Running,
    next: Result<Box<Config>, Vec<String>>,
    control_state: &ControlState,
) -> Outcome {
    let known: Vec<_> = running.addresses().cloned().collect();
    let outcome = next.and_then(|next| follow(running, *next));
    // Whoever reads in the log that it is done sees what is in force.
    match &outcome {
        Ok(_) => control_state.follows(running),
        Err(reasons) => control_state.refused(reasons),
    }
    match &outcome {
        Ok(Reloaded { changes, .. }) if changes.is_empty() => {
            log::info!("reloaded: nothing is different");
        }
        Ok(Reloaded { changes, .. }) => {
            for change in changes.iter().take(CHANGES_LOGGED_MAX) {
                log::info!("reload: {change}");
            }
            if let Some(more @ 1..) = changes.len().checked_sub(CHANGES_LOGGED_MAX) {
                log::info!("reload: and {more} more");
            }
            for address in running.addresses().filter(|address| !known.contains(address)) {
                log::info!("listening on {address}");
            }
            let plural = if changes.len() == 1 { "" } else { "s" };
            log::info!("reloaded: {} change{plural}", changes.len());
        }
        Err(reasons) => {
            for reason in reasons {
                log::error!("reload refused, nothing has changed: {reason}");
            }
        }
    }
    outcome
}

/// Puts renewed certificates and ticket keys in force, unless a reload has put something else in force
/// meanwhile; whether what is in force is to be watched afresh.
pub(super) fn renew(running: &mut Running, renewal: Renewal, control_state: &ControlState) -> bool {
    let Renewal { basis, next, read } = renewal;
    if !running.plan().tls.as_ref().is_some_and(|tls| Arc::ptr_eq(tls, &basis)) {
        return false;
    }
    let refuse = |reasons: &[String]| {
        for reason in reasons {
            log::error!("changed certificates refused, the earlier ones stay: {reason}");
        }
        control_state.refused_certificates(Some(reasons));
    };
    if let Some(Err(reasons)) = &read {
        refuse(reasons);
    }
    let Some(next) = next else { return false };
    match running.replace_tls(next) {
        Ok(changes) => {
            for change in &changes {
                log::info!("certificates have changed: {change}");
            }
            control_state.renewed(running.plan(), !changes.is_empty());
            if let Some(Ok(warnings)) = read {
                for warning in warnings {
                    log::warn!("{warning}");
                }
                if control_state.refused_certificates(None) && changes.is_empty() {
                    log::info!("the certificates in force are in their files again");
                }
            }
        }
        Err(error) => refuse(&[error.to_string()]),
    }
    true
}

fn follow(running: &mut Running, next: Config) -> Outcome {
    let (level, warnings) = (next.log_level, next.warnings.clone());
    let changes = running.reload(next).map_err(|error| vec![error.to_string()])?;
    if std::env::var_os("RUST_LOG").is_none() {
        log::set_max_level(level);
    }
    Ok(Reloaded { changes, warnings })
}

impl Running {
    /// What following another configuration would change. Nothing is bound, so whether its
    /// addresses are free is not known.
    pub fn preview(&self, next: &Config) -> Result<Vec<String>, StartError> {
        self.refuse_fixed(next)?;
        Ok(difference(&self.config, next))
    }

    fn refuse_fixed(&self, next: &Config) -> Result<(), StartError> {
        let now = &self.config;
        let rows = [
            (next.threads == now.threads, "threads"),
            (
                next.pid_file == now.pid_file && next.error_log == now.error_log,
                "pid_file or error_log",
            ),
            (next.admin == now.admin, "admin or admin_token_file"),
            (next.access_log == now.access_log, "access_log"),
            (next.otlp == now.otlp, "otlp, otlp_headers or otlp_service"),
        ];
        rows.iter()
            .find(|(stays, _)| !stays)
            .map_or(Ok(()), |(_, what)| Err(StartError::Fixed(what)))
    }

    /// Follows another configuration from now on, and says what that changes. Connections stay,
    /// whatever they are doing; endpoints that are in both keep what is known of them. If it is
    /// refused, nothing has changed.
    pub fn reload(&mut self, mut next: Config) -> Result<Vec<String>, StartError> {
        self.refuse_fixed(&next)?;
        self.workers.refuse_stuck()?;
        let (open, listener_handles) =
            self.listeners.prepare(&next.listeners, Vec::new(), next.threads.get())?;
        self.listeners.refuse_loops(&open, &next.plan)?;
        // Not before it is certain: from here on ejections are counted among its endpoints.
        let plan = Arc::unwrap_or_clone(next.plan);
        next.plan = Arc::new(carry_over::succeed(&self.config.plan, plan, self.tick()));
        settle_redirect(&mut next, &open);
        let changes = difference(&self.config, &next);
        for warning in &next.warnings {
            log::warn!("{warning}");
        }
        self.limiter.set(next.capacity);
        let plan = Arc::clone(&next.plan);
        let is_closed = |old: &&Open| open.iter().all(|new| new.id != old.id);
        remove_files(self.listeners.open.iter().filter(is_closed));
        self.have_adopted(&plan, listener_handles);
        if let Some(checks) = &self.checks {
            checks.adopt(Arc::clone(&next.plan));
        }
        self.listeners.follow(open);
        self.config = next;
        self.log_availability();
        Ok(changes)
    }

    /// Gives an upstream other endpoints, each at an address of its own, without a reload: everything
    /// else stays. Those that it has already keep their connections, their health and their counters;
    /// those that go get no new requests, and what they have under way is finished. Fails if there is
    /// no such upstream.
    pub fn replace_endpoints(
        &mut self,
        upstream: &str,
        endpoints: Vec<Endpoint>,
    ) -> Result<(), StartError> {
        self.workers.refuse_stuck()?;
        let mut ids = (0..).map(UpstreamId::new).zip(&self.config.plan.upstreams);
        let found = ids.find(|(_, known)| *known.name == *upstream).map(|(id, _)| id);
        let id = found.ok_or_else(|| StartError::NoUpstream(upstream.to_owned()))?;
        self.replace_endpoint_sets(carry_over::replace(
            &self.config.plan,
            id,
            endpoints,
            self.tick(),
        ))
    }

    /// Follows the same plan with other sets of endpoints.
    pub(super) fn replace_endpoint_sets(&mut self, plan: Plan) -> Result<(), StartError> {
        self.workers.refuse_stuck()?;
        self.replace_plan(plan)?;
        self.log_availability();
        Ok(())
    }

    /// Shows the clients of TLS listeners something else from their next handshake on, and says what that
    /// changes. Connections stay.
    pub fn replace_tls(&mut self, tls: Arc<ServerTls>) -> Result<Vec<String>, StartError> {
        self.workers.refuse_stuck()?;
        let before = described_but_routes(&self.config);
        self.replace_plan(Plan { tls: Some(tls), ..Plan::clone(&self.config.plan) })?;
        Ok(changes(&before, &described_but_routes(&self.config)))
    }

    /// Follows another plan with the same listeners.
    fn replace_plan(&mut self, plan: Plan) -> Result<(), StartError> {
        let plan = Arc::new(plan);
        let config = &self.config;
        let (_, listener_handles) =
            self.listeners.prepare(&config.listeners, Vec::new(), config.threads.get())?;
        self.have_adopted(&plan, listener_handles);
        if let Some(checks) = &self.checks {
            checks.adopt(Arc::clone(&plan));
        }
        self.config.plan = plan;
        Ok(())
    }

    /// Says of each upstream whether it has anyone to ask, if that is new.
    pub(super) fn log_availability(&self) {
        self.config.plan.upstreams.iter().for_each(|upstream| log_availability(upstream));
    }
}
