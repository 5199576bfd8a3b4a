//! The trace that a request belongs to, as `traceparent` names it (W3C Trace Context, levels 1 and 2).

use std::fmt;

/// The bytes of a `traceparent` that we write: version 00.
pub const TRACEPARENT_BYTES: usize = 55;

/// The start of the field, as we write it. No value holds the end of a line.
const FIELD: &[u8] = b"\r\ntraceparent: ";

/// Names a trace; not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// Of two numbers by chance.
    pub fn by_chance(high: u64, low: u64) -> Self {
        // Zero means that there is none (§3.2.2.3).
        let low = if high | low == 0 { 1 } else { low };
        Self((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }

    /// Its bytes, in the order in which they are written.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A number that is as random as the rightmost half of it.
    pub fn number(&self) -> u64 {
        u64::try_from(u128::from_be_bytes(self.0) & u128::from(u64::MAX)).unwrap_or_default()
    }

    /// As it is written.
    pub fn digits(&self) -> [u8; 32] {
        hex(&self.0)
    }
}

/// Names a span within its trace; not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// Of a number by chance.
    pub fn by_chance(number: u64) -> Self {
        Self(number.max(1).to_be_bytes())
    }

    /// Its bytes, in the order in which they are written.
    pub const fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// What is said of a trace besides its name (§3.2.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceFlags(u8);

impl TraceFlags {
    const SAMPLED: u8 = 1;
    /// Level 2: the rightmost 56 bits of the trace's name are random.
    const RANDOM: u8 = 2;

    /// Those of a trace that begins here.
    pub const fn of_root(is_sampled: bool) -> Self {
        Self(Self::RANDOM | if is_sampled { Self::SAMPLED } else { 0 })
    }

    /// Whether the caller may have recorded it.
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED != 0
    }

    /// As a number.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// What a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span of the caller.
    pub parent: SpanId,
    /// What else is said.
    pub flags: TraceFlags,
}

impl TraceContext {
    /// Reads the value of a header, strictly; `None` for what is invalid, which starts a new trace (§4.3). Of versions to
    /// come, what version 00 has is read (§4.3, *Versioning*).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(TRACEPARENT_BYTES)?;
        let [version] = bytes(&head[..2])?;
        let is_whole = match version {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if !is_whole || [2, 35, 52].iter().any(|at| head[*at] != b'-') {
            return None;
        }
        let (trace, parent) = (TraceId(bytes(&head[3..35])?), SpanId(bytes(&head[36..52])?));
        let [flags] = bytes(&head[53..])?;
        let is_named = trace.0 != [0; 16] && parent.0 != [0; 8];
        let flags = TraceFlags(flags & (TraceFlags::SAMPLED | TraceFlags::RANDOM));
        is_named.then_some(Self { trace, parent, flags })
    }

    /// As version 00 writes it.
    pub fn write(&self) -> [u8; TRACEPARENT_BYTES] {
        let mut out = *b"00-................................-................-..";
        out[3..35].copy_from_slice(&self.trace.digits());
        out[36..52].copy_from_slice(&hex::<8, 16>(&self.parent.0));
        out[53..].copy_from_slice(&hex::<1, 2>(&[self.flags.0]));
        out
    }

    /// In the head of a request that was written with one of this trace, the span of the caller becomes this one.
    /// Whether there was one. Only the header itself is looked at: a client may have written the same anywhere else.
    pub fn rewrite(&self, head: &mut [u8]) -> bool {
        let text = self.write();
        let Some(line) = memchr::memmem::find(head, FIELD) else { return false };
        let value = &mut head[line + FIELD.len()..];
        let length = memchr::memmem::find(value, b"\r\n").unwrap_or(value.len());
        let is_of_trace = length == text.len() && value[..36] == text[..36];
        if is_of_trace {
            value[..length].copy_from_slice(&text);
        }
        is_of_trace
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The lower-case digits of bytes.
fn hex<const BYTES: usize, const DIGITS: usize>(bytes: &[u8; BYTES]) -> [u8; DIGITS] {
    const DIGIT: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; DIGITS];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGIT[usize::from(byte >> 4)], DIGIT[usize::from(byte & 15)]]);
    }
    digits
}

/// The bytes that twice as many lower-case digits stand for; capitals are invalid (§3.2.2).
fn bytes<const BYTES: usize>(digits: &[u8]) -> Option<[u8; BYTES]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_the_same() {
        let read = TraceContext::parse(VALID.as_bytes()).unwrap();
        assert_eq!(read.write(), *VALID.as_bytes());
        assert_eq!(read.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(read.trace.number(), 0xa3ce_929d_0e0e_4736);
        assert!(read.flags.is_sampled());
        assert!(
            !TraceContext::parse(VALID.replace("-01", "-02").as_bytes())
                .unwrap()
                .flags
                .is_sampled()
        );
    }

    #[test]
    fn what_is_invalid_is_not_read() {
        let invalid = [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ];
        for value in invalid {
            assert_eq!(TraceContext::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn of_a_later_version_that_is_read_which_this_one_has_and_flags_that_are_not_known_are_dropped()
    {
        for value in [
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-f9",
        ] {
            let read = TraceContext::parse(value.as_bytes()).unwrap();
            assert_eq!(read.write(), *VALID.as_bytes(), "{value}");
        }
    }

    #[test]
    fn ids_by_chance_are_never_zero() {
        assert_eq!(TraceId::by_chance(0, 0).to_string(), format!("{:032x}", 1));
        assert_eq!(SpanId::by_chance(0).bytes(), &[0, 0, 0, 0, 0, 0, 0, 1]);
        let context = TraceContext {
            trace: TraceId::by_chance(1, 2),
            parent: SpanId::by_chance(3),
            flags: TraceFlags::of_root(true),
        };
        assert_eq!(TraceContext::parse(&context.write()), Some(context));
    }

    #[test]
    fn the_caller_of_a_head_that_was_written_can_be_replaced() {
        let read = TraceContext::parse(VALID.as_bytes()).unwrap();
        let mut head = format!("GET / HTTP/1.1\r\ntraceparent: {VALID}\r\n\r\n").into_bytes();
        let next = TraceContext { parent: SpanId::by_chance(0xab), ..read };
        assert!(next.rewrite(&mut head));
        let expected = VALID.replace("00f067aa0ba902b7", "00000000000000ab");
        assert_eq!(head, format!("GET / HTTP/1.1\r\ntraceparent: {expected}\r\n\r\n").into_bytes());
        assert!(!next.rewrite(&mut b"GET / HTTP/1.1\r\n\r\n".to_vec()));
    }

    #[test]
    fn what_looks_like_it_elsewhere_in_a_head_is_left_alone() {
        let read = TraceContext::parse(VALID.as_bytes()).unwrap();
        let next = TraceContext { parent: SpanId::by_chance(0xab), ..read };
        let start = &VALID[..36];
        let expected = VALID.replace("00f067aa0ba902b7", "00000000000000ab");
        for before in [
            format!("GET /{start} HTTP/1.1\r\nHost: a\r\n"),
            format!("GET / HTTP/1.1\r\nX-A: {start}\r\nHost: a\r\n"),
            format!("GET /traceparent:{VALID} HTTP/1.1\r\nX-A: traceparent: {VALID}\r\n"),
        ] {
            let mut head = format!("{before}traceparent: {VALID}\r\nX-B: {start}").into_bytes();
            assert!(next.rewrite(&mut head), "{before}");
            let whole = format!("{before}traceparent: {expected}\r\nX-B: {start}");
            assert_eq!(head, whole.into_bytes());
            let other = format!("{before}traceparent: {VALID}0\r\nX-B: {start}");
            let mut head = other.clone().into_bytes();
            assert!(!next.rewrite(&mut head), "{other}");
            assert_eq!(head, other.into_bytes());
        }
    }
}
