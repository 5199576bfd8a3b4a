//! Moving bytes through user space, and knowing at any time which end is being waited for.

use std::cell::Cell;
use std::io;

use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::net::deadline::Activity;
use crate::net::splice::{self, Filled};
use crate::net::stream::{ReadHalf, WriteHalf};

/// What has come at once, in bytes, when more is likely to come than a read takes; little enough
/// for a simulation in one.
const BULK_BYTES: usize = if cfg!(any(test, fuzzing)) { 8 } else { 32 * 1024 };

/// What has come at once when a copy costs less than splicing.
const TRICKLE_BYTES: usize = if cfg!(any(test, fuzzing)) { 4 } else { 4 * 1024 };

/// One end of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where the bytes come from.
    Source,
    /// Where they go.
    Sink,
}

/// Which end broke, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The end.
    pub end: End,
    /// How it broke.
    pub kind: Kind,
}

/// What one direction has done so far.
pub struct Meter<'a> {
    activity: &'a Activity,
    waits_for: Cell<End>,
    bytes: Cell<u64>,
    unseen: Cell<u64>,
}

impl<'a> Meter<'a> {
    /// Nothing yet. Both directions of an exchange keep the same `activity` going.
    pub fn new(activity: &'a Activity) -> Self {
        let (waits_for, bytes, unseen) = (Cell::new(End::Sink), Cell::new(0), Cell::new(0));
        Self { activity, waits_for, bytes, unseen }
    }

    /// The end that was being waited for when the work was last left.
    pub fn waits_for(&self) -> End {
        self.waits_for.get()
    }

    /// Something has happened that is as good as bytes.
    pub fn touch(&self) {
        self.activity.touch();
    }

    /// Bytes written, seen or not.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Bytes among them that were spliced.
    pub fn unseen(&self) -> u64 {
        self.unseen.get()
    }

    /// Reads once into `buffer`, which must not be full; 0 is the end.
    pub async fn read(
        &self,
        from: &mut ReadHalf<'_>,
        buffer: &mut Buffer,
    ) -> Result<usize, Broken> {
        self.waits_for.set(End::Source);
        let read = from.read(buffer).await;
        let count = read.map_err(|error| Broken { end: End::Source, kind: Kind::of(&error) })?;
        self.activity.touch();
        Ok(count)
    }

    /// Writes all of `bytes`.
    pub async fn write(&self, to: &mut WriteHalf<'_>, mut bytes: &[u8]) -> Result<(), Broken> {
        self.waits_for.set(End::Sink);
        while !bytes.is_empty() {
            let written = to.write(bytes).await;
            let count =
                written.map_err(|error| Broken { end: End::Sink, kind: Kind::of(&error) })?;
            if count == 0 {
                return Err(Broken { end: End::Sink, kind: Kind::Closed });
            }
            bytes = &bytes[count..];
            self.bytes.set(self.bytes.get() + count as u64);
            self.activity.touch();
        }
        Ok(())
    }

    /// Waits for bytes and passes up to `most` of them on unseen; 0 is the end. `on_taken` is told
    /// how many have left `from`, whatever becomes of them then. `None` if they must be read.
    pub async fn splice(
        &self,
        from: &ReadHalf<'_>,
        to: &WriteHalf<'_>,
        most: usize,
        on_taken: impl FnOnce(usize),
    ) -> Result<Option<usize>, Broken> {
        let broken = |end| move |error: io::Error| Broken { end, kind: Kind::of(&error) };
        self.waits_for.set(End::Source);
        let mut pipe = match splice::fill(from, most).await.map_err(broken(End::Source))? {
            Filled::Pipe(pipe) => pipe,
            Filled::End => return Ok(Some(0)),
            Filled::Unavailable => return Ok(None),
        };
        self.activity.touch();
        let taken = pipe.held();
        on_taken(taken);
        self.waits_for.set(End::Sink);
        while pipe.held() > 0 {
            let count = pipe.drain(to).await.map_err(broken(End::Sink))?;
            if count == 0 {
                return Err(Broken { end: End::Sink, kind: Kind::Closed });
            }
            self.bytes.set(self.bytes.get() + count as u64);
            self.unseen.set(self.unseen.get() + count as u64);
            self.activity.touch();
        }
        Ok(Some(taken))
    }
}

/// How much comes at a time, and so which way of passing it on costs less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Little: a copy is cheaper than three system calls.
    Trickle,
    /// Much: it pays not to touch it.
    Bulk,
}

impl Flow {
    /// After so many bytes have come at once.
    #[must_use]
    pub fn after(self, count: usize) -> Self {
        match count {
            BULK_BYTES.. => Self::Bulk,
            TRICKLE_BYTES.. => self,
            _ => Self::Trickle,
        }
    }
}
