//! Formats entries as log lines, each in the layout it was logged under.

use super::batch::Batch;
use super::date::Dates;
use super::entry::LogEntry;
use super::format::Format;
use super::{combined, json};

/// Formats entries.
pub struct Formatter {
    dates: Dates,
}

impl Default for Formatter {
    fn default() -> Self {
        Self::new()
    }
}

impl Formatter {
    /// A formatter that has not formatted anything yet.
    pub fn new() -> Self {
        Self { dates: Dates::new() }
    }

    /// Appends one line per entry, including the `\n`. A line takes at most six times the bytes of the
    /// client's texts and the configured names, plus about 600 bytes.
    pub fn write_all(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        for entry in batch.entries() {
            self.write(&entry, out);
        }
    }

    fn write(&mut self, entry: &LogEntry<'_>, out: &mut Vec<u8>) {
        let (layout, dates) = (&entry.names.layout, &mut self.dates);
        match (layout.format, &layout.fields) {
            (Format::Combined, None) => combined::write(entry, dates, out),
            (Format::Combined, Some(fields)) => combined::write_chosen(entry, fields, dates, out),
            (Format::Json, None) => json::write(entry, dates, out),
            (Format::Json, Some(fields)) => json::write_chosen(entry, fields, dates, out),
        }
        out.push(b'\n');
    }
}
