//! What all who take part in a world share, and how they take turns.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};

use super::choices::Choices;
use super::ledger::Ledger;
use super::plans::Temper;
use crate::app_protocol::AppProtocol;
use crate::net::deadline::Timer;

/// What all who take part share.
pub(super) struct Shared {
    pub(super) choices: Choices,
    pub(super) temper: Temper,
    /// What each endpoint speaks.
    pub(super) speaks: Vec<AppProtocol>,
    pub(super) ledger: RefCell<Ledger>,
    /// The connections to endpoints.
    pub(super) endpoints: RefCell<Vec<JoinHandle<()>>>,
    /// What each peer that speaks HTTP/2 may send on its connection, as long as that is there.
    pub(super) windows: RefCell<Vec<Option<i64>>>,
}

impl Shared {
    /// The place of a connection's window.
    pub(super) fn window_place(&self) -> usize {
        let mut windows = self.windows.borrow_mut();
        windows.push(None);
        windows.len() - 1
    }

    /// What the window of a connection is now.
    pub(super) fn note_window(&self, place: usize, window: Option<i64>) {
        self.windows.borrow_mut()[place] = window;
    }
}

/// A round of a peer is over. If it `is_busy`, the next begins soon; else it does when `io` is ready.
pub(super) async fn pause(shared: &Shared, is_busy: bool, io: impl Future<Output = ()>) {
    if is_busy {
        let length = shared.choices.of(&[0, 0, 1, 3]);
        // Whether something has come makes no difference.
        let _ = Timer::new().within(Duration::from_millis(length), pin!(io)).await;
    } else {
        io.await;
    }
    yield_now().await;
}
