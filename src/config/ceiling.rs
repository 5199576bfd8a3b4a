//! How many requests may be at each endpoint of an upstream, as it is written.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::entries::{UpstreamEntry, WrittenQueue};
use super::mistake::Mistakes;
use super::sources::{At, Sources};
use super::value;
use crate::upstream::settings::Ceiling;

/// The highest ceiling, and the longest queue.
const REQUESTS_MAX: u32 = 1 << 20;

/// The queue of a ceiling that nothing is said of: it takes a burst, and nobody waits for longer than a user
/// would.
const QUEUE_MAX: usize = 1000;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a request may be told to wait in a queue.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);

/// What is said of the ceiling of an upstream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CeilingSettings {
    requests_max: Option<NonZeroU32>,
    queue_max: Option<usize>,
    queue_timeout: Option<Duration>,
}

impl CeilingSettings {
    /// For all upstreams, from the flags.
    pub(super) fn of_flags(sources: &Sources, mistakes: &mut Mistakes) -> Self {
        let flags = &sources.flags;
        let place = |flag| sources.place(flag);
        let settings = Self {
            requests_max: flags.max_requests.as_ref().and_then(|text| {
                mistakes.note(&place("max-requests"), requests(text).map(Some), None)
            }),
            queue_max: flags
                .queue
                .as_ref()
                .and_then(|text| mistakes.note(&place("queue"), length(text).map(Some), None)),
            queue_timeout: flags.queue_timeout.as_ref().and_then(|text| {
                mistakes.note(&place("queue-timeout"), timeout(text).map(Some), None)
            }),
        };
        let mut entries = sources.files().flat_map(|file| &file.upstreams);
        let has_ceiling =
            flags.max_requests.is_some() || entries.any(|entry| entry.value.max_requests.is_some());
        let queued =
            [("queue", flags.queue.is_some()), ("queue-timeout", flags.queue_timeout.is_some())];
        for (flag, _) in queued.iter().filter(|(_, is_given)| *is_given && !has_ceiling) {
            mistakes.add(&place(flag), NO_CEILING);
        }
        settings
    }

    /// These settings, overridden by those of an entry.
    pub(super) fn with(self, entry: &UpstreamEntry, at: &mut At<'_>) -> Self {
        let given = entry.max_requests.as_ref();
        let requests_max = at.over(given, |text| requests(text).map(Some), self.requests_max);
        let Some(queue) = &entry.queue else { return Self { requests_max, ..self } };
        let fields = match &queue.value {
            WrittenQueue::Full(fields) => fields,
            WrittenQueue::Text(text) => {
                let what =
                    format!("invalid value {text:?}: expected {{max: NUMBER, timeout: TIME}}");
                at.mistakes.add(&at.file.place(queue.referenced), what);
                return Self { requests_max, ..self };
            }
        };
        if given.is_none() && requests_max.is_none() {
            at.mistakes.add(&at.file.place(queue.referenced), NO_CEILING);
        }
        let (max, within) = (fields.max.as_ref(), fields.timeout.as_ref());
        let queue_max = at.over(max, |text| length(text).map(Some), self.queue_max);
        let queue_timeout = at.over(within, |text| timeout(text).map(Some), self.queue_timeout);
        Self { requests_max, queue_max, queue_timeout }
    }

    /// What it comes to.
    pub(super) fn ceiling(self) -> Option<Ceiling> {
        Some(Ceiling {
            requests_max: self.requests_max?,
            queue_max: self.queue_max.unwrap_or(QUEUE_MAX),
            queue_timeout: self.queue_timeout.unwrap_or(QUEUE_TIMEOUT),
        })
    }
}

/// What is no mistake, but may not be what was meant: how long to wait where nothing does.
pub(super) fn warnings(sources: &Sources) -> Vec<String> {
    let flags = &sources.flags;
    let is_none = |text: &str| length(text) == Ok(0);
    let usually_none = flags.queue.as_deref().is_some_and(is_none);
    let mut is_used = !usually_none;
    let mut idle = Vec::new();
    let files = sources.files();
    for (file, entry) in files.flat_map(|file| file.upstreams.iter().map(move |of| (file, of))) {
        let Some(WrittenQueue::Full(fields)) = entry.value.queue.as_ref().map(|of| &of.value)
        else {
            continue;
        };
        let none = fields.max.as_ref().map_or(usually_none, |said| is_none(&said.value));
        is_used |= !none && fields.timeout.is_none();
        idle.extend(fields.timeout.iter().filter(|_| none).map(|said| file.place(said.referenced)));
    }
    if flags.queue_timeout.is_some() && !is_used {
        idle.push(sources.place("queue-timeout"));
    }
    idle.into_iter()
        .map(|place| format!("{place}: has no effect: with a queue of 0 nothing waits"))
        .collect()
}

const NO_CEILING: &str =
    "there is no max_requests, so nothing waits: add max_requests, or leave this out";

fn requests(text: &str) -> Result<NonZeroU32, String> {
    let max = NonZeroU32::new(REQUESTS_MAX).unwrap_or(NonZeroU32::MAX);
    value::number(text, NonZeroU32::MIN, max)
}

fn length(text: &str) -> Result<usize, String> {
    value::number(text, 0, REQUESTS_MAX as usize)
}

fn timeout(text: &str) -> Result<Duration, String> {
    value::duration_within(text, &TIMEOUTS)
}
