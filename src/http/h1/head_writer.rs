//! Writes the lines of a head into a buffer.

use std::ops::Range;

use super::framing::Framing;
use crate::buffer::Buffer;
use crate::decimal::{decimal, ipv4};
use crate::http::message::edits::{Edit, Edits, Operation};
use crate::http::message::head::{Field, Fields, RequestHead};
use crate::reject::Reject;

/// Appends to a buffer and remembers whether all of it fitted.
pub(super) struct HeadWriter<'a, 'b> {
    out: &'a mut Buffer,
    full: bool,
    /// The head as it came.
    head: &'b [u8],
    /// Lines of it that stand together and go on unchanged: they are copied at once, which for a browser's
    /// head saves a thousand instructions.
    run: Range<usize>,
}

impl<'a, 'b> HeadWriter<'a, 'b> {
    pub(super) fn new(out: &'a mut Buffer, head: &'b [u8]) -> Self {
        // Has a block leased, so that there is room for the first parts at once.
        out.spare_mut();
        Self { out, full: false, head, run: 0..0 }
    }

    /// Passes a field on as it came.
    #[inline]
    pub(super) fn keep(&mut self, field: &Field<'_>) {
        match field.line() {
            Some(line) if line.start == self.run.end => self.run.end = line.end,
            Some(line) => {
                self.end_run();
                self.run = line;
            }
            None => {
                self.end_run();
                self.field(field.name, field.value);
            }
        }
    }

    /// Has what is written next come after all that was kept.
    #[inline]
    pub(super) fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        if !run.is_empty() {
            self.bytes(&self.head[run]);
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let count = self.out.append(bytes);
        if count < bytes.len() {
            self.out.enlarge();
            self.full |= self.out.append(&bytes[count..]) < bytes.len() - count;
        }
    }

    /// All parts at once: room is asked for once, which is most of what a short part costs.
    #[inline]
    pub(super) fn all(&mut self, parts: &[&[u8]]) {
        let Some(mut room) = self.out.grow(parts.iter().map(|part| part.len()).sum()) else {
            return self.one_by_one(parts);
        };
        for part in parts {
            let (here, rest) = room.split_at_mut(part.len());
            here.copy_from_slice(part);
            room = rest;
        }
    }

    #[cold]
    fn one_by_one(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes(part);
        }
    }

    /// Begins with the first line of the head as it came.
    #[inline]
    pub(super) fn begin(&mut self, line: Range<usize>) {
        self.run = line;
    }

    pub(super) fn request_line(&mut self, head: &RequestHead<'_, '_>, edits: &Edits<'_>) {
        if let (Some(line), None) = (head.fields.first_line(), edits.path()) {
            return self.begin(line);
        }
        let method = if head.protocol.is_some() { "GET" } else { head.method };
        let (method, target) = (method.as_bytes(), head.target.as_bytes());
        match edits.path() {
            None => {
                let slash: &[u8] = if target.starts_with(b"?") { b" /" } else { b" " };
                self.all(&[method, slash, target, b" HTTP/1.1\r\n"]);
            }
            Some([first, second]) => {
                let query = head.query().as_bytes();
                self.all(&[method, b" ", first, second, query, b" HTTP/1.1\r\n"]);
            }
        }
    }

    #[inline]
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        self.all(&[name, b": ", value, b"\r\n"]);
    }

    /// What is to be said besides what the sender wrote in `fields`.
    pub(super) fn edits(&mut self, edits: &Edits<'_>, fields: &Fields<'_, '_>) {
        for edit in edits.iter() {
            match edit.operation {
                Operation::Set | Operation::Add => self.edited(edits, edit),
                Operation::Append => self.appended(edits, edit, fields),
                Operation::Remove => {}
            }
        }
    }

    fn edited(&mut self, edits: &Edits<'_>, edit: &Edit<'_>) {
        if let Some(text) = edits.text_of(edit) {
            return self.field(edit.name.text().as_bytes(), text);
        }
        if let Some(address) = edit.value.ipv4() {
            // In one go: nearly every request has one.
            return self.field(edit.name.text().as_bytes(), &ipv4(address));
        }
        self.all(&[edit.name.text().as_bytes(), b": "]);
        edits.write_value(edit, |part| self.bytes(part));
        self.bytes(b"\r\n");
    }

    fn appended(&mut self, edits: &Edits<'_>, edit: &Edit<'_>, fields: &Fields<'_, '_>) {
        let mut before: [&[u8]; 2] = [edit.name.text().as_bytes(), b": "];
        edits.write_list(edit, fields, |part| {
            self.all(&[before[0], before[1], part]);
            before = [b"", b""];
        });
        if before[0].is_empty() {
            self.bytes(b"\r\n");
        }
    }

    pub(super) fn framing(&mut self, framing: Framing) {
        match framing {
            Framing::Empty | Framing::UntilClose => {}
            Framing::Chunked => self.bytes(b"Transfer-Encoding: chunked\r\n"),
            Framing::Length(length) => {
                self.field(b"Content-Length", &decimal(length));
            }
        }
    }

    pub(super) fn end(mut self) -> Result<(), Reject> {
        self.bytes(b"\r\n");
        if self.full { Err(Reject::HeadTooLarge) } else { Ok(()) }
    }
}
