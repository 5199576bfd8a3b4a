//! Writes entries as lines of one of the formats.

use super::batch::Batch;
use super::date::Dates;
use super::entry::Entry;
use super::format::Format;
use super::{combined, json};

/// Writes lines of one format.
pub struct Formatter {
    format: Format,
    dates: Dates,
}

impl Formatter {
    /// Of this format.
    pub fn new(format: Format) -> Self {
        Self { format, dates: Dates::new() }
    }

    /// Appends a line for each entry of a batch, `\n` included. The longest a line gets is six times what
    /// the client's bytes and the configuration's names take, and some 600 bytes more.
    pub fn write_all(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        for entry in batch.entries() {
            self.write(&entry, out);
        }
    }

    fn write(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        match self.format {
            Format::Combined => combined::write(entry, &mut self.dates, out),
            Format::Json => json::write(entry, &mut self.dates, out),
        }
        out.push(b'\n');
    }
}
