//! HTTP/1.1 as a peer in a world reads it: by itself, and strictly.

/// A head.
#[derive(Debug)]
pub(super) struct MessageHead {
    /// The words of its first line.
    pub(super) first: Vec<String>,
    pub(super) fields: Vec<(String, String)>,
}

impl MessageHead {
    /// Takes the head at the front of `input`, if it is whole.
    pub(super) fn take(input: &mut Vec<u8>) -> Option<Self> {
        let end = memchr::memmem::find(input, b"\r\n\r\n")?;
        let text = String::from_utf8(input[..end].to_vec()).expect("text");
        input.drain(..end + 4);
        let mut lines = text.split("\r\n");
        let first = lines.next().expect("a first line").splitn(3, ' ').map(str::to_owned);
        Some(Self { first: first.collect(), fields: lines.map(field).collect() })
    }

    /// How its body ends, if there may be one; `None` if nothing says so.
    pub(super) fn framing(&self) -> Option<Framing> {
        let chunked = super::frames::value(&self.fields, "transfer-encoding");
        let length = super::frames::value(&self.fields, "content-length");
        assert!(chunked.is_none() || length.is_none(), "two framings");
        if chunked == Some("chunked") {
            return Some(Framing::Chunked(Chunk::Size));
        }
        Some(Framing::Length(length?.parse().expect("a length")))
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(": ").expect("a field");
    (name.to_ascii_lowercase(), value.to_owned())
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes more.
    Length(usize),
    Chunked(Chunk),
    /// With the connection.
    Close,
}

/// What of a chunked body comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Size,
    Data(usize),
    /// The end of its line.
    End,
    Trailers,
}

/// What has come of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Bytes(Vec<u8>),
    End { trailers: Vec<(String, String)> },
}

impl Framing {
    /// Takes the next part of a body at the front of `input`, if there is any.
    pub(super) fn take(&mut self, input: &mut Vec<u8>) -> Option<Part> {
        loop {
            match self {
                Self::Length(0) => return Some(Part::End { trailers: Vec::new() }),
                Self::Length(left) | Self::Chunked(Chunk::Data(left)) if *left > 0 => {
                    let count = input.len().min(*left);
                    *left -= count;
                    return (count > 0).then(|| Part::Bytes(input.drain(..count).collect()));
                }
                Self::Length(_) => return None,
                Self::Close => {
                    return (!input.is_empty()).then(|| Part::Bytes(std::mem::take(input)));
                }
                Self::Chunked(Chunk::Data(_)) => *self = Self::Chunked(Chunk::End),
                Self::Chunked(Chunk::End) => {
                    assert_eq!(line(input)?, "", "after a chunk");
                    *self = Self::Chunked(Chunk::Size);
                }
                Self::Chunked(Chunk::Size) => {
                    let size = usize::from_str_radix(&line(input)?, 16).expect("a size");
                    let next = if size == 0 { Chunk::Trailers } else { Chunk::Data(size) };
                    *self = Self::Chunked(next);
                }
                Self::Chunked(Chunk::Trailers) => {
                    if input.starts_with(b"\r\n") {
                        input.drain(..2);
                        return Some(Part::End { trailers: Vec::new() });
                    }
                    let end = memchr::memmem::find(input, b"\r\n\r\n")?;
                    let text = String::from_utf8(input[..end].to_vec()).expect("text");
                    input.drain(..end + 4);
                    return Some(Part::End { trailers: text.split("\r\n").map(field).collect() });
                }
            }
        }
    }
}

/// The line at the front of `input`, without its end.
fn line(input: &mut Vec<u8>) -> Option<String> {
    let end = memchr::memmem::find(input, b"\r\n")?;
    let text = String::from_utf8(input[..end].to_vec()).expect("text");
    input.drain(..end + 2);
    Some(text)
}
