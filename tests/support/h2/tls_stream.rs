//! TLS over tokio's TCP, for peers from libraries.

use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection that shakes hands as it is first used.
pub struct AsyncTls {
    pub session: Connection,
    tcp: TcpStream,
}

/// The TCP connection as rustls takes it: what would wait fails with [`ErrorKind::WouldBlock`].
struct Ready<'a>(&'a TcpStream);

impl Read for Ready<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

impl Write for Ready<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncTls {
    pub fn new(session: impl Into<Connection>, tcp: TcpStream) -> Self {
        Self { session: session.into(), tcp }
    }

    /// Shakes hands; the protocol agreed on.
    pub async fn handshake(&mut self) -> io::Result<Option<Vec<u8>>> {
        std::future::poll_fn(|cx| {
            while self.session.is_handshaking() {
                ready!(self.poll_records_out(cx))?;
                if self.session.is_handshaking() {
                    ready!(self.poll_records_in(cx))?;
                }
            }
            self.poll_records_out(cx)
        })
        .await?;
        Ok(self.session.alpn_protocol().map(<[u8]>::to_vec))
    }

    fn poll_records_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            ready!(self.tcp.poll_write_ready(cx))?;
            match self.session.write_tls(&mut Ready(&self.tcp)) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                _ => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_records_in(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            match self.session.read_tls(&mut Ready(&self.tcp)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(_) => break,
            }
        }
        let processed = self.session.process_new_packets();
        Poll::Ready(processed.map(|_| ()).map_err(|e| io::Error::new(ErrorKind::InvalidData, e)))
    }
}

impl AsyncRead for AsyncTls {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let read = self.session.reader().read(buf.initialize_unfilled());
            match read {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // What cannot be sent now is sent with what is written next.
                    let _ = self.poll_records_out(cx)?;
                    ready!(self.poll_records_in(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for AsyncTls {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_records_out(cx))?;
        let count = self.session.writer().write(bytes)?;
        let _ = self.poll_records_out(cx)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_records_out(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.send_close_notify();
        ready!(self.poll_records_out(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
