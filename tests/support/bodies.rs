//! The bodies of requests, as an origin reads them.

use super::Conn;
use super::wire::Wire;

impl<S: Wire> Conn<S> {
    /// The body of a request with this head, however that frames it; `None` if it does not come whole.
    pub fn body_of(&mut self, head: &str) -> Option<Vec<u8>> {
        let field = |wanted: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
        };
        if field("transfer-encoding").is_some() {
            return self.chunks();
        }
        self.bytes(field("content-length").map_or(0, |value| value.parse().expect("a length")))
    }

    /// The data of a chunked body, to its end; trailers are skipped.
    pub fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Some(data);
            }
            data.extend(chunk);
        }
    }

    /// The data of the next chunk; none, and the trailers are skipped, if it is the last one.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = String::from_utf8(self.line()).ok()?;
        let size = usize::from_str_radix(line.strip_suffix("\r\n")?, 16).ok()?;
        let data = self.bytes(size)?;
        let mut line = self.line();
        while size == 0 && !line.is_empty() && line != b"\r\n" {
            line = self.line();
        }
        (line == b"\r\n").then_some(data)
    }

    /// Answers every request, once its body has come.
    pub fn answer_all(mut self, answer: &[u8]) {
        while let Some(head) = self.head() {
            if self.body_of(&head).is_none() {
                return;
            }
            self.send(answer);
        }
    }
}
