//! What all who take part in a world share, and how they take turns.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};

use super::choices::Choices;
use super::ledger::Ledger;
use super::plans::Temper;
use crate::net::deadline::Timer;

/// What all who take part share.
pub(super) struct Shared {
    pub(super) choices: Choices,
    pub(super) temper: Temper,
    pub(super) ledger: RefCell<Ledger>,
    /// The connections to endpoints.
    pub(super) endpoints: RefCell<Vec<JoinHandle<()>>>,
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
