//! A peer's end of a connection: it reads and writes in pieces of any size.

use std::task::{Context, Poll};

use super::choices::Choices;
use crate::net::memory::Memory;

/// What a peer has read and not used, and what it has to write.
pub(super) struct Pipe {
    /// `None` once it has gone away.
    memory: Option<Memory>,
    choices: Choices,
    piece_max: usize,
    pub(super) input: Vec<u8>,
    output: Vec<u8>,
    /// How the other side has ended, if it has.
    end: Option<PipeEnd>,
}

/// How the other side has ended its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PipeEnd {
    Fin,
    Reset,
}

impl Pipe {
    pub(super) fn new(memory: Memory, choices: &Choices, piece_max: usize) -> Self {
        let (memory, choices) = (Some(memory), choices.clone());
        Self { memory, choices, piece_max, input: Vec::new(), output: Vec::new(), end: None }
    }

    /// How the other side has ended, if it has and all it has said was read.
    pub(super) fn end(&self) -> Option<PipeEnd> {
        self.end
    }

    /// How many bytes wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.output.len()
    }

    /// Has `bytes` written.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        if self.memory.is_some() && self.end != Some(PipeEnd::Reset) {
            self.output.extend_from_slice(bytes);
        }
    }

    /// Ends our direction, once everything is written.
    pub(super) fn finish(&self) {
        if let Some(memory) = &self.memory {
            memory.shutdown();
        }
    }

    /// Goes away.
    pub(super) fn leave(&mut self, resets: bool) {
        if let Some(memory) = self.memory.take() {
            memory.set_reset_on_close(resets);
        }
        self.output.clear();
    }

    /// Reads a piece and writes one. Ready if that has changed anything.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(memory) = &self.memory else { return Poll::Ready(()) };
        let mut has_moved = false;
        if !self.output.is_empty() {
            let piece = 1 + self.choices.below(self.output.len().min(self.piece_max));
            match memory.poll_write(cx, &self.output[..piece]) {
                Poll::Pending => {}
                Poll::Ready(written) => {
                    // One that takes no more has its reasons, which are read below.
                    let all = self.output.len();
                    self.output.drain(..written.unwrap_or(all));
                    has_moved = true;
                }
            }
        }
        if self.end.is_none() {
            let mut room = vec![0; 1 + self.choices.below(self.piece_max)];
            match memory.poll_read(cx, &mut room) {
                Poll::Pending => {}
                Poll::Ready(read) => {
                    has_moved = true;
                    match read {
                        Ok(0) => self.end = Some(PipeEnd::Fin),
                        Ok(count) => self.input.extend_from_slice(&room[..count]),
                        Err(_) => self.end = Some(PipeEnd::Reset),
                    }
                }
            }
        }
        if has_moved { Poll::Ready(()) } else { Poll::Pending }
    }
}
