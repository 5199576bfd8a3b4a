//! Active checks: one checker per process, one task per address, verdicts in the endpoint's word.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::num::NonZeroU8;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use crate::address::Address;
use crate::buffer::Buffer;
use crate::config::Config;
use crate::config::value::Check;
use crate::fault::{Fault, Kind, Side, Stage};
use crate::http::head::{self, Scan, Storage};
use crate::net::connect::connect;
use crate::net::deadline::{Activity, Elapsed, Epoch, Timer};
use crate::proxy_protocol::{Header, Version};
use crate::relay::copy::Meter;
use crate::session::attempt::{self, read_head};
use crate::session::record::log_transition;
use crate::session::services::Plan;
use crate::upstream::Traffic;
use crate::upstream::health::{Streak, Verdict};

/// Successes in a row that bring an endpoint back.
const RISE: NonZeroU8 = NonZeroU8::MIN;

/// Failures in a row that take it out: one may be a hiccup.
const FALL: NonZeroU8 = NonZeroU8::new(2).expect("2 is not 0");

/// What is asked, of whom and how.
#[derive(PartialEq, Eq, Hash)]
struct Question {
    address: Address,
    traffic: Traffic,
    announces: Option<Version>,
}

/// A question, and every endpoint it is asked for.
struct Subject {
    question: Question,
    endpoints: Vec<(usize, usize)>,
}

/// What the checks of all addresses have in common.
struct Checker {
    plan: Arc<Plan>,
    check: Check,
    interval: Duration,
    epoch: Epoch,
}

/// Starts the thread of the checks, unless they are off; it ends when the sender is dropped.
pub(super) fn start(
    config: &Config,
    epoch: Epoch,
) -> io::Result<Option<(oneshot::Sender<()>, JoinHandle<()>)>> {
    if config.check == Check::Off {
        return Ok(None);
    }
    let (plan, check) = (Arc::clone(&config.plan), config.check.clone());
    let interval = config.check_interval;
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let thread =
        thread::Builder::new().name("checks".to_owned()).spawn(move || match runtime() {
            Ok(runtime) => runtime.block_on(async {
                let checker = Rc::new(Checker { plan, check, interval, epoch });
                checker.begin();
                // An error is what a dropped sender looks like.
                let _ = stopped.await;
            }),
            Err(error) => log::error!("endpoints are not checked: {error}"),
        })?;
    Ok(Some((stop, thread)))
}

impl Checker {
    fn begin(self: Rc<Self>) {
        let mut subjects: HashMap<Question, Vec<(usize, usize)>> = HashMap::new();
        for (route, upstream) in self.plan.upstreams.iter().enumerate() {
            for (index, endpoint) in upstream.endpoints.iter().enumerate() {
                let (traffic, announces) = (upstream.traffic, upstream.announces);
                let address = endpoint.address.clone();
                let question = Question { address, traffic, announces };
                subjects.entry(question).or_default().push((route, index));
            }
        }
        let count = u32::try_from(subjects.len()).unwrap_or(u32::MAX).max(1);
        for (place, (question, endpoints)) in (0..).zip(subjects) {
            // Spread over the first interval, so that the endpoints are not all asked at once.
            let delay = self.interval / count * place;
            spawn_local(Rc::clone(&self).watch(Subject { question, endpoints }, delay));
        }
    }

    async fn watch(self: Rc<Self>, subject: Subject, delay: Duration) {
        sleep(delay).await;
        let mut streak = Streak::new(RISE, FALL);
        let mut timer = Timer::new();
        loop {
            let begun = Instant::now();
            let result = match timer.within(self.interval, pin!(self.once(&subject.question))).await
            {
                Ok(result) => result,
                Err(Elapsed) => Err(Fault::upstream(Stage::Connect, Kind::TimedOut)),
            };
            self.judge(&subject, &mut streak, result);
            sleep(jittered(self.interval).saturating_sub(begun.elapsed())).await;
        }
    }

    /// Reports the outcome; a fault of this machine says nothing about the endpoint.
    fn judge(&self, subject: &Subject, streak: &mut Streak, result: Result<(), Fault>) {
        if matches!(result, Err(fault) if fault.side == Side::Local) {
            return;
        }
        streak.record(result.is_ok());
        let now = self.epoch.tick(Instant::now());
        let why: &dyn std::fmt::Display = match &result {
            Ok(()) => &"check passed",
            Err(fault) => fault,
        };
        for &(route, endpoint) in &subject.endpoints {
            let upstream = &self.plan.upstreams[route];
            let health = &upstream.endpoints[endpoint].health;
            // Reported even when it has not changed: a success may lift an ejection. A failure
            // that does not turn the verdict must not be reported as a success, though.
            if result.is_ok() == (streak.verdict() == Verdict::Up)
                && let Some(transition) = health.on_check(streak.verdict(), now)
            {
                log_transition(upstream, endpoint, transition, why);
            }
        }
    }

    async fn once(&self, question: &Question) -> Result<(), Fault> {
        let Question { address, traffic, announces } = question;
        let fault = |stage| move |kind| Fault::upstream(stage, kind);
        let mut stream =
            connect(address).await.map_err(|error| fault(Stage::Connect)(Kind::of(&error)))?;
        if let Some(version) = announces {
            let told = attempt::announce(*version, Header::Local, &mut stream).await;
            told.map_err(|error| fault(Stage::Connect)(Kind::of(&error)))?;
        }
        let (Check::Http(path), Traffic::Http) = (&self.check, traffic) else { return Ok(()) };
        let default_host = address.to_string();
        let host = match (&self.plan.host_header, address) {
            (Some(host), _) => host.as_str(),
            (None, Address::Tcp(_)) => default_host.as_str(),
            (None, Address::Unix(_)) => "localhost",
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: evener-check\r\n\
             Connection: close\r\n\r\n"
        );
        let activity = Activity::new();
        let meter = Meter::new(&activity);
        let (mut read, mut write) = stream.split();
        let sent = meter.write(&mut write, request.as_bytes()).await;
        sent.map_err(|broken| fault(Stage::Request)(broken.kind))?;
        let mut input = Buffer::new();
        let limits = &self.plan.limits;
        loop {
            let length = read_head(&mut read, &mut input, Scan::response(), limits, &meter)
                .await
                .map_err(fault(Stage::ResponseHead))?;
            let mut storage = Storage::new();
            let head = head::response(&input.filled()[..length], limits, &mut storage)
                .map_err(|reject| fault(Stage::ResponseHead)(Kind::Rejected(reject)))?;
            match head.status {
                _ if head.is_interim() => {}
                200..400 => return Ok(()),
                _ => return Err(fault(Stage::ResponseHead)(Kind::Unwell)),
            }
            input.consume(length);
        }
    }
}

/// The interval less or more up to a tenth, so that many balancers do not fall into step.
fn jittered(interval: Duration) -> Duration {
    let [random, ..] = RandomState::new().hash_one(0).to_le_bytes();
    interval * 9 / 10 + interval / 5 * u32::from(random) / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_tenth() {
        for _ in 0..100 {
            let wait = jittered(Duration::from_secs(1));
            assert!((900..=1100).contains(&wait.as_millis()), "{wait:?}");
        }
    }
}
