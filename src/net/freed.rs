//! Who waits until a stream of a connection has ended.

use std::cell::Cell;

use tokio::sync::Notify;

/// Tells of streams that have ended, if anybody waits for that.
#[derive(Default)]
pub struct Freed {
    waiting: Cell<usize>,
    notify: Notify,
}

impl Freed {
    /// Waits until a stream has ended, more are allowed, or a connection is gone.
    pub async fn wait(&self) {
        let _waits = Waits::begin(&self.waiting);
        self.notify.notified().await;
    }

    /// There is room for one more.
    pub(super) fn tell(&self) {
        if self.waiting.get() > 0 {
            self.notify.notify_one();
        }
    }

    /// There may be room for many.
    pub(super) fn tell_all(&self) {
        self.notify.notify_waiters();
    }
}

struct Waits<'a>(&'a Cell<usize>);

impl<'a> Waits<'a> {
    fn begin(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn one_that_gives_up_passes_it_on() {
        let freed = Freed::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(freed.wait());
        let mut second = pin!(freed.wait());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        freed.tell();
        drop(first);
        second.await;
        assert_eq!(freed.waiting.get(), 0);
    }
}
