//! The worker threads, seen from the control thread. Nothing waits for a worker without a deadline: one
//! that is stuck must not keep the others, or the end of the process, waiting.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use super::start_error::StartError;
use crate::filters::Filters;
use crate::filters::rules::Rules;
use crate::id::ListenerId;
use crate::log::access_logger::LogNames;
use crate::net::upgrade_socket::Channel;
use crate::plan::Plan;
use crate::plan::shelves::Shelves;
use crate::worker::command::{ListenerHandle, PlanChange, WorkerCommand};
use crate::worker::{self, WorkerSetup};

/// Commands that may wait for a worker.
const COMMANDS_MAX: usize = 16;

/// How long a worker may take to listen when it starts.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long all workers may take to answer: one is at work for milliseconds at a time.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How long workers may take to end once their deadline has passed.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Between two looks for an answer.
const PAUSE: Duration = Duration::from_millis(1);

/// Set when the process is to end at once: workers are no longer waited for.
#[derive(Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What a worker says to a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WorkerAnswer<T> {
    /// It has answered.
    Given(T),
    /// It has ended, as it was told to or by a panic, which has been said.
    Gone,
    /// It has not answered in time. A command that found room is still carried out if it recovers.
    Late,
}

/// A command under way to a worker.
struct Asking<T> {
    /// As long as there is no room for it: a full queue is not a stuck worker.
    unsent: Option<WorkerCommand>,
    answer: Receiver<T>,
}

impl<T> Asking<T> {
    /// What has become of it, if that is known.
    fn look(&mut self, worker: &mpsc::Sender<WorkerCommand>) -> Option<WorkerAnswer<T>> {
        if let Some(command) = self.unsent.take() {
            match worker.try_send(command) {
                Ok(()) => {}
                Err(TrySendError::Closed(_)) => return Some(WorkerAnswer::Gone),
                Err(TrySendError::Full(command)) => {
                    self.unsent = Some(command);
                    return None;
                }
            }
        }
        match self.answer.try_recv() {
            Ok(answer) => Some(WorkerAnswer::Given(answer)),
            Err(TryRecvError::Disconnected) => Some(WorkerAnswer::Gone),
            Err(TryRecvError::Empty) => None,
        }
    }
}

/// Where the workers are told something; a copy leads to the same ones.
#[derive(Clone, Default)]
pub(crate) struct WorkerHandles {
    senders: Vec<mpsc::Sender<WorkerCommand>>,
    interrupt: Interrupt,
}

impl WorkerHandles {
    /// The ends of their queues.
    pub(crate) fn senders(&self) -> &[mpsc::Sender<WorkerCommand>] {
        &self.senders
    }

    /// Tells every worker something, and waits for what they answer: for all together no longer than
    /// `limit`, nor beyond an interrupt. `command` gets the index of a worker and where it answers.
    pub(super) fn ask_workers<T>(
        &self,
        limit: Duration,
        mut command: impl FnMut(usize, SyncSender<T>) -> WorkerCommand,
    ) -> Vec<WorkerAnswer<T>> {
        let ask = |index| {
            let (sender, answer) = sync_channel(1);
            (Asking { unsent: Some(command(index, sender)), answer }, None)
        };
        let mut asked: Vec<(Asking<T>, Option<WorkerAnswer<T>>)> =
            (0..self.senders.len()).map(ask).collect();
        let deadline = Instant::now() + limit;
        loop {
            for ((asking, answer), worker) in asked.iter_mut().zip(&self.senders) {
                if answer.is_none() {
                    *answer = asking.look(worker);
                }
            }
            let all = asked.iter().all(|(_, answer)| answer.is_some());
            if all || self.interrupt.is_set() || Instant::now() >= deadline {
                break;
            }
            thread::sleep(PAUSE);
        }
        asked.into_iter().map(|(_, answer)| answer.unwrap_or(WorkerAnswer::Late)).collect()
    }

    /// The first worker that does not answer within `limit`.
    pub(super) fn stuck(&self, limit: Duration) -> Option<usize> {
        let answers = self.ask_workers(limit, |_, answer| WorkerCommand::Answer(answer));
        answers.iter().position(|answer| *answer == WorkerAnswer::Late)
    }
}

/// The worker threads.
pub(crate) struct Workers {
    pub(super) handles: WorkerHandles,
    main: WorkerMain,
    threads: Vec<JoinHandle<usize>>,
    /// Where they share idle connections to the endpoints of the plan they follow.
    shelves: Shelves,
}

/// What the thread of a worker does.
pub type WorkerMain = Arc<dyn Fn(WorkerSetup) -> usize + Send + Sync>;

/// That of workers whose requests these filters decide about.
pub fn worker_main<F: Filters>(filters: Arc<F>) -> WorkerMain {
    Arc::new(move |setup| worker::run(setup, Arc::clone(&filters)))
}

/// That of workers that know the rules of the configuration only. It is compiled here, with what it calls, so
/// that whoever runs it gets what was optimised together.
#[inline(never)]
pub fn rules_worker() -> WorkerMain {
    worker_main(Arc::new(Rules))
}

impl Workers {
    /// None yet.
    pub(super) fn new(main: WorkerMain) -> Self {
        Self {
            handles: WorkerHandles::default(),
            main,
            threads: Vec::new(),
            shelves: Shelves::default(),
        }
    }

    /// From now on no wait for a worker goes beyond this.
    pub(super) fn interrupted_by(&mut self, interrupt: Interrupt) {
        self.handles.interrupt = interrupt;
    }

    /// Starts one more, and waits until it listens.
    pub(super) fn start(
        &mut self,
        setup: impl FnOnce(SyncSender<io::Result<()>>, mpsc::Receiver<WorkerCommand>) -> WorkerSetup,
    ) -> io::Result<()> {
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (ready, started) = sync_channel(1);
        let setup = setup(ready, commands);
        let name = format!("worker-{}", setup.place.index());
        let main = Arc::clone(&self.main);
        self.threads.push(thread::Builder::new().name(name).spawn(move || main(setup))?);
        started.recv_timeout(START_LIMIT).unwrap_or_else(|error| Err(io::Error::other(error)))?;
        self.handles.senders.push(sender);
        Ok(())
    }

    /// Fails if a worker does not answer.
    pub(super) fn refuse_stuck(&self) -> Result<(), StartError> {
        self.handles.stuck(ANSWER_LIMIT).map_or(Ok(()), |index| Err(StartError::Stuck(index)))
    }

    /// Where so many workers are to share idle connections to the endpoints of a plan.
    pub(super) fn shelves(&mut self, plan: &Plan, workers: usize) -> Shelves {
        self.shelves = self.shelves.succeeded_by(plan, workers);
        self.shelves.clone()
    }

    /// Has every worker follow a plan, with what is logged of it, at these listeners.
    pub(super) fn adopt(
        &mut self,
        (plan, log_names): (&Arc<Plan>, Option<&Arc<LogNames>>),
        listener_handles: Vec<Vec<ListenerHandle>>,
    ) {
        let shelves = self.shelves(plan, self.handles.senders.len());
        let mut listener_handles = listener_handles.into_iter();
        let answers = self.handles.ask_workers(ANSWER_LIMIT, |_, done| {
            let listeners = listener_handles.next().unwrap_or_default();
            let (plan, shelves) = (Arc::clone(plan), shelves.clone());
            let log_names = log_names.cloned();
            WorkerCommand::Adopt(PlanChange { plan, shelves, log_names, listeners, done })
        });
        for (index, answer) in answers.into_iter().enumerate() {
            match answer {
                WorkerAnswer::Given(Ok(())) | WorkerAnswer::Gone => {}
                WorkerAnswer::Given(Err(error)) => {
                    log::error!("worker {index} cannot listen on all that is configured: {error}");
                }
                WorkerAnswer::Late => log::error!("worker {index} has not followed yet"),
            }
        }
    }

    /// Their listening sockets, by the ids of the listeners. A worker that has panicked has taken its
    /// own along.
    pub(super) fn lend(&self) -> io::Result<HashMap<ListenerId, Vec<OwnedFd>>> {
        let mut lent: HashMap<ListenerId, Vec<OwnedFd>> = HashMap::new();
        let answers =
            self.handles.ask_workers(ANSWER_LIMIT, |_, sockets| WorkerCommand::Lend(sockets));
        for (index, answer) in answers.into_iter().enumerate() {
            let sockets = match answer {
                WorkerAnswer::Given(sockets) => sockets?,
                WorkerAnswer::Gone => continue,
                WorkerAnswer::Late => return Err(io::Error::other(StartError::Stuck(index))),
            };
            for (id, socket) in sockets {
                lent.entry(id).or_default().push(socket);
            }
        }
        Ok(lent)
    }

    /// Has them leave the listeners `kept`, and all connections that rest, to another process.
    pub(super) fn hand_over(&self, channel: &Channel, kept: &[ListenerId], deadline: Instant) {
        self.tell(|| match channel.try_clone() {
            Ok(channel) => WorkerCommand::HandOver { channel, kept: kept.to_vec(), deadline },
            Err(error) => {
                log::warn!("connections are not handed over: {error}");
                WorkerCommand::Drain { deadline }
            }
        });
    }

    /// Has them take no more connections and end by then.
    pub(super) fn drain(&self, deadline: Instant) {
        self.tell(|| WorkerCommand::Drain { deadline });
    }

    /// Tells every worker something that has no answer.
    fn tell(&self, mut command: impl FnMut() -> WorkerCommand) {
        let told = self.handles.ask_workers::<()>(ANSWER_LIMIT, |_, _| command());
        // A worker that is gone already has nothing to end.
        for (index, _) in told.iter().enumerate().filter(|(_, told)| **told == WorkerAnswer::Late) {
            log::error!("worker {index} does not take commands: it is stuck");
        }
    }

    /// Waits until every worker has ended, or should have by `deadline`; says how many sessions were
    /// cut.
    pub(super) fn join(mut self, deadline: Instant) -> usize {
        let mut cut = 0;
        while Instant::now() < deadline + END_LIMIT {
            for ended in self.threads.extract_if(.., |thread| thread.is_finished()) {
                match ended.join() {
                    Ok(sessions) => cut += sessions,
                    Err(_) => log::error!("a worker panicked"),
                }
            }
            if self.threads.is_empty() {
                return cut;
            }
            thread::sleep(PAUSE);
        }
        log::error!("{} workers are stuck: ending without them", self.threads.len());
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Handles of workers that do not run, with queues for one command, and those queues.
    fn handles<const N: usize>() -> (WorkerHandles, [mpsc::Receiver<WorkerCommand>; N]) {
        let mut handles = WorkerHandles::default();
        let queues = [(); N].map(|()| {
            let (sender, queue) = mpsc::channel(1);
            handles.senders.push(sender);
            queue
        });
        (handles, queues)
    }

    fn ask(handles: &WorkerHandles, limit: Duration) -> Vec<WorkerAnswer<()>> {
        handles.ask_workers(limit, |_, answer| WorkerCommand::Answer(answer))
    }

    fn answer_all(mut queue: mpsc::Receiver<WorkerCommand>) {
        while let Some(command) = queue.blocking_recv() {
            let WorkerCommand::Answer(answer) = command else { panic!("not asked") };
            let _ = answer.send(());
        }
    }

    #[test]
    fn a_worker_that_is_stuck_is_late_and_keeps_no_other_waiting() {
        let (handles, [stuck, gone, sound]) = handles();
        drop(gone);
        let answering = thread::spawn(move || answer_all(sound));
        let answers = ask(&handles, Duration::from_millis(100));
        assert_eq!(answers, [WorkerAnswer::Late, WorkerAnswer::Gone, WorkerAnswer::Given(())]);
        // Its queue is full by now.
        let answers = ask(&handles, Duration::from_millis(100));
        assert_eq!(answers, [WorkerAnswer::Late, WorkerAnswer::Gone, WorkerAnswer::Given(())]);
        assert_eq!(handles.stuck(Duration::ZERO), Some(0));
        drop((handles, stuck));
        answering.join().unwrap();
    }

    #[test]
    fn a_full_queue_is_no_stuck_worker() {
        let (handles, [queue]) = handles();
        let (sender, _answer) = sync_channel(1);
        handles.senders()[0].try_send(WorkerCommand::Answer(sender)).unwrap();
        let asking = handles.clone();
        let asked = thread::spawn(move || ask(&asking, HOUR));
        drop(handles);
        answer_all(queue);
        assert_eq!(asked.join().unwrap(), [WorkerAnswer::Given(())]);
    }

    #[test]
    fn an_interrupt_ends_the_wait_for_a_stuck_worker() {
        let (handles, [_stuck]) = handles();
        let asking = handles.clone();
        let asked = thread::spawn(move || ask(&asking, HOUR));
        handles.interrupt.set();
        assert_eq!(asked.join().unwrap(), [WorkerAnswer::Late]);
    }
}
