//! What becomes of a connection that has much to do, or ends amid something.

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use crate::buffer::Buffer;
    use crate::http::h2::connection::{Connection, Role, StreamKey};
    use crate::http::h2::flow::WINDOW_BYTES;
    use crate::http::h2::frame::{Flags, FrameHead, FrameKind, PREFACE};
    use crate::http::h2::limits::ConnectionLimits;
    use crate::http::h2::section::SectionLimits;
    use crate::net::memory::Memory;
    use crate::net::mux::{Mux, MuxEnd, MuxEvent};
    use crate::net::socket::Socket;
    use crate::net::stream::Stream;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A server's connection, and the client.
    fn server(streams_max: u32) -> (Rc<Mux>, Memory) {
        let section = SectionLimits { bytes_max: 4096, fields_max: 20 };
        let limits = ConnectionLimits { streams_max, window_bytes: WINDOW_BYTES, section };
        let connection = Connection::new(Role::Server, limits, 0, Rc::default());
        let (ours, theirs) = Memory::pair(1 << 20);
        let stream = Stream::Plain(Socket::Memory(ours));
        (Mux::new(stream, connection, Buffer::new()), theirs)
    }

    /// The frames of a client that uploads a byte in each, behind a padding of 255.
    fn upload(frames: u32) -> Vec<u8> {
        let frame = |kind, flags, stream, payload: &[u8]| {
            let head = FrameHead { length: payload.len(), kind, flags: Flags(flags), stream };
            [&head.bytes(), payload].concat()
        };
        let padded = [&[255, b'x'][..], &[0; 255]].concat();
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(FrameKind::Settings, 0, 0, &[]));
        bytes.extend(frame(FrameKind::Headers, 0x4, 1, b"\x83"));
        (0..frames).for_each(|_| bytes.extend(frame(FrameKind::Data, 0x8, 1, &padded)));
        bytes
    }

    #[test]
    fn a_peer_that_never_stops_sending_lets_others_have_their_turn() {
        let (mux, theirs) = server(1);
        let woken = Arc::new(Woken::default());
        let task = Waker::from(Arc::clone(&woken));
        let cx = &mut Context::from_waker(&task);
        assert!(theirs.poll_write(cx, &upload(1000)).is_ready());
        assert!(matches!(mux.poll(cx), Poll::Ready(MuxEvent::Opened(_))));
        let mut seen = 0;
        while seen < 1002 {
            woken.0.store(0, Ordering::Relaxed);
            assert!(mux.poll(cx).is_pending());
            let frames = mux.frames() - seen;
            assert!((1..300).contains(&frames), "{frames} frames at once");
            seen += frames;
            let is_polled_again = woken.0.load(Ordering::Relaxed) > 0;
            assert!(is_polled_again || seen == 1002, "nobody polls it again");
        }
    }

    #[test]
    fn a_peer_that_opens_many_streams_at_once_lets_others_have_their_turn() {
        let (mux, theirs) = server(100);
        let cx = &mut Context::from_waker(Waker::noop());
        let mut bytes = upload(0);
        for stream in (3..200).step_by(2) {
            let head = FrameHead { length: 1, kind: FrameKind::Headers, flags: Flags(0x5), stream };
            bytes.extend([&head.bytes()[..], b"\x82"].concat());
        }
        assert!(theirs.poll_write(cx, &bytes).is_ready());
        let mut opened = 0;
        while opened < 100 {
            let before = opened;
            while mux.poll(cx).is_ready() {
                opened += 1;
            }
            assert!((1..=3).contains(&(opened - before)), "{} at once", opened - before);
        }
    }

    #[test]
    fn a_reset_that_has_come_with_its_request_is_known_before_work_on_that_begins() {
        let (mux, theirs) = server(100);
        let cx = &mut Context::from_waker(Waker::noop());
        let mut bytes = upload(0);
        for stream in (3..200).step_by(2) {
            for (kind, payload) in
                [(FrameKind::Headers, &b"\x82"[..]), (FrameKind::RstStream, &[0; 4])]
            {
                let head = FrameHead { length: payload.len(), kind, flags: Flags(0x5), stream };
                bytes.extend([&head.bytes()[..], payload].concat());
            }
        }
        assert!(theirs.poll_write(cx, &bytes).is_ready());
        let mut keys = Vec::new();
        while keys.len() < 100 {
            while let Poll::Ready(MuxEvent::Opened(key)) = mux.poll(cx) {
                keys.push(key);
            }
            let is_reset = |key: &StreamKey| mux.connection().abort_of(*key).is_some();
            assert!(keys[1..].iter().all(is_reset), "{} streams", keys.len());
        }
    }

    #[test]
    fn a_peer_that_takes_nothing_more_is_read_until_it_has_ended_and_no_longer() {
        let (mux, theirs) = server(1);
        let cx = &mut Context::from_waker(Waker::noop());
        // More than a turn.
        assert!(theirs.poll_write(cx, &upload(1000)).is_ready());
        drop(theirs);
        assert!((0..99).any(|_| matches!(mux.poll(cx), Poll::Ready(MuxEvent::Over(_)))));
    }

    #[test]
    fn a_connection_that_ended_amid_a_frame_holds_no_block() {
        let (mux, theirs) = server(1);
        let cx = &mut Context::from_waker(Waker::noop());
        let long =
            FrameHead { length: 12_000, kind: FrameKind::Data, flags: Flags::NONE, stream: 1 };
        let bytes = [&upload(0)[..], &long.bytes(), &[0; 9000]].concat();
        assert!(theirs.poll_write(cx, &bytes).is_ready());
        assert!(matches!(mux.poll(cx), Poll::Ready(MuxEvent::Opened(_))));
        theirs.shutdown();
        assert!(matches!(mux.poll(cx), Poll::Ready(MuxEvent::Over(MuxEnd::Broken(_)))));
        assert_eq!(crate::buffer::leased(), 0);
    }
}
