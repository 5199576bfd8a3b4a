//! Moving bytes from one socket to another without copying them: splice(2), by way of a pipe.
//!
//! A pipe is leased when there is something to move and given back as soon as it is empty: a relay
//! that waits for bytes holds none. Each thread keeps up to [`SPARES_MAX`] empty pipes and has at most
//! [`PIPES_MAX`] open, fewer where descriptors are scarce. A relay that gets
//! none copies; so do all relays of a thread where the kernel, or a sandbox, turns out not to splice
//! sockets.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::RecvFlags;
use rustix::pipe::{
    PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice,
};
use rustix::process::{Resource, getrlimit};
use tokio::io::Interest;

use super::registered::Registered;
use super::socket::Socket;
use super::stream::{ReadHalf, WriteHalf};

/// The most a pipe is given at a time: what a client that does not read costs besides its socket.
pub const PIPE_BYTES: usize = 128 * 1024;

/// How many empty pipes a thread keeps.
pub const SPARES_MAX: usize = 16;

/// How many pipes a thread has open at most. A user without privileges may have 16384 pages of pipes
/// (pipe(7), `pipe-user-pages-soft`), which is so many for each of eight threads.
pub const PIPES_MAX: usize = 64;

/// One pipe, and so two descriptors, to so many that the process may have open: 32 threads that may
/// have 1024 take a quarter of them.
const DESCRIPTORS_PER_PIPE: u64 = 256;

/// How many requests for a pipe are skipped after a refusal.
const REFUSED_FOR: u32 = 1000;

/// The kernel's default. It makes smaller ones for a user who has too many; they hold so little that
/// copying is faster.
const PIPE_BYTES_MIN: usize = 64 * 1024;

/// What came of waiting for bytes.
#[derive(Debug)]
pub enum Filled {
    /// They are in this pipe, one at least.
    Pipe(Pipe),
    /// There is something, but it must be read: the end, bytes after urgent data, or anything while
    /// there is no pipe.
    Unavailable,
}

/// Bytes on their way from one socket to another.
#[derive(Debug)]
pub struct Pipe {
    store: Store,
    held: usize,
    /// How it is emptied.
    flags: SpliceFlags,
}

#[derive(Debug)]
enum Store {
    Kernel {
        read: OwnedFd,
        write: OwnedFd,
    },
    /// The last `held` of these: in simulations, and where a pipe cannot be emptied into a socket.
    Memory(Vec<u8>),
}

/// Whether bytes can pass unseen from one to the other: what TLS encrypts cannot.
pub fn is_possible(from: &ReadHalf<'_>, to: &WriteHalf<'_>) -> bool {
    matches!((from, to), (ReadHalf::Plain(_), WriteHalf::Plain(_)))
}

/// Waits until `from` has something to read, holding nothing meanwhile; then takes up to `most`
/// bytes of it, which must not be 0, and [`PIPE_BYTES`], for `to`, if that [is possible](is_possible).
pub async fn fill(from: &ReadHalf<'_>, to: &WriteHalf<'_>, most: usize) -> io::Result<Filled> {
    poll_fn(|cx| poll_fill(cx, from, to, most)).await
}

/// The same, as a poll.
pub fn poll_fill(
    cx: &mut Context<'_>,
    from: &ReadHalf<'_>,
    to: &WriteHalf<'_>,
    most: usize,
) -> Poll<io::Result<Filled>> {
    let most = most.min(PIPE_BYTES);
    let (ReadHalf::Plain(from), WriteHalf::Plain(_)) = (from, to) else {
        return Poll::Ready(Ok(Filled::Unavailable));
    };
    match from {
        Socket::Tcp(stream) => poll_take(stream, cx, most),
        Socket::Unix(stream) => poll_take(stream, cx, most),
        Socket::Resting(_) => Poll::Ready(Ok(Filled::Unavailable)),
        #[cfg(any(test, fuzzing))]
        Socket::Memory(memory) => {
            let mut bytes = vec![0; most];
            let held = ready!(memory.poll_read(cx, &mut bytes))?;
            bytes.truncate(held);
            let (store, flags) = (Store::Memory(bytes), SpliceFlags::empty());
            let pipe = Pipe { store, held, flags };
            Poll::Ready(Ok(if held == 0 { Filled::Unavailable } else { Filled::Pipe(pipe) }))
        }
    }
}

fn poll_take(
    socket: &impl Registered,
    cx: &mut Context<'_>,
    most: usize,
) -> Poll<io::Result<Filled>> {
    loop {
        ready!(socket.poll_ready(Interest::READABLE, cx))?;
        let Some(mut pipe) = Pipe::lease() else { return Poll::Ready(Ok(Filled::Unavailable)) };
        return Poll::Ready(match socket.try_io(Interest::READABLE, || pipe.take(socket, most)) {
            Ok(0) => Ok(Filled::Unavailable),
            Ok(_) => Ok(Filled::Pipe(pipe)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) if is_unsupported(&error) => {
                give_up();
                Ok(Filled::Unavailable)
            }
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Ok(Filled::Unavailable),
            Err(error) => Err(error),
        });
    }
}

impl Pipe {
    /// How many bytes are in it.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Has what does not fill a segment wait for what is written next (`SPLICE_F_MORE`): the caller writes more
    /// before it waits for anything else.
    pub fn is_followed(&mut self) {
        self.flags |= SpliceFlags::MORE;
    }

    /// Waits until `to` takes some of what is held, and says how much that was.
    pub async fn drain(&mut self, to: &WriteHalf<'_>) -> io::Result<usize> {
        let count = poll_fn(|cx| self.poll_drain(cx, to)).await?;
        self.held -= count.min(self.held);
        Ok(count)
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>, to: &WriteHalf<'_>) -> Poll<io::Result<usize>> {
        let drained = match (&self.store, to) {
            (Store::Memory(bytes), to) => {
                return to.poll_write(cx, &bytes[bytes.len() - self.held..]);
            }
            (Store::Kernel { read, .. }, WriteHalf::Plain(Socket::Tcp(stream))) => {
                ready!(poll_out(read, stream, cx, (self.held, self.flags)))
            }
            (Store::Kernel { read, .. }, WriteHalf::Plain(Socket::Unix(stream))) => {
                ready!(poll_out(read, stream, cx, (self.held, self.flags)))
            }
            #[cfg(any(test, fuzzing))]
            (Store::Kernel { .. }, WriteHalf::Plain(Socket::Memory(_))) => Err(Errno::INVAL.into()),
            (Store::Kernel { .. }, WriteHalf::Plain(Socket::Resting(_)) | WriteHalf::Tls(_)) => {
                Err(Errno::INVAL.into())
            }
        };
        match drained {
            Err(error) if is_unsupported(&error) => {
                give_up();
                self.retrieve()?;
                self.poll_drain(cx, to)
            }
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                self.retrieve()?;
                self.poll_drain(cx, to)
            }
            drained => Poll::Ready(drained),
        }
    }

    /// Takes what is held out of the kernel, to be written as other bytes are.
    fn retrieve(&mut self) -> io::Result<()> {
        let Store::Kernel { read, .. } = &self.store else { return Ok(()) };
        let (mut bytes, mut filled) = (vec![0; self.held], 0);
        while filled < bytes.len() {
            match rustix::io::read(read, &mut bytes[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        self.store = Store::Memory(bytes);
        PIPES.with_borrow_mut(|pipes| pipes.open -= 1);
        Ok(())
    }

    /// Fills the pipe, which is empty, from `socket`. 0 says that the socket must be read, and
    /// `WouldBlock` that there is nothing in it.
    fn take(&mut self, socket: &impl AsFd, most: usize) -> io::Result<usize> {
        let Store::Kernel { write, .. } = &self.store else { return Ok(0) };
        let flags = SpliceFlags::NONBLOCK;
        self.held = match retry_on_intr(|| splice(socket, None, write, None, most, flags)) {
            // Urgent data is a mark that splice never passes: bytes may lie after it.
            Err(Errno::AGAIN) if holds_bytes(socket) => 0,
            taken => taken?,
        };
        Ok(self.held)
    }

    fn lease() -> Option<Self> {
        PIPES.with_borrow_mut(|pipes| {
            let store = pipes.spare.pop().or_else(|| pipes.open_another())?;
            Some(Self { store, held: 0, flags: SpliceFlags::NONBLOCK })
        })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let store = std::mem::replace(&mut self.store, Store::Memory(Vec::new()));
        if let Store::Kernel { .. } = store {
            // A thread that is ending has no list any more: the pipe is simply closed.
            let _ = PIPES.try_with(|pipes| pipes.borrow_mut().put(store, self.held));
        }
    }
}

/// The pipes of a thread.
struct Pipes {
    /// Empty ones.
    spare: Vec<Store>,
    /// How many there are, leased or spare.
    open: usize,
    /// 0 where the kernel does not splice.
    open_max: usize,
    /// How often it is still too soon to ask for one after a refusal.
    refused_for: u32,
}

thread_local! {
    static PIPES: RefCell<Pipes> = RefCell::new(Pipes::new());
}

impl Pipes {
    fn new() -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self { spare: Vec::new(), open: 0, open_max: pipes_max(descriptors), refused_for: 0 }
    }

    fn open_another(&mut self) -> Option<Store> {
        if self.open >= self.open_max {
            return None;
        }
        if self.refused_for > 0 {
            self.refused_for -= 1;
            return None;
        }
        let opened = open();
        match opened {
            Some(_) => self.open += 1,
            None => self.refused_for = REFUSED_FOR,
        }
        opened
    }

    /// Keeps an empty pipe, if there is room for it. Any other is closed: its bytes must never reach
    /// another connection.
    fn put(&mut self, pipe: Store, held: usize) {
        if held == 0 && self.open <= self.open_max && self.spare.len() < SPARES_MAX {
            self.spare.push(pipe);
        } else {
            self.open -= 1;
        }
    }
}

/// How many pipes a thread may have if the process may have so many descriptors.
pub fn pipes_max(descriptors: u64) -> usize {
    usize::try_from(descriptors / DESCRIPTORS_PER_PIPE).unwrap_or(PIPES_MAX).min(PIPES_MAX)
}

/// No more pipes on this thread.
fn give_up() {
    PIPES.with_borrow_mut(|pipes| {
        pipes.open_max = 0;
        pipes.open -= pipes.spare.drain(..).count();
    });
}

/// Whether there is anything to read in `socket`.
fn holds_bytes(socket: &impl AsFd) -> bool {
    matches!(rustix::net::recv(socket, &mut [0], RecvFlags::PEEK), Ok((_, 1..)))
}

fn open() -> Option<Store> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
    // One of the default size does as well: it is only filled more often.
    let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
    let bytes = fcntl_getpipe_size(&write).ok()?;
    (bytes >= PIPE_BYTES_MIN).then_some(Store::Kernel { read, write })
}

fn poll_out(
    pipe: &OwnedFd,
    socket: &impl Registered,
    cx: &mut Context<'_>,
    (held, flags): (usize, SpliceFlags),
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_ready(Interest::WRITABLE, cx))?;
        // What is left behind says nothing about the socket: only when it takes nothing at all will
        // the kernel tell when it does again.
        let drained = socket.try_io(Interest::WRITABLE, || {
            Ok(retry_on_intr(|| splice(pipe, None, socket, None, held, flags))?)
        });
        if !matches!(&drained, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            return Poll::Ready(drained);
        }
    }
}

/// splice(2): this kernel or sandbox does not do it with these sockets.
fn is_unsupported(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::ACCESS, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as StdUnixStream;

    use tokio::net::UnixStream;

    use super::*;
    use crate::net::memory::Memory;

    fn pair() -> (Socket, StdUnixStream) {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Socket::Unix(UnixStream::from_std(ours).unwrap()), theirs)
    }

    fn spare() -> usize {
        PIPES.with_borrow(|pipes| pipes.spare.len())
    }

    fn open() -> usize {
        PIPES.with_borrow(|pipes| pipes.open)
    }

    async fn filled(bytes: &[u8]) -> Pipe {
        let (from, mut peer) = pair();
        peer.write_all(bytes).unwrap();
        match fill(&ReadHalf::Plain(&from), &WriteHalf::Plain(&from), usize::MAX).await.unwrap() {
            Filled::Pipe(pipe) => pipe,
            Filled::Unavailable => panic!("no pipe"),
        }
    }

    #[tokio::test]
    async fn what_is_taken_arrives_and_the_pipe_is_kept() {
        let (to, mut peer) = pair();
        let mut pipe = filled(b"hello").await;
        assert_eq!(pipe.held(), 5);
        assert_eq!(pipe.drain(&WriteHalf::Plain(&to)).await.unwrap(), 5);
        let mut bytes = [0; 5];
        peer.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        drop(pipe);
        assert_eq!((open(), spare()), (1, 1));
    }

    #[tokio::test]
    async fn no_more_is_taken_than_was_asked_for() {
        let (from, mut peer) = pair();
        peer.write_all(b"bodyGET").unwrap();
        peer.set_nonblocking(true).unwrap();
        while peer.write(&[0; 1 << 16]).is_ok() {}
        let half = ReadHalf::Plain(&from);
        let taken = fill(&half, &WriteHalf::Plain(&from), 4).await.unwrap();
        assert!(matches!(taken, Filled::Pipe(pipe) if pipe.held() == 4));
        let taken = fill(&half, &WriteHalf::Plain(&from), usize::MAX).await.unwrap();
        assert!(matches!(taken, Filled::Pipe(pipe) if pipe.held() <= PIPE_BYTES));
    }

    #[tokio::test]
    async fn the_end_is_left_to_be_read() {
        let (from, peer) = pair();
        drop(peer);
        assert!(matches!(
            fill(&ReadHalf::Plain(&from), &WriteHalf::Plain(&from), 1).await.unwrap(),
            Filled::Unavailable
        ));
        assert_eq!((open(), spare()), (1, 1));
    }

    #[tokio::test]
    async fn a_pipe_that_holds_bytes_is_never_leased_again() {
        drop(filled(b"secret").await);
        assert_eq!((open(), spare()), (0, 0));
    }

    #[tokio::test]
    async fn a_pipe_drains_as_its_sink_takes() {
        let (to, mut peer) = pair();
        let mut pipe = filled(&[7; 100_000]).await;
        let all = pipe.held();
        let half = WriteHalf::Plain(&to);
        let reading = std::thread::spawn(move || {
            let mut bytes = vec![0; all];
            peer.read_exact(&mut bytes).map(|()| bytes)
        });
        while pipe.held() > 0 {
            pipe.drain(&half).await.unwrap();
        }
        assert_eq!(reading.join().unwrap().unwrap(), vec![7; all]);
    }

    #[tokio::test]
    async fn where_a_pipe_cannot_be_emptied_into_a_socket_its_bytes_are_written() {
        let (ours, theirs) = Memory::pair(4);
        let ours = Socket::Memory(ours);
        let mut pipe = filled(b"hello").await;
        let mut half = WriteHalf::Plain(&ours);
        assert_eq!(pipe.drain(&half).await.unwrap(), 4);
        let mut bytes = [0; 5];
        assert_eq!(theirs.try_read(&mut bytes).unwrap(), 4);
        assert_eq!(pipe.drain(&half).await.unwrap(), 1);
        assert_eq!(theirs.try_read(&mut bytes[4..]).unwrap(), 1);
        assert_eq!(&bytes, b"hello");
        drop(pipe);
        assert_eq!((open(), spare()), (0, 0));
        half.shutdown().await.unwrap();
        let (from, mut peer) = pair();
        peer.write_all(b"x").unwrap();
        let again = fill(&ReadHalf::Plain(&from), &WriteHalf::Plain(&from), 1).await.unwrap();
        assert!(matches!(again, Filled::Unavailable), "{again:?}");
    }

    #[tokio::test]
    async fn so_many_empty_pipes_are_kept_and_no_more() {
        let (to, mut peer) = pair();
        let reading = std::thread::spawn(move || peer.read_to_end(&mut Vec::new()));
        let mut pipes = Vec::new();
        for _ in 0..=SPARES_MAX {
            let mut pipe = filled(b"x").await;
            pipe.drain(&WriteHalf::Plain(&to)).await.unwrap();
            pipes.push(pipe);
        }
        drop((pipes, to));
        assert_eq!((open(), spare()), (SPARES_MAX, SPARES_MAX));
        reading.join().unwrap().unwrap();
    }

    #[test]
    fn where_descriptors_are_scarce_pipes_are_too() {
        assert_eq!([0, 255, 1024, 16_384, u64::MAX].map(pipes_max), [0, 0, 4, 64, 64]);
    }

    #[tokio::test]
    async fn a_thread_has_so_many_pipes_and_no_more() {
        PIPES.with_borrow_mut(|pipes| pipes.open_max = 2);
        let (one, two) = (filled(b"1").await, filled(b"2").await);
        let (from, mut peer) = pair();
        peer.write_all(b"3").unwrap();
        let half = ReadHalf::Plain(&from);
        assert!(matches!(
            fill(&half, &WriteHalf::Plain(&from), 1).await.unwrap(),
            Filled::Unavailable
        ));
        drop((one, two));
        assert!(matches!(fill(&half, &WriteHalf::Plain(&from), 1).await.unwrap(), Filled::Pipe(_)));
    }
}
