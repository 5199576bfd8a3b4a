//! How much of what was written the peer can have got: the kernel's own count.
#![allow(unsafe_code)] // one call that socket2 does not offer

use std::mem::{MaybeUninit, offset_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{Protocol, SockRef};

/// The state of a connection that is over (`linux/tcp_states.h`).
const TCP_CLOSE: u8 = 7;

/// How a connection ended, as far as reading from it told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseKind {
    /// By the peer's FIN.
    InOrder,
    /// In another way, or it is not known.
    Otherwise,
}

/// What has become of the bytes written to a TCP connection in its whole life (tcp(7), `TCP_INFO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// How many the peer's kernel has acknowledged.
    pub acknowledged: u64,
    /// How many were sent, each time they were sent again included.
    pub sent: u64,
    /// Whether the kernel has done with the connection: nothing will be acknowledged any more.
    pub is_over: bool,
}

/// What is known of bytes that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryVerdict {
    /// None of them has been acknowledged, and none will be.
    Undelivered,
    /// It will be known soon.
    Open,
    /// Some have arrived, or may have.
    Unknown,
}

impl Delivery {
    /// What the kernel says; `None` if it does not say (Linux before 4.19).
    pub fn of(socket: BorrowedFd<'_>) -> Option<Self> {
        // Of a connection over several paths (MPTCP) the kernel would tell of one.
        if SockRef::from(&socket).protocol().ok()? != Some(Protocol::TCP) {
            return None;
        }
        let info = tcp_info(socket)?;
        // The kernel counts our SYN as a byte that was acknowledged.
        let acknowledged = info.tcpi_bytes_acked.checked_sub(1)?;
        let is_over = info.tcpi_state == TCP_CLOSE;
        Some(Self { acknowledged, sent: info.tcpi_bytes_sent, is_over })
    }

    /// What is known of all that was written after the first `carried` bytes.
    ///
    /// Undelivered: nothing of it ever left this machine. Or the peer ended the connection in order,
    /// with a FIN that acknowledges none of it, and then its kernel answered it with a reset, as it
    /// does once nobody is left to read. That a peer who has ended its own direction still reads,
    /// acts on what it reads, and then resets the connection before it acknowledges, is the one case
    /// in which this is wrong; RFC 9112 §9.6 has it act on nothing by then. A reset without a FIN
    /// before it proves nothing: it may overtake the acknowledgement of bytes that were read.
    pub fn verdict(self, carried: u64, parting: CloseKind) -> DeliveryVerdict {
        match parting {
            _ if self.sent == carried => DeliveryVerdict::Undelivered,
            CloseKind::Otherwise => DeliveryVerdict::Unknown,
            CloseKind::InOrder if self.acknowledged != carried => DeliveryVerdict::Unknown,
            CloseKind::InOrder if self.is_over => DeliveryVerdict::Undelivered,
            CloseKind::InOrder => DeliveryVerdict::Open,
        }
    }
}

fn tcp_info(socket: BorrowedFd<'_>) -> Option<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the kernel writes at most `length` bytes to `info`, which is that large and outlives
    // the call; `socket` is open as long as it is borrowed.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let known = usize::try_from(length).unwrap_or(0);
    if result != 0 || known < offset_of!(libc::tcp_info, tcpi_bytes_sent) + size_of::<u64>() {
        return None;
    }
    // SAFETY: it holds integers only, for which any bytes will do, and was zeroed.
    Some(unsafe { info.assume_init() })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use socket2::SockRef;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (ours, listener.accept().unwrap().0)
    }

    /// Carries five bytes that are answered, as an exchange before would.
    fn used() -> (TcpStream, TcpStream) {
        let (mut ours, mut theirs) = pair();
        ours.write_all(b"hello").unwrap();
        theirs.read_exact(&mut [0; 5]).unwrap();
        theirs.write_all(b"hi").unwrap();
        ours.read_exact(&mut [0; 2]).unwrap();
        (ours, theirs)
    }

    fn delivery(stream: &TcpStream) -> Delivery {
        Delivery::of(stream.as_fd()).expect("a kernel that says")
    }

    #[test]
    fn the_kernel_counts_what_was_acknowledged() {
        let (ours, _theirs) = used();
        assert_eq!(delivery(&ours), Delivery { acknowledged: 5, sent: 5, is_over: false });
    }

    #[test]
    fn what_is_written_to_a_peer_that_has_closed_is_known_not_to_have_arrived() {
        let (mut ours, theirs) = used();
        drop(theirs);
        ours.write_all(b"again").unwrap();
        assert_eq!(ours.read(&mut [0; 9]).unwrap(), 0);
        // Loopback delivers before write returns.
        assert_eq!(delivery(&ours).verdict(5, CloseKind::InOrder), DeliveryVerdict::Undelivered);
    }

    #[test]
    fn what_was_read_before_the_close_is_known_to_have_arrived() {
        let (mut ours, mut theirs) = used();
        ours.write_all(b"again").unwrap();
        theirs.read_exact(&mut [0; 5]).unwrap();
        drop(theirs);
        assert_eq!(ours.read(&mut [0; 9]).unwrap(), 0);
        assert_eq!(delivery(&ours).verdict(5, CloseKind::InOrder), DeliveryVerdict::Unknown);
    }

    #[test]
    fn a_peer_that_has_only_ended_its_direction_may_still_read() {
        let (mut ours, mut theirs) = used();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        ours.write_all(b"again").unwrap();
        assert_eq!(ours.read(&mut [0; 9]).unwrap(), 0);
        theirs.read_exact(&mut [0; 5]).unwrap();
        assert_ne!(delivery(&ours).verdict(5, CloseKind::InOrder), DeliveryVerdict::Undelivered);
    }

    #[test]
    fn a_reset_proves_nothing() {
        let (mut ours, theirs) = used();
        ours.write_all(b"again").unwrap();
        SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
        drop(theirs);
        assert!(ours.read(&mut [0; 9]).is_err());
        assert_eq!(delivery(&ours).verdict(5, CloseKind::Otherwise), DeliveryVerdict::Unknown);
    }

    #[test]
    fn only_tcp_says() {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(Delivery::of(ours.as_fd()), None);
    }
}
