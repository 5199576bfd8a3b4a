//! A copy of a body that is made while it is passed on, as long as it is short.

use std::cell::RefCell;

use crate::http::h1::chunk_lines;

/// How many bytes of a body are copied: a longer one is not copied at all. As in Envoy's and nginx's usual
/// buffers, most requests that change something fit.
pub const COPIED_BYTES_MAX: usize = 64 * 1024;

/// What a piece of a body is, as it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceForm {
    /// Data.
    Data,
    /// Whole chunks of our own, the last one perhaps among them, and then trailers.
    Chunks,
}

/// What sees a body as it is passed on.
pub trait BodyTap {
    /// Whether the pieces that follow have to be seen.
    fn goes_on(&self) -> bool;

    /// A piece has gone on.
    fn add(&self, piece: &[u8], form: PieceForm);
}

/// The data of a body without its framing, as far as it has been passed on.
#[derive(Debug)]
pub struct BodyCopy(RefCell<Copied>);

#[derive(Debug)]
enum Copied {
    Data(Vec<u8>),
    TooLong,
}

/// Nothing yet.
impl Default for BodyCopy {
    fn default() -> Self {
        Self(RefCell::new(Copied::Data(Vec::new())))
    }
}

impl BodyCopy {
    /// Adds a piece.
    pub fn add(&self, piece: &[u8], form: PieceForm) {
        let mut copied = self.0.borrow_mut();
        let Copied::Data(data) = &mut *copied else { return };
        let is_whole = match form {
            PieceForm::Data => append(piece, data),
            PieceForm::Chunks => append_chunks(piece, data),
        };
        if is_whole.is_none() {
            *copied = Copied::TooLong;
        }
    }

    /// Whether the pieces that follow have to be seen.
    pub fn goes_on(&self) -> bool {
        matches!(*self.0.borrow(), Copied::Data(_))
    }

    /// All data; `None` if there was too much.
    pub fn take(&self) -> Option<Vec<u8>> {
        match self.0.replace(Copied::TooLong) {
            Copied::Data(data) => Some(data),
            Copied::TooLong => None,
        }
    }
}

fn append(piece: &[u8], data: &mut Vec<u8>) -> Option<()> {
    if data.len() + piece.len() > COPIED_BYTES_MAX {
        return None;
    }
    data.extend_from_slice(piece);
    Some(())
}

fn append_chunks(mut piece: &[u8], data: &mut Vec<u8>) -> Option<()> {
    while !piece.is_empty() {
        let digits = piece.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = usize::try_from(chunk_lines::size(&piece[..digits])?).ok()?;
        if size == 0 {
            // Trailers follow, which a request of known length cannot have.
            return Some(());
        }
        let begin = memchr::memchr(b'\n', piece)? + 1;
        let end = begin.checked_add(size)?;
        append(piece.get(begin..end)?, data)?;
        piece = piece.get(end + 2..)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_copied_without_their_framing() {
        let copy = BodyCopy::default();
        copy.add(b"3\r\nabc\r\n00a;x=1\r\n0123456789\r\n", PieceForm::Chunks);
        copy.add(b"1\r\nd\r\n0\r\nA: trailer\r\n\r\n", PieceForm::Chunks);
        assert_eq!(copy.take().unwrap(), b"abc0123456789d");
    }

    #[test]
    fn a_body_is_copied_up_to_its_ceiling() {
        let copy = BodyCopy::default();
        copy.add(&[b'x'; COPIED_BYTES_MAX - 1], PieceForm::Data);
        copy.add(b"1\r\ny\r\n", PieceForm::Chunks);
        assert!(copy.goes_on());
        assert_eq!(copy.take().map(|data| data.len()), Some(COPIED_BYTES_MAX));
        let longer = BodyCopy::default();
        longer.add(&[b'x'; COPIED_BYTES_MAX], PieceForm::Data);
        longer.add(b"1\r\ny\r\n", PieceForm::Chunks);
        assert!(!longer.goes_on());
        assert_eq!(longer.take(), None);
    }
}
