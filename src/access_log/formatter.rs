//! Formats entries as log lines.

use super::batch::Batch;
use super::date::Dates;
use super::entry::LogEntry;
use super::format::Format;
use super::{combined, json};

/// Formats entries in one [`Format`].
pub struct Formatter {
    format: Format,
    dates: Dates,
}

impl Formatter {
    /// A formatter for `format`.
    pub fn new(format: Format) -> Self {
        Self { format, dates: Dates::new() }
    }

    /// Appends one line per entry, including the `\n`. A line takes at most six times the bytes of the
    /// client's texts and the configured names, plus about 600 bytes.
    pub fn write_all(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        for entry in batch.entries() {
            self.write(&entry, out);
        }
    }

    fn write(&mut self, entry: &LogEntry<'_>, out: &mut Vec<u8>) {
        match self.format {
            Format::Combined => combined::write(entry, &mut self.dates, out),
            Format::Json => json::write(entry, &mut self.dates, out),
        }
        out.push(b'\n');
    }
}
