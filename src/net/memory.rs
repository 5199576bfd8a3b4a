//! Connections that exist in memory only, and behave as TCP does on Linux: what simulations run on.
//!
//! Bytes are read in the pieces they were written in. A peer that goes away leaves an end
//! what it wrote, or a reset if it had not read everything; what is written to it then is taken
//! and answered with a reset.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::delivery::Delivery;
use crate::address::Address;

/// One end of a connection.
#[derive(Debug)]
pub struct Memory {
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    pieces: VecDeque<Vec<u8>>,
    capacity: usize,
    /// How many bytes have been written, taken or not.
    written: u64,
    /// All bytes that the reading side's kernel has taken.
    history: Vec<u8>,
    /// For each write: how many bytes had been taken before it, this way and the other.
    writes: Vec<(usize, usize)>,
    end: Option<MemoryEnd>,
    /// The reading side has gone away.
    is_orphaned: bool,
    /// It did so before the writing side had ended.
    was_left: bool,
    resets_on_close: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryEnd {
    /// In order.
    Fin,
    /// By a reset.
    Reset,
}

impl Pipe {
    fn held(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    fn finish(&mut self, end: MemoryEnd) {
        if self.end != Some(MemoryEnd::Reset) {
            self.end = Some(end);
        }
        self.wake();
    }

    fn wake(&mut self) {
        let waiting = [self.reader.take(), self.writer.take()];
        waiting.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Memory {
    /// The two ends of a connection that holds up to `capacity` bytes each way.
    pub fn pair(capacity: usize) -> (Self, Self) {
        let pipe = || Arc::new(Mutex::new(Pipe { capacity, ..Pipe::default() }));
        let (one, other) = (pipe(), pipe());
        let mirrored = Self { incoming: Arc::clone(&other), outgoing: Arc::clone(&one) };
        (Self { incoming: one, outgoing: other }, mirrored)
    }

    fn incoming(&self) -> MutexGuard<'_, Pipe> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outgoing(&self) -> MutexGuard<'_, Pipe> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when there is something to read, the end included.
    pub fn poll_readable(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.incoming();
        if pipe.pieces.is_empty() && pipe.end.is_none() {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the peer has ended its direction, whatever it has sent before.
    pub fn poll_end(&self, cx: &Context<'_>) -> Poll<MemoryEnd> {
        let mut pipe = self.incoming();
        if let Some(end) = pipe.end {
            return Poll::Ready(end);
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready when the connection has been reset.
    pub fn poll_reset(&self, cx: &Context<'_>) -> Poll<()> {
        let mut pipe = self.incoming();
        if pipe.end == Some(MemoryEnd::Reset) {
            return Poll::Ready(());
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Reads what is there; fails with `WouldBlock` if nothing is.
    pub fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self.poll_read(&Context::from_waker(Waker::noop()), room) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Reads at most one piece into `room`; 0 is the end.
    pub fn poll_read(&self, cx: &Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.incoming();
        let Some(piece) = pipe.pieces.front_mut() else {
            return match pipe.end {
                Some(MemoryEnd::Fin) => Poll::Ready(Ok(0)),
                Some(MemoryEnd::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None => {
                    pipe.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        };
        let count = piece.len().min(room.len());
        room[..count].copy_from_slice(&piece[..count]);
        piece.drain(..count);
        if piece.is_empty() {
            pipe.pieces.pop_front();
        }
        pipe.wake();
        Poll::Ready(Ok(count))
    }

    /// Writes one piece, as much of `bytes` as fits.
    pub fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let answered = {
            let incoming = self.incoming();
            // A reset ends both directions.
            if incoming.end == Some(MemoryEnd::Reset) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            incoming.history.len()
        };
        let mut pipe = self.outgoing();
        if pipe.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if pipe.is_orphaned {
            pipe.written += bytes.len() as u64;
            drop(pipe);
            self.incoming().finish(MemoryEnd::Reset);
            return Poll::Ready(Ok(bytes.len()));
        }
        let count = bytes.len().min(pipe.capacity - pipe.held().min(pipe.capacity));
        if count == 0 && !bytes.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = (pipe.history.len(), answered);
        pipe.writes.push(before);
        pipe.written += count as u64;
        pipe.pieces.push_back(bytes[..count].to_vec());
        pipe.history.extend_from_slice(&bytes[..count]);
        pipe.wake();
        Poll::Ready(Ok(count))
    }

    /// Ends the direction away from here.
    pub fn shutdown(&self) {
        self.outgoing().finish(MemoryEnd::Fin);
    }

    /// Says whether going away resets the connection.
    pub fn set_reset_on_close(&self, reset: bool) {
        self.outgoing().resets_on_close = reset;
    }

    /// Whether all that the peer has sent has been read.
    pub fn is_quiet(&self) -> bool {
        let pipe = self.incoming();
        pipe.pieces.is_empty() && pipe.end != Some(MemoryEnd::Reset)
    }

    /// How many bytes are on their way, in each direction.
    pub fn on_the_way(&self) -> [usize; 2] {
        [self.incoming().held(), self.outgoing().held()]
    }

    /// How much of what was written the peer has got.
    pub fn delivery(&self) -> Delivery {
        let is_over = self.incoming().end == Some(MemoryEnd::Reset);
        let pipe = self.outgoing();
        Delivery { acknowledged: pipe.history.len() as u64, sent: pipe.written, is_over }
    }

    /// What can be told of the connection later on.
    pub fn transcript(&self) -> Transcript {
        let [incoming, outgoing] = [&self.incoming, &self.outgoing].map(Arc::clone);
        Transcript { incoming, outgoing }
    }

    /// Waits until something can be read, then takes it; empty is the end.
    pub async fn read(&self) -> io::Result<Vec<u8>> {
        let mut room = vec![0; 64 * 1024];
        let count = poll_fn(|cx| self.poll_read(cx, &mut room)).await?;
        room.truncate(count);
        Ok(room)
    }

    /// Writes all of `bytes`.
    pub async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| self.poll_write(cx, bytes)).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut incoming = self.incoming();
        let unread = !incoming.pieces.is_empty();
        incoming.pieces.clear();
        incoming.is_orphaned = true;
        incoming.was_left = incoming.end.is_none();
        incoming.wake();
        drop(incoming);
        let mut outgoing = self.outgoing();
        let reset = unread || outgoing.resets_on_close;
        if reset {
            // What the peer has not read yet is still there for it, as on Linux.
            outgoing.finish(MemoryEnd::Reset);
        } else if outgoing.end.is_none() {
            outgoing.finish(MemoryEnd::Fin);
        }
    }
}

/// What has passed over a connection, as one of its ends saw it.
pub struct Transcript {
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
}

/// One direction of a [`Transcript`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// The bytes that were taken.
    pub bytes: Vec<u8>,
    /// How they ended, if they did.
    pub end: Option<MemoryEnd>,
    /// Whether the reading side went away before it ended.
    pub was_left: bool,
    /// For each write: how many bytes had been taken before it, this way and the other.
    pub writes: Vec<(usize, usize)>,
}

impl Transcript {
    /// What came in.
    pub fn incoming(&self) -> Passage {
        passage(&self.incoming)
    }

    /// What went out.
    pub fn outgoing(&self) -> Passage {
        passage(&self.outgoing)
    }
}

fn passage(pipe: &Mutex<Pipe>) -> Passage {
    let pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    Passage {
        bytes: pipe.history.clone(),
        end: pipe.end,
        was_left: pipe.was_left,
        writes: pipe.writes.clone(),
    }
}

/// The outcome of an attempt to connect; `None`: there is never an answer.
pub type Dialled = Option<io::Result<Memory>>;

type Network = Box<dyn FnMut(&Address) -> Dialled>;

thread_local! {
    static NETWORK: RefCell<Option<Network>> = const { RefCell::new(None) };
}

/// Makes this thread's connections go through `network`, until the next call.
pub fn install(network: impl FnMut(&Address) -> Dialled + 'static) {
    NETWORK.set(Some(Box::new(network)));
}

/// Connects through this thread's network, if it has one.
pub fn dial(address: &Address) -> Option<Dialled> {
    NETWORK.with_borrow_mut(|network| network.as_mut().map(|network| network(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_has_read_everything_leaves_an_end_and_resets_what_comes_later() {
        let (ours, theirs) = Memory::pair(10);
        theirs.write(b"ab").await.unwrap();
        drop(theirs);
        assert_eq!(ours.read().await.unwrap(), b"ab");
        assert_eq!(ours.read().await.unwrap(), b"");
        ours.write(b"late").await.unwrap();
        assert_eq!(ours.delivery(), Delivery { acknowledged: 0, sent: 4, is_over: true });
        assert!(ours.read().await.is_err() && ours.write(b"x").await.is_err());
    }

    #[tokio::test]
    async fn a_peer_that_has_not_read_everything_resets() {
        let (ours, theirs) = Memory::pair(10);
        ours.write(b"x").await.unwrap();
        theirs.write(b"ab").await.unwrap();
        drop(theirs);
        assert_eq!(ours.read().await.unwrap(), b"ab");
        assert!(ours.read().await.is_err());
    }

    #[tokio::test]
    async fn a_full_connection_takes_more_once_read() {
        let (ours, theirs) = Memory::pair(3);
        let writing = ours.write(b"abcdef");
        let reading = async { [theirs.read().await.unwrap(), theirs.read().await.unwrap()] };
        let (written, read) = tokio::join!(writing, reading);
        written.unwrap();
        assert_eq!(read, [b"abc", b"def"]);
    }
}
