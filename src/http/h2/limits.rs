//! What a connection may cost.

use super::section::SectionLimits;
use super::settings::OwnSettings;

/// CONTINUATION frames of one field section, whatever they hold.
pub(super) const CONTINUATIONS_MAX: u32 = 32;

/// What the window of a whole connection is, in bytes: streams share it, so it is larger than theirs.
pub const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// What a connection may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Streams of the peer's at a time.
    pub streams_max: u32,
    /// What the window of a stream begins with, in bytes: what a stream whose body nobody takes holds.
    pub window_bytes: u32,
    /// What a field section may cost.
    pub section: SectionLimits,
}

impl ConnectionLimits {
    /// What the peer is told of that.
    pub fn settings(&self) -> OwnSettings {
        OwnSettings {
            streams_max: self.streams_max,
            initial_window: self.window_bytes,
            section_bytes_max: self.section.bytes_max,
        }
    }

    /// How long a header block may be before it is decoded, in bytes. Compression makes it shorter than
    /// what it says: one that is longer than twice that is not worth decoding.
    pub(super) fn block_bytes_max(&self) -> usize {
        2 * self.section.bytes_max
    }
}
