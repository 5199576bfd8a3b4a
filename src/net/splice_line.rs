//! The lines between pieces that are spliced: read without what follows them, and written to leave with it.

use std::io;
use std::task::{Context, Poll};

use rustix::io::retry_on_intr;
use rustix::net::SendFlags;
use tokio::io::Interest;

use super::registered::{Registered, poll_moved};
use super::socket::{Socket, poll_recv};
use super::stream::{ReadHalf, WriteHalf};
use crate::buffer::Buffer;

/// As [`ReadHalf::poll_read`], but no more than `most` bytes, which must not be 0. What TLS encrypts comes in
/// records, and as far as these go.
pub fn poll_read(
    from: &ReadHalf<'_>,
    cx: &mut Context<'_>,
    buffer: &mut Buffer,
    most: usize,
) -> Poll<io::Result<usize>> {
    let read = match from {
        ReadHalf::Plain(Socket::Tcp(stream)) => poll_recv(stream, cx, buffer, most),
        ReadHalf::Plain(Socket::Unix(stream)) => poll_recv(stream, cx, buffer, most),
        #[cfg(any(test, fuzzing))]
        ReadHalf::Plain(Socket::Memory(memory)) => {
            std::task::ready!(memory.poll_readable(cx))?;
            let room = buffer.spare_mut();
            let most = most.min(room.len());
            memory.poll_read(cx, &mut room[..most])
        }
        ReadHalf::Plain(Socket::Resting(_)) | ReadHalf::Tls(_) => {
            return from.poll_read(cx, buffer);
        }
    };
    if let Poll::Ready(Ok(count)) = read {
        buffer.fill(count);
    }
    buffer.release();
    read
}

/// As [`WriteHalf::write`], but the kernel may keep what does not fill a segment until more is written (`MSG_MORE`
/// in send(2)): the caller writes more before it waits for anything else.
pub fn poll_write(
    to: &WriteHalf<'_>,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match to {
        WriteHalf::Plain(Socket::Tcp(stream)) => poll_send_more(stream, cx, bytes),
        WriteHalf::Plain(Socket::Unix(stream)) => poll_send_more(stream, cx, bytes),
        _ => to.poll_write(cx, bytes),
    }
}

fn poll_send_more(
    socket: &impl Registered,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    poll_moved(socket, Interest::WRITABLE, cx, || {
        let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
        let count = retry_on_intr(|| rustix::net::send(socket, bytes, flags))?;
        Ok((count, bytes.len()))
    })
}
