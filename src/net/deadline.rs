//! Deadlines: one timer per session, armed lazily, whatever the number of waits.
//!
//! A wait that ends before its deadline touches the timer only if the timer would fire too late.
//! At full load that is once per deadline's length and connection, not once per wait.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::num::NonZeroU64;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::task::{self, yield_now};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::upstream::health::Tick;

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Where ticks count from: the start of the process, the same for all threads.
#[derive(Clone, Copy, Debug)]
pub struct Epoch(Instant);

impl Epoch {
    /// Now.
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// So long ago: where another process on this machine has counted from.
    pub fn since(age: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_sub(age).unwrap_or(now))
    }

    /// How long after that a moment is.
    pub fn since_begin(self, at: Instant) -> Duration {
        at.saturating_duration_since(self.0)
    }

    /// The second in which that is; saturates after 136 years.
    pub fn second(self, at: Instant) -> u32 {
        u32::try_from(self.since_begin(at).as_secs()).unwrap_or(u32::MAX)
    }

    /// A moment in half the memory: for what there are many of. One before this is taken to be this.
    pub fn packed(self, at: Instant) -> PackedInstant {
        let nanos = u64::try_from(self.since_begin(at).as_nanos()).unwrap_or(u64::MAX);
        PackedInstant(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// The moment that was packed.
    pub fn unpacked(self, PackedInstant(nanos): PackedInstant) -> Instant {
        let since = Duration::from_nanos(nanos.get() - 1);
        self.0.checked_add(since).unwrap_or(self.0)
    }

    /// A moment, as health counts it: from 1 on, since what has never changed is said to have changed at 0.
    pub fn tick(self, at: Instant) -> Tick {
        let since = at.saturating_duration_since(self.0);
        Tick::from_millis(1 + since.as_secs() * 1000 + u64::from(since.subsec_millis()))
    }
}

/// A moment as nanoseconds from an [`Epoch`] on, and one more: up to 584 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedInstant(NonZeroU64);

/// When bytes last moved: what the deadline of a body or a tunnel counts from.
///
/// The clock is read when that is asked for, which is when there is something to wait for: bytes
/// that move without a wait cost no look at it.
#[derive(Debug)]
pub struct Activity(Cell<Option<Instant>>);

impl Activity {
    /// Just now.
    pub const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// When that was: now, if bytes have moved since it was last asked.
    pub fn last(&self) -> Instant {
        let last = self.0.get().unwrap_or_else(Instant::now);
        self.0.set(Some(last));
        last
    }

    /// Bytes have moved at a moment that is known: a look at the clock takes 50 ns.
    pub fn touch_at(&self, last: Instant) {
        self.0.set(Some(last));
    }

    /// Bytes have moved just now.
    pub fn touch(&self) {
        self.0.set(None);
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self::new()
    }
}

/// Wakes this task again once the others that can go on have done so, and the reactor has been asked for more:
/// the caller has done its share of work.
pub fn poll_others_first(cx: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(cx);
}

/// The one timer of a session, made once there is something to wait for.
pub struct Timer(Option<Alarm>);

/// What wakes a task.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// The task that it wakes, if it is armed.
    wakes: Option<task::Id>,
}

/// How many alarms a thread keeps that nobody needs any more. They stay armed: to have one wake another task costs a
/// fifth of arming it, of which there is one for each of many connections that do not last.
const SPARES_MAX: usize = 64;

thread_local! {
    static SPARES: RefCell<Option<Vec<Alarm>>> = const { RefCell::new(None) };
}

/// Has this thread keep alarms that nobody needs any more, until this is dropped: before the runtime that they are of.
pub struct SpareAlarms(());

impl SpareAlarms {
    /// From now on.
    pub fn keep() -> Self {
        SPARES.set(Some(Vec::with_capacity(SPARES_MAX)));
        Self(())
    }
}

impl Drop for SpareAlarms {
    fn drop(&mut self) {
        drop(SPARES.take());
    }
}

impl Alarm {
    /// Not armed, or armed for somebody else.
    fn spare_or_new() -> Self {
        let spare = SPARES.with_borrow_mut(|spares| spares.as_mut()?.pop());
        spare.unwrap_or_else(|| Self { sleep: Box::pin(sleep_until(Instant::now())), wakes: None })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(alarm) = self.0.take() else { return };
        // One that is not kept is dropped outside of the borrow.
        let _surplus = SPARES.try_with(|spares| match &mut *spares.borrow_mut() {
            Some(spares) if spares.len() < SPARES_MAX => {
                spares.push(alarm);
                None
            }
            _ => Some(alarm),
        });
    }
}

impl Timer {
    /// Not armed.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Does `work` until it ends or `limit` from the first wait has passed.
    pub fn within<T>(
        &mut self,
        limit: Duration,
        work: impl Future<Output = T> + Unpin,
    ) -> impl Future<Output = Result<T, Elapsed>> {
        let mut deadline = None;
        self.until(move || *deadline.get_or_insert_with(|| Instant::now() + limit), work)
    }

    /// Does `work` until it ends or `activity` has ceased for `limit`.
    pub fn while_active<T>(
        &mut self,
        limit: Duration,
        activity: &Activity,
        work: impl Future<Output = T> + Unpin,
    ) -> impl Future<Output = Result<T, Elapsed>> {
        activity.touch();
        self.until(move || activity.last() + limit, work)
    }

    /// Does `work` until it ends or `deadline` has come. The deadline is asked for only when
    /// `work` has to wait, and again when it seems to have come: it may have moved.
    ///
    /// `work` is pinned by the caller: a future that is passed on is copied, and kept twice.
    pub fn until<T>(
        &mut self,
        mut deadline: impl FnMut() -> Instant,
        mut work: impl Future<Output = T> + Unpin,
    ) -> impl Future<Output = Result<T, Elapsed>> {
        poll_fn(move |cx| {
            if let Poll::Ready(output) = Pin::new(&mut work).poll(cx) {
                return Poll::Ready(Ok(output));
            }
            self.poll_passed(cx, &mut deadline).map(|()| Err(Elapsed))
        })
    }

    fn poll_passed(
        &mut self,
        cx: &mut Context<'_>,
        deadline: &mut impl FnMut() -> Instant,
    ) -> Poll<()> {
        let Alarm { sleep, wakes } = self.0.get_or_insert_with(Alarm::spare_or_new);
        loop {
            let due = deadline();
            match wakes {
                // Whether it has fired costs a tenth of another poll.
                Some(task) if sleep.deadline() <= due => {
                    if Some(*task) == task::try_id() && !sleep.is_elapsed() {
                        return Poll::Pending;
                    }
                }
                Some(_) | None => sleep.as_mut().reset(due),
            }
            // Unconstrained: work that never pauses must not keep the clock from being looked at.
            if pin!(unconstrained(sleep.as_mut())).poll(cx).is_pending() {
                *wakes = task::try_id();
                return Poll::Pending;
            }
            *wakes = None;
            if Instant::now() >= due {
                return Poll::Ready(());
            }
        }
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn no_moment_is_the_tick_that_stands_for_never() {
        let epoch = Epoch::begin();
        assert_eq!([0, 2].map(|after| epoch.tick(epoch.0 + after * SECOND).as_millis()), [1, 2001]);
    }

    #[test]
    fn what_was_packed_is_the_same_moment() {
        let epoch = Epoch::begin();
        let centuries = Duration::from_secs(500 * 365 * 86_400);
        let moments = [Duration::ZERO, Duration::from_nanos(1), 3 * SECOND, centuries];
        for at in moments.map(|after| epoch.0 + after) {
            assert_eq!(epoch.unpacked(epoch.packed(at)), at);
        }
        assert_eq!(size_of::<Option<PackedInstant>>(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_wait_ends_at_its_deadline() {
        let (mut timer, start) = (Timer::new(), Instant::now());
        assert_eq!(timer.within(5 * SECOND, pending::<()>()).await, Err(Elapsed));
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_left_armed_by_an_earlier_wait_does_not_end_a_later_one() {
        let (mut timer, start) = (Timer::new(), Instant::now());
        timer.within(2 * SECOND, pin!(tokio::time::sleep(SECOND))).await.unwrap();
        assert_eq!(timer.within(3 * SECOND, pending::<()>()).await, Err(Elapsed));
        assert_eq!(start.elapsed().as_secs(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_deadline_is_not_held_up_by_a_longer_one() {
        let (mut timer, start) = (Timer::new(), Instant::now());
        timer.within(60 * SECOND, pin!(tokio::time::sleep(SECOND))).await.unwrap();
        assert_eq!(timer.within(SECOND, pending::<()>()).await, Err(Elapsed));
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_ends_the_wait_of_each_task_that_it_is_given_to() {
        let waits = async {
            let mut timer = Timer::new();
            let arming = async move {
                timer.within(3 * SECOND, pin!(tokio::time::sleep(SECOND))).await.unwrap();
                timer
            };
            let mut timer = spawn_local(arming).await.unwrap();
            // Armed for a time before this wait ends, by a task that is gone.
            let start = Instant::now();
            let waiting =
                spawn_local(async move { timer.within(5 * SECOND, pending::<()>()).await });
            let waited = Timer::new().within(20 * SECOND, waiting).await;
            assert_eq!(waited.unwrap().unwrap(), Err(Elapsed));
            assert_eq!(start.elapsed().as_secs(), 5);
        };
        LocalSet::new().run_until(waits).await;
    }

    /// How many alarms this thread keeps.
    fn spares() -> usize {
        SPARES.with_borrow(|spares| spares.as_ref().map_or(0, Vec::len))
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_was_armed_by_a_task_that_has_ended_wakes_another_when_its_time_has_come()
    {
        let waits = async {
            let _kept = SpareAlarms::keep();
            for limit in [2, 3, 5] {
                // Leaves its alarm armed for three seconds from now.
                let first = spawn_local(async {
                    let moment = pin!(tokio::time::sleep(SECOND / 2));
                    Timer::new().within(3 * SECOND, moment).await
                });
                first.await.unwrap().unwrap();
                assert_eq!(spares(), 1);
                let start = Instant::now();
                let second = spawn_local(async move {
                    Timer::new().within(limit * SECOND, pending::<()>()).await
                });
                assert_eq!(second.await.unwrap(), Err(Elapsed));
                assert_eq!(start.elapsed().as_secs(), u64::from(limit));
                assert_eq!(spares(), 1);
            }
        };
        LocalSet::new().run_until(waits).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_keeps_so_many_alarms_and_no_more_and_none_in_the_end() {
        let kept = SpareAlarms::keep();
        let many: Vec<_> =
            (0..SPARES_MAX + 9).map(|_| Timer(Some(Alarm::spare_or_new()))).collect();
        drop(many);
        assert_eq!(spares(), SPARES_MAX);
        drop(kept);
        assert!(SPARES.with_borrow(Option::is_none));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_looked_at_again_and_again_fires() {
        let steps = async {
            for _ in 0..9 {
                tokio::time::sleep(SECOND).await;
            }
        };
        let waiting = async move { Timer::new().within(5 * SECOND, pin!(steps)).await };
        let start = Instant::now();
        let waited = LocalSet::new().run_until(async { spawn_local(waiting).await }).await;
        assert_eq!((waited.unwrap(), start.elapsed().as_secs()), (Err(Elapsed), 5));
    }

    #[tokio::test(start_paused = true)]
    async fn activity_puts_the_deadline_off() {
        let (mut timer, start, activity) = (Timer::new(), Instant::now(), Activity::new());
        let work = async {
            for _ in 0..3 {
                tokio::time::sleep(4 * SECOND).await;
                activity.touch();
            }
            pending::<()>().await;
        };
        assert_eq!(timer.while_active(5 * SECOND, &activity, pin!(work)).await, Err(Elapsed));
        assert_eq!(start.elapsed().as_secs(), 17);
    }
}
