//! Who does the work on the streams of a connection, and whose turn it is to send.

use std::collections::VecDeque;
use std::mem;
use std::task::Waker;

use crate::http::h2::connection::StreamKey;

/// What does the work on a stream.
#[derive(Clone, Default)]
struct StreamTask {
    /// Set while it waits.
    waker: Option<Waker>,
    /// Whether the stream is among those that wait for room.
    is_queued: bool,
    /// Whether it is among those that wait to send a head.
    has_head: bool,
}

/// The tasks of the streams of one connection.
#[derive(Default)]
pub(super) struct StreamTasks {
    /// By the key of the stream.
    tasks: Vec<StreamTask>,
    /// Streams that wait for room in the output or for credit of the connection, in the order in which it
    /// will be their turn.
    for_room: VecDeque<StreamKey>,
    /// Streams that wait for room in the output for a head, which takes no credit.
    for_heads: VecDeque<StreamKey>,
}

impl StreamTasks {
    /// The streams that wait for room may have some, in the order in which they have begun to.
    pub(super) fn wake_all_for_room(&mut self) {
        for key in mem::take(&mut self.for_room) {
            self.tasks[key.index()].is_queued = false;
            self.wake(key);
        }
    }

    /// The same of those that wait to send a head.
    pub(super) fn wake_all_for_heads(&mut self) {
        for key in mem::take(&mut self.for_heads) {
            self.tasks[key.index()].has_head = false;
            self.wake(key);
        }
    }

    /// Something has happened to all of them.
    pub(super) fn wake_all(&mut self) {
        self.tasks.iter_mut().filter_map(|task| task.waker.take()).for_each(Waker::wake);
    }

    /// Something has happened to the stream.
    pub(super) fn wake(&mut self, key: StreamKey) {
        if let Some(waker) = self.tasks.get_mut(key.index()).and_then(|task| task.waker.take()) {
            waker.wake();
        }
    }

    /// This task is woken by what happens to the stream.
    pub(super) fn wait(&mut self, key: StreamKey, waker: &Waker) {
        if self.tasks.len() <= key.index() {
            self.tasks.resize(key.index() + 1, StreamTask::default());
        }
        let known = &mut self.tasks[key.index()].waker;
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// The same, and when it is the stream's turn to send.
    pub(super) fn wait_for_room(&mut self, key: StreamKey, waker: &Waker) {
        self.wait(key, waker);
        let task = &mut self.tasks[key.index()];
        if !mem::replace(&mut task.is_queued, true) {
            self.for_room.push_back(key);
        }
    }

    /// The same, and when a head can be sent.
    pub(super) fn wait_for_head(&mut self, key: StreamKey, waker: &Waker) {
        self.wait(key, waker);
        let task = &mut self.tasks[key.index()];
        if !mem::replace(&mut task.has_head, true) {
            self.for_heads.push_back(key);
        }
    }

    /// Nobody does any work on the stream any more.
    pub(super) fn forget(&mut self, key: StreamKey) {
        let Some(task) = self.tasks.get_mut(key.index()) else { return };
        let StreamTask { is_queued, has_head, .. } = mem::take(task);
        if is_queued {
            self.for_room.retain(|waiting| *waiting != key);
        }
        if has_head {
            self.for_heads.retain(|waiting| *waiting != key);
        }
    }
}
