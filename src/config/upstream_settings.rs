//! What a file and the flags say of upstreams besides where their endpoints are.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::balancing::Balancing;
use super::ceiling::CeilingSettings;
use super::check;
use super::ejection;
use super::entries::UpstreamEntry;
use super::mistake::Mistakes;
use super::retries::RetrySettings;
use super::sources::{At, Sources};
use super::upstream_tls::TlsSettings;
use super::value;
use crate::upstream::check::Check;
use crate::upstream::ejections::EjectShare;
use crate::upstream::health::Thresholds;
use crate::upstream::settings::{Keeping, ServerErrors, UpstreamTimeouts};

/// The allowed ejection times; an endpoint that fails for hours should be removed from the configuration.
const FAIL_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);

/// The allowed times of a slow start: below, nobody would notice; above, an endpoint would hardly ever have
/// its share.
const SLOW_START: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// The upper bound for doubled ejection times.
pub(super) const FAIL_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// The largest number of idle connections in a pool.
const IDLE_MAX: usize = 65536;

/// The settings of an upstream, without its endpoints.
#[derive(Clone, Debug)]
pub(super) struct UpstreamSettings {
    pub(super) balancing: Balancing,
    pub(super) slow_start: Duration,
    pub(super) thresholds: Thresholds,
    pub(super) server_errors: ServerErrors,
    pub(super) host_header: Option<Box<str>>,
    pub(super) usual_host: Option<Box<str>>,
    pub(super) timeouts: UpstreamTimeouts,
    pub(super) keeping: Keeping,
    pub(super) check: Check,
    pub(super) ceiling: CeilingSettings,
    pub(super) retrying: RetrySettings,
    pub(super) tls: TlsSettings,
}

impl UpstreamSettings {
    /// The settings for all upstreams, from the flags.
    pub(super) fn of_flags(sources: &Sources, mistakes: &mut Mistakes) -> Self {
        let flags = &sources.flags;
        let mut duration = |flag: &'static str, text: &str| {
            mistakes.note(&sources.place(flag), value::duration(text), Duration::ZERO)
        };
        let timeouts = UpstreamTimeouts {
            connect: duration("connect-timeout", &flags.connect_timeout),
            response: duration("response-timeout", &flags.response_timeout),
            idle: duration("idle-timeout", &flags.idle_timeout),
            tunnel: duration("tunnel-timeout", &flags.tunnel_timeout),
        };
        let idle_timeout =
            duration("upstream-keepalive-timeout", &flags.upstream_keepalive_timeout);
        let idle_max = value::number(&flags.max_idle, 0, IDLE_MAX);
        let fail_timeout = value::duration_within(&flags.fail_timeout, &FAIL_TIMEOUT);
        let interval = check::interval(&flags.check_interval);
        let tls = TlsSettings::of_flags(sources, mistakes);
        let balancing = Balancing::of_flags(sources, mistakes);
        let place = |flag| sources.place(flag);
        let fails = ejection::fails_max(&flags.max_fails);
        let share = ejection::eject_max(&flags.eject_max);
        let thresholds = Thresholds {
            fails_max: mistakes.note(&place("max-fails"), fails, None),
            fail_timeout: mistakes.note(&place("fail-timeout"), fail_timeout, Duration::ZERO),
            eject_max: mistakes.note(&place("eject-max"), share, EjectShare::HALF),
            ..Thresholds::default()
        };
        let host = flags.host_header.as_deref().map(host_header).transpose();
        let usual_host = mistakes.note(&place("host-header"), host.map(Option::flatten), None);
        let interval = mistakes.note(&place("check-interval"), interval, Duration::ZERO);
        let check = check::of_flags(sources, interval, mistakes);
        Self {
            balancing,
            slow_start: mistakes.note(
                &place("slow-start"),
                slow_start(&flags.slow_start),
                Duration::ZERO,
            ),
            thresholds,
            server_errors: server_errors(flags.fail_on_5xx),
            host_header: None,
            usual_host,
            timeouts,
            keeping: Keeping {
                idle_max: mistakes.note(&place("max-idle"), idle_max, 0),
                idle_timeout,
            },
            check,
            ceiling: CeilingSettings::of_flags(sources, mistakes),
            retrying: RetrySettings::of_flags(sources, mistakes),
            tls,
        }
    }

    /// These settings, overridden by those of an entry.
    pub(super) fn with(self, entry: &UpstreamEntry, at: &mut At<'_>) -> Self {
        let timeouts = UpstreamTimeouts {
            connect: at.over(
                entry.connect_timeout.as_ref(),
                value::duration,
                self.timeouts.connect,
            ),
            response: at.over(
                entry.response_timeout.as_ref(),
                value::duration,
                self.timeouts.response,
            ),
            idle: at.over(entry.idle_timeout.as_ref(), value::duration, self.timeouts.idle),
            tunnel: at.over(entry.tunnel_timeout.as_ref(), value::duration, self.timeouts.tunnel),
        };
        let idle = |text: &str| value::number(text, 0, IDLE_MAX);
        let kept = self.keeping.idle_timeout;
        let kept = at.over(entry.upstream_keepalive_timeout.as_ref(), value::duration, kept);
        let usual = self.thresholds;
        let out = |text: &str| value::duration_within(text, &FAIL_TIMEOUT);
        Self {
            balancing: self.balancing.with(entry, at),
            slow_start: at.over(entry.slow_start.as_ref(), slow_start, self.slow_start),
            thresholds: Thresholds {
                fails_max: at.over(entry.max_fails.as_ref(), ejection::fails_max, usual.fails_max),
                fail_timeout: at.over(entry.fail_timeout.as_ref(), out, usual.fail_timeout),
                eject_max: at.over(entry.eject_max.as_ref(), ejection::eject_max, usual.eject_max),
                ..usual
            },
            server_errors: entry.fail_on_5xx.map_or(self.server_errors, server_errors),
            host_header: at.over(entry.host_header.as_ref(), host_header, self.host_header),
            usual_host: self.usual_host,
            timeouts,
            keeping: Keeping {
                idle_max: at.over(entry.max_idle.as_ref(), idle, self.keeping.idle_max),
                idle_timeout: kept,
            },
            check: check::of_entry(entry, self.check, at),
            ceiling: self.ceiling.with(entry, at),
            retrying: self.retrying.with(entry, at),
            tls: self.tls.with(entry, at),
        }
    }
}

fn host_header(text: &str) -> Result<Option<Box<str>>, String> {
    value::host_header(text).map(|host| Some(host.into()))
}

/// A time, or zero for `off`.
fn slow_start(text: &str) -> Result<Duration, String> {
    if text == "off" { Ok(Duration::ZERO) } else { value::duration_within(text, &SLOW_START) }
}

fn server_errors(fail: bool) -> ServerErrors {
    if fail { ServerErrors::Failures } else { ServerErrors::Answers }
}
