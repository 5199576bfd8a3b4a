//! Chunked bodies, in whatever pieces they come.

#[cfg(test)]
mod tests {
    use crate::buffer::Buffer;
    use crate::http::h1::chunk_lines::SizeLine;
    use crate::http::h1::chunked::{CHUNK_LINE_BYTES_MAX, Chunked, Emit, TRAILER_BYTES_MAX};
    use crate::reject::Reject;

    /// Feeds `body` in pieces of `step` bytes; what went on, and what was left over after the end.
    fn pass(body: &[u8], step: usize, emit: Emit) -> Result<(Vec<u8>, Vec<u8>), Reject> {
        let mut chunked = Chunked::new(emit);
        let (mut held, mut out) = (Buffer::new(), Vec::new());
        for piece in body.chunks(step) {
            held.append(piece);
            let ready = chunked.admit(&mut held)?;
            out.extend_from_slice(&held.filled()[..ready]);
            held.consume(ready);
        }
        assert!(chunked.is_done(), "body ended early");
        Ok((out, held.filled().to_vec()))
    }

    #[test]
    fn what_is_understood_does_not_depend_on_where_the_body_is_split() {
        let body = b"005;a=\"b;\\\"c\"\r\nhello\r\n1 ; x\r\n!\r\n0\r\nA: b\r\n\r\nrest";
        let whole = pass(body, body.len(), Emit::Chunks).unwrap();
        assert_eq!(whole.0, b"5\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n");
        assert_eq!(whole.1, b"rest");
        for step in 1..body.len() {
            let (out, rest) = pass(body, step, Emit::Chunks).unwrap();
            let trailers = out.strip_suffix(b"0\r\nA: b\r\n\r\n").expect("the same trailers");
            let bare = [trailers, b"0\r\n\r\n"].concat();
            assert_eq!(pass(&bare, bare.len(), Emit::Data).unwrap().0, b"hello!", "step {step}");
            assert_eq!(rest, b"rest", "step {step}");
        }
    }

    /// What goes on of `pieces`, each of which comes alone.
    fn passed(pieces: &[&[u8]]) -> Vec<String> {
        let (mut chunked, mut held) = (Chunked::new(Emit::Chunks), Buffer::new());
        let mut out = Vec::new();
        for piece in pieces {
            held.append(piece);
            let ready = chunked.admit(&mut held).unwrap();
            out.push(String::from_utf8_lossy(&held.filled()[..ready]).into_owned());
            held.consume(ready);
        }
        out
    }

    #[test]
    fn a_size_goes_on_with_its_data_only() {
        let out = passed(&[b"7fffffffffffffff\r\n", b"hel", b"l", b"o"]);
        assert_eq!(out, ["", "3\r\nhel\r\n", "1\r\nl\r\n", "1\r\no\r\n"]);
        let out = passed(&[b"1\r\na\r\n0100000001;x=y\r\nhello", b"!"]);
        assert_eq!(out, ["1\r\na\r\n5\r\nhello\r\n", "1\r\n!\r\n"]);
    }

    #[test]
    fn a_line_end_that_comes_after_its_chunk_goes_on_before() {
        let out = passed(&[b"2\r\nhi", b"\r\n1\r\n!\r", b"\n0\r\n\r", b"\n"]);
        assert_eq!(out, ["2\r\nhi\r\n", "1\r\n!\r\n", "", "0\r\n\r\n"]);
    }

    /// A block that was filled to its last byte has room for the line and the line end.
    #[test]
    fn a_full_buffer_is_a_chunk() {
        let (mut chunked, mut held) = (Chunked::new(Emit::Chunks), Buffer::new());
        held.append(b"fffff\r\n");
        assert_eq!(chunked.admit(&mut held), Ok(0));
        for _ in 0..2 {
            let room = held.spare_mut().len();
            held.fill(room);
            let line = format!("{room:x}\r\n");
            assert_eq!(chunked.admit(&mut held), Ok(line.len() + room + 2));
            assert!(held.filled().starts_with(line.as_bytes()));
            held.consume(line.len() + room + 2);
        }
    }

    #[test]
    fn an_http_1_0_client_gets_the_data_alone() {
        for step in [1, 3, 100] {
            let out = pass(b"5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n", step, Emit::Data);
            assert_eq!(out.unwrap().0, b"hello world");
        }
    }

    #[test]
    fn trailers_are_left_out_where_they_may_be_meant_for_us() {
        for step in [1, 3, 100] {
            let out = pass(b"1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\n", step, Emit::BareChunks);
            assert_eq!(out.unwrap().0, b"1\r\na\r\n0\r\n\r\n");
        }
    }

    #[test]
    fn refusals() {
        let long = format!("1;{}\r\n", "a".repeat(CHUNK_LINE_BYTES_MAX));
        let many = format!("0\r\n{}", "A: b\r\n".repeat(TRAILER_BYTES_MAX / 6 + 1));
        let rows = [
            ("\r\n", Reject::ChunkSize),
            ("x\r\n", Reject::ChunkSize),
            ("-1\r\n", Reject::ChunkSize),
            ("+1\r\n", Reject::ChunkSize),
            ("0x1\r\n", Reject::ChunkSize),
            ("1_0\r\n", Reject::ChunkSize),
            (" 1\r\n", Reject::ChunkSize),
            ("10000000000000000\r\n", Reject::ChunkSize),
            ("1 \r\n", Reject::ChunkExtension),
            ("1;\r\n", Reject::ChunkExtension),
            ("1;a=\r\n", Reject::ChunkExtension),
            ("1;a=\"b\r\n", Reject::ChunkExtension),
            ("1;a\rb\r\n", Reject::ChunkExtension),
            ("1 \r;a=b\r\n", Reject::ChunkExtension),
            ("1;\x0ca\r\n", Reject::ChunkExtension),
            ("1;a=\"\\\r\"\r\n", Reject::ChunkExtension),
            ("1\n", Reject::BareLf),
            ("1\r\nab\r\n", Reject::ChunkEnd),
            ("1\r\na\n", Reject::ChunkEnd),
            ("0\r\nA\r\n", Reject::Trailer),
            ("0\r\nA : b\r\n", Reject::Trailer),
            ("0\r\n A: b\r\n", Reject::Trailer),
            ("0\r\nA: b\0\r\n", Reject::Trailer),
            ("0\r\nContent-Length: 5\r\n", Reject::ForbiddenTrailer),
            ("0\r\nhost: a\r\n", Reject::ForbiddenTrailer),
            ("0\r\n\n", Reject::BareLf),
            (long.as_str(), Reject::ChunkLineTooLong),
            (many.as_str(), Reject::TrailerTooLarge),
        ];
        for (body, reject) in rows {
            for step in [1, body.len()] {
                assert_eq!(pass(body.as_bytes(), step, Emit::Chunks), Err(reject), "{body:?}");
            }
        }
    }

    #[test]
    fn what_is_broken_stays_broken() {
        let (mut chunked, mut held) = (Chunked::new(Emit::Chunks), Buffer::new());
        held.append(b"5\r\n");
        assert_eq!(chunked.admit(&mut held), Ok(0));
        held.append(b"0\r\n\r\n\r\nZ");
        assert_eq!(chunked.admit(&mut held), Err(Reject::ChunkSize));
        assert_eq!(chunked.admit(&mut held), Err(Reject::ChunkSize));
        assert!(!chunked.is_done());
    }

    #[test]
    fn more_data_than_there_may_be_is_refused_by_the_size_of_its_chunk() {
        for (data_max, expected) in [(7, Ok(20)), (6, Err(Reject::BodyTooLong))] {
            let mut chunked = Chunked::new(Emit::Chunks);
            chunked.set_data_max(data_max);
            let mut buffer = Buffer::new();
            buffer.append(b"3\r\nabc\r\n");
            assert_eq!(chunked.admit(&mut buffer), Ok(8));
            buffer.consume(8);
            buffer.append(b"4\r\n");
            let announced = chunked.admit(&mut buffer);
            buffer.append(b"defg\r\n0\r\n\r\n");
            let all = announced.and_then(|_| chunked.admit(&mut buffer));
            assert_eq!(all.map(|ready| ready + 6), expected);
            assert!(announced.is_ok() == expected.is_ok());
        }
    }

    /// What goes on of a chunk of 5 bytes whose data goes on unseen, `first` bytes before the others.
    fn unseen(emit: Emit, first: usize, waits: bool) -> String {
        let (mut chunked, mut held) = (Chunked::new(emit), Buffer::new());
        let mut out = Vec::new();
        held.append(b"005;x\r\n");
        assert_eq!((chunked.admit(&mut held), chunked.data_left()), (Ok(0), 5));
        held.consume(7);
        for piece in [&b"hello"[..first], &b"hello"[first..]] {
            let line = chunked.size_line(piece.len());
            out.extend_from_slice(line.as_ref().map_or(b"", SizeLine::bytes));
            out.extend_from_slice(piece);
            chunked.pass_unseen(piece.len());
            if waits {
                out.extend_from_slice(chunked.owed());
                chunked.pass_owed();
            }
        }
        assert_eq!(chunked.data_left(), 0);
        for piece in [&b"\r"[..], b"\n1\r\n!\r\n0\r\n", b"\r\n"] {
            held.append(piece);
            let ready = chunked.admit(&mut held).unwrap();
            out.extend_from_slice(&held.filled()[..ready]);
            held.consume(ready);
        }
        assert!(chunked.is_done());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn data_that_goes_on_unseen_is_in_chunks_of_its_own() {
        for waits in [false, true] {
            let out = unseen(Emit::Chunks, 3, waits);
            assert_eq!(out, "3\r\nhel\r\n2\r\nlo\r\n1\r\n!\r\n0\r\n\r\n");
            assert_eq!(unseen(Emit::Data, 3, waits), "hello!");
        }
    }

    #[test]
    fn a_chunk_that_has_gone_on_unseen_owes_its_line_end_once() {
        let mut chunked = Chunked::new(Emit::BareChunks);
        let mut held = Buffer::new();
        held.append(b"2\r\n");
        chunked.admit(&mut held).unwrap();
        assert!(chunked.owed().is_empty());
        chunked.pass_unseen(2);
        assert_eq!(chunked.owed(), b"\r\n");
        held.append(b"\r\n1\r\n!\r\n");
        assert_eq!(chunked.admit(&mut held), Ok(8));
        assert_eq!((held.filled(), chunked.owed()), (&b"\r\n1\r\n!\r\n"[..], &b""[..]));
    }

    #[test]
    fn the_line_after_a_chunk_is_taken_to_be_as_long_as_its_own() {
        let (mut chunked, mut held) = (Chunked::new(Emit::Chunks), Buffer::new());
        let mut feed = |chunked: &mut Chunked, bytes: &[u8]| {
            held.append(bytes);
            let ready = chunked.admit(&mut held).unwrap();
            held.consume(ready);
        };
        feed(&mut chunked, b"0010;x\r\n");
        assert_eq!((chunked.size(), chunked.to_next_data()), (16, Some(16 + 2 + 8)));
        feed(&mut chunked, &[b'x'; 6]);
        assert_eq!((chunked.size(), chunked.to_next_data()), (16, Some(10 + 2 + 8)));
        chunked.pass_unseen(10);
        assert_eq!(chunked.to_next_data(), Some(2 + 8));
        feed(&mut chunked, b"\r");
        assert_eq!(chunked.to_next_data(), Some(1 + 8));
        feed(&mut chunked, b"\n");
        assert_eq!((chunked.size(), chunked.to_next_data()), (16, Some(8)));
        feed(&mut chunked, b"f\r\n");
        assert_eq!((chunked.size(), chunked.to_next_data()), (15, Some(15 + 2 + 3)));
        feed(&mut chunked, b"123456789012345\r\n0\r\n\r\n");
        assert_eq!(chunked.to_next_data(), None);
    }
}
