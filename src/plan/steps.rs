//! Long work, done in steps.

use tokio::task::yield_now;

/// So many upstreams and endpoints are dealt with in one step, which takes less than a millisecond.
const STEP_MAX: usize = 256;

/// Long work of a worker, in which others have their turn now and then.
#[derive(Default)]
pub(super) struct Steps(usize);

impl Steps {
    /// So much has been done.
    pub(super) async fn took(&mut self, count: usize) {
        self.0 += count;
        if self.0 >= STEP_MAX {
            self.0 = 0;
            yield_now().await;
        }
    }
}
