//! Faults of the state machine that were found by simulation or by reading, a test each.

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use crate::buffer::Buffer;
    use crate::http::h2::connection::{Connection, Event, Role};
    use crate::http::h2::error_code::ErrorCode;
    use crate::http::h2::flow::WINDOW_BYTES;
    use crate::http::h2::frame::{Flags, FrameHead, FrameKind, PREFACE};
    use crate::http::h2::limits::ConnectionLimits;
    use crate::http::h2::section::SectionLimits;
    use crate::http::h2::stream::Abort;

    fn connection(role: Role) -> Connection {
        let section = SectionLimits { bytes_max: 4096, fields_max: 20 };
        let limits = ConnectionLimits { streams_max: 10, window_bytes: WINDOW_BYTES, section };
        Connection::new(role, limits, 10, Rc::default())
    }

    fn server() -> (Connection, Buffer) {
        let connection = connection(Role::Server);
        let mut input = Buffer::new();
        input.append(PREFACE);
        frame(&mut input, FrameKind::Settings, 0, 0, &[]);
        frame(&mut input, FrameKind::Headers, 0x4, 1, b"\x83");
        (connection, input)
    }

    fn frame(input: &mut Buffer, kind: FrameKind, flags: u8, stream: u32, payload: &[u8]) {
        let head = FrameHead { length: payload.len(), kind, flags: Flags(flags), stream };
        input.append(&[&head.bytes(), payload].concat());
    }

    /// What comes of all that has come.
    fn events(connection: &mut Connection, input: &mut Buffer) -> Vec<Event> {
        let next = || connection.receive(input).expect("no rule is broken");
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn padding_alone_never_fills_the_window_of_a_stream() {
        let (mut connection, mut input) = server();
        for _ in 0..1000 {
            frame(&mut input, FrameKind::Data, 0x8, 1, &[&[255][..], &[0; 255]].concat());
            events(&mut connection, &mut input);
        }
        let (_, stream) = connection.streams.iter().next().expect("a stream");
        assert!(stream.credit.window().bytes() > 0 && stream.abort.is_none());
    }

    #[test]
    fn a_stream_that_is_opened_and_broken_by_one_frame_is_told_of_all_the_same() {
        let (mut connection, mut input) = server();
        frame(&mut input, FrameKind::Headers, 0x24, 3, b"\0\0\0\x03\0\x83");
        let events = events(&mut connection, &mut input);
        let opened = events.iter().filter(|event| matches!(event, Event::Opened(_)));
        assert_eq!((opened.count(), connection.streams()), (2, 2));
    }

    #[test]
    fn what_has_come_of_a_stream_that_we_reset_is_dropped() {
        let (mut connection, mut input) = server();
        frame(&mut input, FrameKind::Data, 0x1, 1, b"body");
        events(&mut connection, &mut input);
        let key = connection.key(1).expect("a stream");
        connection.break_stream(key, ErrorCode::ProtocolError).expect("a budget for it");
        assert!(connection.body(key).is_empty() && !connection.has_received(key));
    }

    #[test]
    fn a_frame_for_any_stream_that_was_reset_never_ends_the_connection() {
        let (mut connection, mut input) = server();
        for id in (3..).step_by(2).take(400) {
            frame(&mut input, FrameKind::Headers, 0x4, id, b"\x83");
            let events = events(&mut connection, &mut input);
            let Some(Event::Opened(key)) = events.last() else { panic!("{events:?}") };
            connection.reset(*key, ErrorCode::Cancel, Abort::Dropped);
            connection.release(*key, ErrorCode::Cancel);
        }
        for id in [3, 401, 799] {
            frame(&mut input, FrameKind::Data, 0, id, b"late");
            frame(&mut input, FrameKind::WindowUpdate, 0, id, &[0, 0, 0, 1]);
            frame(&mut input, FrameKind::Headers, 0x5, id, b"\x83");
            frame(&mut input, FrameKind::RstStream, 0, id, &[0; 4]);
            assert_eq!(events(&mut connection, &mut input), [Event::Nothing; 4]);
        }
    }

    #[test]
    fn after_a_refused_stream_no_more_are_opened_until_another_has_ended() {
        let section = SectionLimits { bytes_max: 4096, fields_max: 20 };
        let limits = ConnectionLimits { streams_max: 0, window_bytes: WINDOW_BYTES, section };
        let mut connection = Connection::new(Role::Client, limits, 100, Rc::default());
        let mut input = Buffer::new();
        frame(&mut input, FrameKind::Settings, 0, 0, &[]);
        events(&mut connection, &mut input);
        let mut open = || connection.open_stream(false, true, |_, _| {}).expect("room");
        let (first, second) = (open(), open());
        frame(&mut input, FrameKind::RstStream, 0, 3, &[0, 0, 0, 7]);
        events(&mut connection, &mut input);
        connection.release(second, ErrorCode::Cancel);
        assert!(!connection.can_open());
        connection.release(first, ErrorCode::Cancel);
        assert!(connection.can_open());
    }

    #[test]
    fn a_stream_waits_for_the_place_of_one_that_was_reset() {
        let (mut connection, mut input) = server();
        for id in (3..20).step_by(2) {
            frame(&mut input, FrameKind::Headers, 0x4, id, b"\x83");
        }
        frame(&mut input, FrameKind::RstStream, 0, 1, &[0; 4]);
        frame(&mut input, FrameKind::Headers, 0x4, 21, b"\x83");
        events(&mut connection, &mut input);
        assert_eq!((connection.streams(), connection.is_held_back()), (10, true));
        let key = connection.key(1).expect("a stream");
        connection.release(key, ErrorCode::Cancel);
        assert!(matches!(events(&mut connection, &mut input)[..], [Event::Opened(_)]));
        assert_eq!((connection.streams(), connection.is_held_back()), (10, false));
        frame(&mut input, FrameKind::Headers, 0x4, 23, b"\x83");
        assert_eq!(events(&mut connection, &mut input), [Event::Nothing]);
        assert_eq!(connection.take_resets().ours, 1);
    }

    #[test]
    fn a_client_says_that_it_leaves_once_its_streams_have_ended() {
        let mut connection = connection(Role::Client);
        let key = connection.open_stream(false, true, |_, _| {}).expect("a stream");
        connection.output().clear();
        connection.leave();
        assert_eq!((connection.has_left(), connection.output_bytes()), (true, 0));
        connection.release(key, ErrorCode::Cancel);
        let frames = connection.output().front().to_vec();
        connection.leave();
        assert_eq!((frames[3], frames[13 + 3], frames.len()), (3, 7, 13 + 17), "{frames:?}");
        assert_eq!(connection.output_bytes(), frames.len());
    }

    #[test]
    fn a_connection_whose_numbers_are_used_up_opens_no_more_streams() {
        let mut connection = connection(Role::Client);
        connection.next_ours = (1 << 31) - 1;
        let key = connection.open_stream(false, true, |_, _| {}).expect("the last one");
        assert_eq!((connection.id(key), connection.is_usable()), ((1 << 31) - 1, false));
        assert!(connection.open_stream(false, true, |_, _| {}).is_none());
    }
}
