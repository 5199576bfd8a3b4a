//! What must hold of a connection between any two steps, whatever its peer and its streams do.
#![expect(clippy::missing_panics_doc, reason = "a panic is the finding")]

use super::connection::{Connection, Role};
use super::stream::Receiving;

impl Connection {
    /// No credit has come from nowhere or gone there: what the peer may send, what has come and not been taken,
    /// and what has not been returned are together what was granted. There are no more streams, whatever has
    /// become of them, than a client may have.
    pub fn check(&self) {
        let granted = self.credit.window().bytes() + i64::from(self.credit.unreturned());
        assert_eq!(granted, i64::from(self.credit.target()), "credit of the connection");
        for (_, stream) in &self.streams {
            if stream.receiving == Receiving::Reset {
                continue;
            }
            let credit = &stream.credit;
            let queued = i64::try_from(stream.queue.len()).unwrap_or(i64::MAX);
            let granted = credit.window().bytes() + queued + i64::from(credit.unreturned());
            assert_eq!(granted, i64::from(credit.target()), "credit of stream {}", stream.id);
        }
        assert_eq!(self.streams.len(), self.ids.len(), "streams that are known by their numbers");
        let most = self.limits.streams_max as usize;
        assert!(
            self.role == Role::Client || self.streams.len() <= most,
            "more than {most} streams"
        );
    }
}
