//! Sockets of the reactor's: how readiness is asked for, and what moving bytes once tells of it.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::coop;

/// What a socket of the reactor's can do, whatever its family.
pub(super) trait Registered: AsFd {
    /// Waits until the reactor takes it to be readable or writable.
    fn poll_ready(&self, interest: Interest, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Makes a system call, if it is taken to be ready; `WouldBlock` says that it is not.
    fn try_io<T>(&self, interest: Interest, io: impl FnOnce() -> io::Result<T>) -> io::Result<T>;

    /// Waits until the reactor has reported one of these, and says what it has.
    fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>>;
}

macro_rules! registered {
    ($stream:ty) => {
        impl Registered for $stream {
            fn poll_ready(&self, interest: Interest, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match interest {
                    Interest::READABLE => self.poll_read_ready(cx),
                    _ => self.poll_write_ready(cx),
                }
            }

            fn try_io<T>(
                &self,
                interest: Interest,
                io: impl FnOnce() -> io::Result<T>,
            ) -> io::Result<T> {
                <$stream>::try_io(self, interest, io)
            }

            fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> {
                <$stream>::ready(self, interest)
            }
        }
    };
}

registered!(TcpStream);
registered!(UnixStream);

/// Waits until `socket` is ready, and moves bytes once. Moves them first, if the reactor has said that it is ready: to
/// ask costs 90 instructions. Only a move of as many bytes as it can counts towards the task's share of its turn: after
/// any other, nothing more moves until the reactor has reported the socket again.
pub(super) fn poll_moved(
    socket: &impl Registered,
    interest: Interest,
    cx: &mut Context<'_>,
    mut work: impl FnMut() -> io::Result<(usize, usize)>,
) -> Poll<io::Result<usize>> {
    if coop::has_budget_remaining() {
        let mut is_full = false;
        let moved = try_moved(socket, interest, || {
            let (count, most) = work()?;
            is_full = count == most;
            Ok((count, most))
        });
        if let Some(moved) = moved {
            if is_full {
                // A share that is used up shows when the next bytes are to move.
                let _ = pin!(coop::consume_budget()).poll(cx);
            }
            return Poll::Ready(moved);
        }
    }
    loop {
        ready!(socket.poll_ready(interest, cx))?;
        if let Some(moved) = try_moved(socket, interest, &mut work) {
            return Poll::Ready(moved);
        }
    }
}

/// Moves bytes once, if `socket` is taken to be ready; `None` says that it is not. `work` says how many moved
/// and how many could have: if that was more, the kernel has no more to give or to take, and the reactor is
/// told to wait for news without another call that would only say so. (A read also ends at urgent data;
/// what lies after it then waits for more to come.)
#[inline]
pub(super) fn try_moved(
    socket: &impl Registered,
    interest: Interest,
    work: impl FnOnce() -> io::Result<(usize, usize)>,
) -> Option<io::Result<usize>> {
    let mut moved = None;
    let tried = socket.try_io(interest, || {
        let (count, most) = work()?;
        moved = Some(count);
        if (1..most).contains(&count) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match (moved, tried) {
        (Some(count), _) => Some(Ok(count)),
        (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => Some(Err(error)),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::task::{LocalSet, spawn_local};

    use super::*;
    use crate::buffer::Buffer;
    use crate::net::socket::poll_recv;

    /// More than a task may do in a turn.
    const BYTES: usize = 1000;

    #[tokio::test]
    async fn who_could_read_on_and_on_gives_others_their_turn() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.writable().await.unwrap();
        assert_eq!(theirs.try_write(&[b'x'; BYTES]).unwrap(), BYTES);
        let (mut buffer, mut turns) = (Buffer::new(), 0);
        let reading = poll_fn(move |cx| {
            turns += 1;
            while buffer.len() < BYTES {
                let count = ready!(poll_recv(&ours, cx, &mut buffer, 1)).unwrap();
                buffer.fill(count);
            }
            Poll::Ready(turns)
        });
        let turns = LocalSet::new().run_until(async { spawn_local(reading).await }).await.unwrap();
        assert!(turns > 4, "{turns}");
    }
}
