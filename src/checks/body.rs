//! Looks for a text in the body of an answer, as it comes.

use memchr::memmem;

use super::failure::CheckFailure;
use crate::upstream::check::BODY_BYTES_MAX;

/// A text that is looked for, wherever the body is split.
#[derive(Debug)]
pub(super) struct BodySearch<'a> {
    wanted: &'a [u8],
    /// The end of what has come, in which the text may have begun.
    tail: Vec<u8>,
    /// How much may still come, in bytes.
    room: usize,
    is_found: bool,
}

impl<'a> BodySearch<'a> {
    pub(super) fn new(wanted: &'a [u8]) -> Self {
        Self { wanted, tail: Vec::new(), room: BODY_BYTES_MAX, is_found: false }
    }

    /// Takes in what has come, and says whether more of it is needed.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        let count = bytes.len().min(self.room);
        self.room -= count;
        self.tail.extend_from_slice(&bytes[..count]);
        self.is_found |= memmem::find(&self.tail, self.wanted).is_some();
        let kept = self.wanted.len().saturating_sub(1).min(self.tail.len());
        self.tail.drain(..self.tail.len() - kept);
        !self.is_found && self.room > 0
    }

    /// Whether it was there, now that the body has ended, or as much has come as is read.
    pub(super) fn outcome(&self) -> Result<(), CheckFailure> {
        let wanted = String::from_utf8_lossy(self.wanted);
        match (self.is_found, self.room) {
            (true, _) => Ok(()),
            (false, 0) => {
                let kib = BODY_BYTES_MAX / 1024;
                let what = format!("no {wanted:?} in the first {kib} KiB of its body");
                Err(CheckFailure::unhealthy(&what))
            }
            (false, _) => Err(CheckFailure::unhealthy(&format!("no {wanted:?} in its body"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_wherever_the_body_is_split() {
        let body = b"a lot that is not ok, oh no, but here: okay";
        for size in 1..=body.len() {
            for (wanted, is_there) in [(&b"okay"[..], true), (b"oh n", true), (b"okays", false)] {
                let mut search = BodySearch::new(wanted);
                let is_wanting = body.chunks(size).all(|bytes| search.take(bytes));
                assert_eq!((search.outcome().is_ok(), is_wanting), (is_there, !is_there));
            }
        }
    }

    #[test]
    fn what_comes_after_64_kib_is_not_looked_at() {
        for (before, is_there) in [(BODY_BYTES_MAX - 2, true), (BODY_BYTES_MAX - 1, false)] {
            let mut search = BodySearch::new(b"ok");
            let body = [&vec![b'.'; before][..], b"ok."].concat();
            assert!(!body.chunks(1000).all(|bytes| search.take(bytes)));
            assert_eq!(search.outcome().is_ok(), is_there);
        }
    }
}
