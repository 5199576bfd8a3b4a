//! One body, as it is admitted and as it is moved.

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use crate::buffer::Buffer;
    use crate::fault::Kind;
    use crate::http::h1::chunked::Emit;
    use crate::http::h1::framing::Framing;
    use crate::net::deadline::Activity;
    use crate::net::memory::Memory;
    use crate::net::socket::Socket;
    use crate::net::stream::{ReadHalf, WriteHalf};
    use crate::relay::body::{Body, relay};
    use crate::relay::body_copy::{BodyTap, PieceForm};
    use crate::relay::copy::{End, Meter};

    fn holding(bytes: &[u8]) -> Buffer {
        let mut buffer = Buffer::new();
        buffer.append(bytes);
        buffer
    }

    #[test]
    fn bytes_after_the_body_are_left_alone() {
        let mut buffer = holding(b"helloGET");
        let mut body = Body::new(Framing::Length(5), Emit::Chunks);
        assert_eq!(body.admit(&mut buffer, usize::MAX), Ok(5));
        body.pass(&mut buffer, 5);
        assert!(body.has_ended());
        assert_eq!(body.admit(&mut buffer, usize::MAX), Ok(0));
        assert_eq!(buffer.filled(), b"GET");
    }

    #[test]
    fn a_body_has_not_ended_while_bytes_of_it_stand() {
        let mut buffer = holding(b"hello");
        let mut body = Body::new(Framing::Length(5), Emit::Chunks);
        assert_eq!(body.admit(&mut buffer, usize::MAX), Ok(5));
        assert!(!body.has_ended());
        assert_eq!(body.admit(&mut buffer, usize::MAX), Ok(5));
    }

    #[test]
    fn no_more_is_admitted_than_there_is_room_for() {
        let mut buffer = holding(b"a\r\n0123456789\r\n0\r\n\r\n");
        let mut body = Body::new(Framing::Chunked, Emit::Chunks);
        assert_eq!(body.admit(&mut buffer, 8), Ok(8));
        body.pass(&mut buffer, 8);
        assert_eq!(body.admit(&mut buffer, 100), Ok(12));
        body.pass(&mut buffer, 12);
        assert!(body.has_ended());
    }

    /// A copy of what another endpoint gets, after a write to the first has failed, is decoded as before.
    #[test]
    fn chunks_that_stand_are_chunks_though_all_have_come() {
        let mut buffer = holding(b"1\r\na\r\n0\r\n\r\n");
        let mut body = Body::new(Framing::Chunked, Emit::Chunks);
        body.admit(&mut buffer, usize::MAX).unwrap();
        assert!(body.stands() && !body.is_chunked());
        assert_eq!(body.form(), PieceForm::Chunks);
    }

    #[test]
    fn dropped_framing_leaves_no_gap() {
        let mut buffer = holding(b"1;x\r\na\r\n0\r\n\r\nGET");
        let mut body = Body::new(Framing::Chunked, Emit::Data);
        assert_eq!(body.admit(&mut buffer, usize::MAX), Ok(1));
        assert_eq!(buffer.filled(), b"aGET");
    }

    /// However far it came: a retry would send the rest without them, and what the client sends
    /// after the body would be read as body.
    #[tokio::test]
    async fn what_was_taken_unseen_counts_as_passed_when_its_sink_breaks() {
        let (source, client) = Memory::pair(100);
        let (sink, endpoint) = Memory::pair(10);
        client.write(&[b'x'; 100]).await.unwrap();
        let mut body = Body::new(Framing::Length(1000), Emit::Chunks);
        let (activity, mut buffer) = (Activity::new(), Buffer::new());
        let meter = Meter::new(&activity);
        let (source, sink) = (Socket::Memory(source), Socket::Memory(sink));
        let (mut from, mut to) = (ReadHalf::Plain(&source), WriteHalf::Plain(&sink));
        let relaying = relay(&mut body, &mut buffer, &mut from, &mut to, &meter);
        let breaking = async {
            tokio::task::yield_now().await;
            endpoint.set_reset_on_close(true);
            drop(endpoint);
        };
        let (relayed, ()) = tokio::join!(relaying, breaking);
        assert_eq!(relayed.map_err(|broken| broken.end), Err(End::Sink));
        assert_eq!((body.passed(), meter.bytes(), meter.unseen()), (100, 10, 10));
    }

    /// Of two chunks the second is large enough to be spliced, as far as it comes at once.
    #[tokio::test]
    async fn a_large_chunk_goes_on_as_it_comes_and_ends_before_it_is_waited_for() {
        let cx = &mut Context::from_waker(Waker::noop());
        let (source, client) = Memory::pair(1000);
        let (sink, endpoint) = Memory::pair(1000);
        let (source, sink) = (Socket::Memory(source), Socket::Memory(sink));
        let (mut from, mut to) = (ReadHalf::Plain(&source), WriteHalf::Plain(&sink));
        let mut body = Body::new(Framing::Chunked, Emit::Chunks);
        let (activity, mut buffer) = (Activity::new(), Buffer::new());
        let meter = Meter::new(&activity);
        let mut relaying = pin!(relay(&mut body, &mut buffer, &mut from, &mut to, &meter));
        let mut pass = |pieces: &[&[u8]]| {
            for piece in pieces {
                assert!(client.poll_write(cx, piece).is_ready());
            }
            let ended = relaying.as_mut().poll(cx).is_ready();
            let (mut all, mut room) = (Vec::new(), [0; 1000]);
            while let Poll::Ready(Ok(count)) = endpoint.poll_read(cx, &mut room) {
                all.extend_from_slice(&room[..count]);
            }
            (String::from_utf8(all).unwrap(), ended)
        };
        let (long, rest) = ("x".repeat(40), "y".repeat(20));
        let first = format!("1\r\na\r\n3c\r\n{}", &long[..20]);
        let (came, _) = pass(&[first.as_bytes(), &long.as_bytes()[20..]]);
        assert_eq!(came, format!("1\r\na\r\n14\r\n{0}\r\n14\r\n{0}\r\n", &long[..20]));
        let (came, ended) = pass(&[rest.as_bytes(), b"\r\n0\r\n", b"\r\n"]);
        assert_eq!((came, ended), (format!("14\r\n{rest}\r\n0\r\n\r\n"), true));
        assert_eq!(meter.unseen(), 40);
    }

    struct Seen(RefCell<Vec<u8>>);

    impl BodyTap for Seen {
        fn goes_on(&self) -> bool {
            true
        }

        fn add(&self, piece: &[u8], _: PieceForm) {
            self.0.borrow_mut().extend_from_slice(piece);
        }
    }

    #[tokio::test]
    async fn a_large_chunk_that_has_to_be_seen_is_copied() {
        let (source, client) = Memory::pair(1000);
        let (sink, endpoint) = Memory::pair(1000);
        client.write(b"28\r\n").await.unwrap();
        client.write(&[b'x'; 40]).await.unwrap();
        client.write(b"\r\n0\r\n\r\n").await.unwrap();
        let (source, sink) = (Socket::Memory(source), Socket::Memory(sink));
        let (mut from, mut to) = (ReadHalf::Plain(&source), WriteHalf::Plain(&sink));
        let mut body = Body::new(Framing::Chunked, Emit::Chunks);
        let (activity, seen) = (Activity::new(), Seen(RefCell::default()));
        let meter = Meter::tapped(&activity, &seen);
        relay(&mut body, &mut Buffer::new(), &mut from, &mut to, &meter).await.unwrap();
        let mut all = [0; 100];
        let mut count = 0;
        while let Ok(more @ 1..) = endpoint.try_read(&mut all[count..]) {
            count += more;
        }
        assert_eq!((meter.unseen(), &seen.0.borrow()[..]), (0, &all[..count]));
    }

    #[test]
    fn only_a_body_that_ends_with_its_connection_may_end_with_it() {
        assert_eq!(Body::new(Framing::UntilClose, Emit::Chunks).close(), Ok(()));
        assert_eq!(Body::new(Framing::Length(1), Emit::Chunks).close(), Err(Kind::Closed));
        assert_eq!(Body::new(Framing::Chunked, Emit::Chunks).close(), Err(Kind::Closed));
    }
}
