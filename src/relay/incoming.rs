//! How the next bytes of a body come: into a buffer or, unseen, into a pipe.

use std::io;
use std::task::{Context, Poll, ready};

use crate::buffer::Buffer;
use crate::net::splice::{self, Filled, Pipe};
use crate::net::splice_line;
use crate::net::stream::{ReadHalf, WriteHalf};

/// What is wanted of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRead {
    /// As many bytes as a buffer has room for.
    All,
    /// Up to so many, which must not be 0: what follows a line is to come unseen.
    Line(usize),
    /// Up to so many, which must not be 0, in a pipe; if there is none, as many as a buffer has room for.
    Unseen(usize),
}

/// What has come.
#[derive(Debug)]
pub enum Came {
    /// So many bytes, into the buffer; 0 is the end of the source.
    Read(usize),
    /// The same where no more were wanted than a line has.
    Line(usize),
    /// At least one byte, into this pipe.
    Unseen(Pipe),
}

impl NextRead {
    /// Waits until there is something to read, holding no room for it; then takes what is wanted for `to`. The
    /// buffer must not be full.
    pub fn poll(
        self,
        cx: &mut Context<'_>,
        (from, to): (&ReadHalf<'_>, &WriteHalf<'_>),
        buffer: &mut Buffer,
    ) -> Poll<io::Result<Came>> {
        match self {
            Self::Line(most) => {
                return splice_line::poll_read(from, cx, buffer, most).map_ok(Came::Line);
            }
            Self::Unseen(most) => {
                if let Filled::Pipe(pipe) = ready!(splice::poll_fill(cx, from, to, most))? {
                    return Poll::Ready(Ok(Came::Unseen(pipe)));
                }
            }
            Self::All => {}
        }
        from.poll_read(cx, buffer).map_ok(Came::Read)
    }
}
