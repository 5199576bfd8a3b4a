//! What floods of frames do to a connection that none of them may keep up for ever.

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use crate::buffer::Buffer;
    use crate::http::h2::connection::{Connection, ConnectionError, Event, Role, StreamKey};
    use crate::http::h2::error_code::ErrorCode;
    use crate::http::h2::flow::WINDOW_BYTES;
    use crate::http::h2::frame::{Flags, FrameHead, FrameKind, PREFACE};
    use crate::http::h2::limits::ConnectionLimits;
    use crate::http::h2::section::SectionLimits;
    use crate::http::h2::stream::Abort;

    /// More frames than any budget.
    const MANY: u32 = 10_000;

    /// A server and the stream that its client has opened, after SETTINGS that say `window`.
    fn server(streams_max: u32, window: u32) -> (Connection, StreamKey) {
        let section = SectionLimits { bytes_max: 4096, fields_max: 20 };
        let limits = ConnectionLimits { streams_max, window_bytes: WINDOW_BYTES, section };
        let mut connection = Connection::new(Role::Server, limits, 0, Rc::default());
        let mut input = Buffer::new();
        input.append(PREFACE);
        let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
        input.append(&frame(FrameKind::Settings, 0, 0, &settings));
        input.append(&frame(FrameKind::Headers, 0x4, 1, b"\x83"));
        assert!(matches!(connection.receive(&mut input), Ok(Some(_))));
        let Ok(Some(Event::Opened(key))) = connection.receive(&mut input) else { panic!() };
        (connection, key)
    }

    fn frame(kind: FrameKind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let head = FrameHead { length: payload.len(), kind, flags: Flags(flags), stream };
        [&head.bytes(), payload].concat()
    }

    fn receive(connection: &mut Connection, frame: &[u8]) -> Result<(), ConnectionError> {
        let mut input = Buffer::new();
        input.append(frame);
        connection.receive(&mut input)?.expect("a frame");
        connection.output().clear();
        Ok(())
    }

    /// What comes of frame after frame.
    fn flood(
        connection: &mut Connection,
        mut frame: impl FnMut(u32) -> Vec<u8>,
    ) -> Result<(), ErrorCode> {
        (0..MANY)
            .try_for_each(|number| receive(connection, &frame(number)))
            .map_err(|error| error.code)
    }

    #[test]
    fn streams_that_are_refused_pay_for_nothing() {
        let (mut connection, _) = server(1, WINDOW_BYTES);
        let ended =
            flood(&mut connection, |number| frame(FrameKind::Headers, 5, 3 + 2 * number, b"\x82"));
        assert_eq!(ended, Err(ErrorCode::EnhanceYourCalm));
    }

    #[test]
    fn heads_for_streams_that_were_reset_pay_for_nothing() {
        let (mut connection, key) = server(1, WINDOW_BYTES);
        connection.reset(key, ErrorCode::Cancel, Abort::Dropped);
        let ended = flood(&mut connection, |_| frame(FrameKind::Headers, 5, 1, b"\x82"));
        assert_eq!(ended, Err(ErrorCode::EnhanceYourCalm));
    }

    #[test]
    fn late_data_pays_for_itself_unless_it_comes_by_the_byte() {
        for (bytes, expected) in [(64, Ok(())), (1, Err(ErrorCode::EnhanceYourCalm))] {
            let (mut connection, key) = server(1, WINDOW_BYTES);
            connection.reset(key, ErrorCode::Cancel, Abort::Dropped);
            let ended = flood(&mut connection, |_| frame(FrameKind::Data, 0, 1, &vec![0; bytes]));
            assert_eq!(ended, expected, "{bytes}");
            connection.release(key, ErrorCode::Cancel);
            let ended = flood(&mut connection, |_| frame(FrameKind::Data, 0, 1, &vec![0; bytes]));
            assert_eq!(ended, expected, "{bytes}, after it is gone");
        }
    }

    #[test]
    fn data_that_is_taken_pays_for_itself_even_by_the_byte() {
        let (mut connection, key) = server(1, WINDOW_BYTES);
        let ended = flood(&mut connection, |_| frame(FrameKind::Data, 0, 1, b"x"));
        assert_eq!((ended, connection.body(key).len()), (Ok(()), MANY as usize));
    }

    #[test]
    fn what_is_sent_pays_for_its_credit_even_in_pieces_of_4_kib() {
        let (mut connection, key) = server(1, WINDOW_BYTES);
        for _ in 0..MANY {
            let room = connection.payloads_mut(key, 32 * 1024).map(|room| room.len());
            connection.send_payloads(key, room.iter().sum(), false);
            connection.begin_turn();
            let mut left = room.iter().sum::<usize>();
            while left > 0 {
                let bytes = left.min(4096);
                let credit = u32::try_from(bytes).expect("a frame").to_be_bytes();
                for stream in [0, 1] {
                    let credit = frame(FrameKind::WindowUpdate, 0, stream, &credit);
                    receive(&mut connection, &credit).expect("a budget for it");
                }
                left -= bytes;
            }
        }
    }

    #[test]
    fn small_frames_that_were_sent_pay_for_their_credit_however_late_it_comes() {
        let (mut connection, key) = server(1, WINDOW_BYTES);
        for _ in 0..MANY {
            assert_eq!(connection.send_data(key, b"x", false), 1);
            connection.output().clear();
        }
        let credit = |number| frame(FrameKind::WindowUpdate, 0, number % 2, &1_u32.to_be_bytes());
        for number in 0..2 * MANY {
            receive(&mut connection, &credit(number)).expect("a budget for it");
        }
        let ended = flood(&mut connection, credit);
        assert_eq!(ended, Err(ErrorCode::EnhanceYourCalm), "for nothing that was sent");
    }

    #[test]
    fn settings_that_change_the_windows_of_streams_cost_as_much_as_credit_for_each() {
        let streams = 100;
        let (mut connection, _) = server(streams, WINDOW_BYTES);
        for number in 1..streams {
            receive(&mut connection, &frame(FrameKind::Headers, 0x4, 1 + 2 * number, b"\x83"))
                .unwrap();
        }
        let settings = |window: u32| {
            let value = [&[0, 4][..], &window.to_be_bytes()].concat();
            frame(FrameKind::Settings, 0, 0, &value)
        };
        for _ in 0..MANY / 10 {
            receive(&mut connection, &settings(WINDOW_BYTES)).expect("nothing has changed");
        }
        let ended = (0..streams).try_for_each(|n| receive(&mut connection, &settings(n)));
        assert_eq!(ended.map_err(|error| error.code), Err(ErrorCode::EnhanceYourCalm));
    }

    #[test]
    fn credit_by_the_byte_is_not_paid_for_by_what_it_lets_pass() {
        for (more, expected) in [(64_u32, Ok(())), (1, Err(ErrorCode::EnhanceYourCalm))] {
            let (mut connection, key) = server(1, 0);
            connection.window.add(i64::from(MANY) * 64).expect("a window");
            let update = frame(FrameKind::WindowUpdate, 0, 1, &more.to_be_bytes());
            let ended = (0..MANY).try_for_each(|_| {
                receive(&mut connection, &update)?;
                connection.begin_turn();
                assert_eq!(connection.send_data(key, &[0; 4096], false), more as usize);
                Ok(())
            });
            let ended = ended.map_err(|error: ConnectionError| error.code);
            assert_eq!(ended, expected, "{more}");
        }
    }

    #[test]
    fn an_endpoint_may_reset_every_stream_that_it_was_sent() {
        let section = SectionLimits { bytes_max: 4096, fields_max: 20 };
        let limits = ConnectionLimits { streams_max: 100, window_bytes: WINDOW_BYTES, section };
        let mut connection = Connection::new(Role::Client, limits, 1, Rc::default());
        receive(&mut connection, &frame(FrameKind::Settings, 0, 0, &[])).unwrap();
        for _ in 0..MANY {
            let key = connection.open_stream(false, true, |_, _| {}).expect("room");
            let id = connection.id(key);
            receive(&mut connection, &frame(FrameKind::RstStream, 0, id, &[0; 4])).unwrap();
            connection.release(key, ErrorCode::Cancel);
        }
    }

    #[test]
    fn a_reset_that_was_waited_for_costs_nothing() {
        let (mut connection, key) = server(1, 0);
        let mut key = Some(key);
        for id in (1..2 * MANY).step_by(2) {
            receive(&mut connection, &frame(FrameKind::RstStream, 0, id, &[0, 0, 0, 8])).unwrap();
            connection.forgive_reset();
            connection.release(key.take().expect("a stream"), ErrorCode::Cancel);
            let mut input = Buffer::new();
            input.append(&frame(FrameKind::Headers, 0x4, id + 2, b"\x83"));
            let Ok(Some(Event::Opened(next))) = connection.receive(&mut input) else { panic!() };
            key = Some(next);
        }
    }
}
