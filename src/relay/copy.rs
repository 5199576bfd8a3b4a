//! Moving bytes through user space, and knowing at any time which end is being waited for.

use std::cell::Cell;

use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::net::deadline::Activity;
use crate::net::stream::{ReadHalf, WriteHalf};

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
}

impl<'a> Meter<'a> {
    /// Nothing yet. Both directions of an exchange keep the same `activity` going.
    pub fn new(activity: &'a Activity) -> Self {
        Self { activity, waits_for: Cell::new(End::Sink), bytes: Cell::new(0) }
    }

    /// The end that was being waited for when the work was last left.
    pub fn waits_for(&self) -> End {
        self.waits_for.get()
    }

    /// Something has happened that is as good as bytes.
    pub fn touch(&self) {
        self.activity.touch();
    }

    /// Bytes written.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
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
}
