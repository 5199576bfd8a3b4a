//! The fuzz target of this room; see CONTRIBUTING.md.

use super::context::{TRACEPARENT_BYTES, TraceContext};

/// What is read of a `traceparent` is what its simplest reader finds; written again, it is read the same; and in a head
/// it takes the place of the one that names its trace, and of no other byte.
pub fn traceparent(data: &[u8]) {
    let read = TraceContext::parse(data);
    assert_eq!(read.map(|read| read.write().to_vec()), simplest(data));
    let Some(read) = read else { return };
    assert_eq!(TraceContext::parse(&read.write()), Some(read));
    if data.len() > TRACEPARENT_BYTES {
        return;
    }
    let before = [b"GET / HTTP/1.1\r\nX-A: ", data, b"\r\ntraceparent: "].concat();
    let place = before.len();
    let mut head = [&before, data, b"\r\n"].concat();
    let before = head.clone();
    assert_eq!(read.rewrite(&mut head), data.starts_with(b"00-"));
    assert_eq!(head.len(), before.len());
    // Flags that are not known are dropped.
    let flags = place + TRACEPARENT_BYTES - 2;
    assert_eq!((&head[..flags], &head[flags + 2..]), (&before[..flags], &before[flags + 2..]));
}

/// Version 00 of what is valid: by parts, as the recommendation describes them.
fn simplest(data: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(data.get(..TRACEPARENT_BYTES)?).ok()?;
    let [version, trace, parent, flags] = text.split('-').collect::<Vec<_>>()[..] else {
        return None;
    };
    let lengths = [version, trace, parent, flags].map(str::len);
    let is_hex = |part: &str| part.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    let is_whole = data.len() == TRACEPARENT_BYTES
        || version != "00" && data.get(TRACEPARENT_BYTES) == Some(&b'-');
    if lengths != [2, 32, 16, 2]
        || ![version, trace, parent, flags].into_iter().all(is_hex)
        || version == "ff"
        || [trace, parent].iter().any(|id| id.bytes().all(|digit| digit == b'0'))
        || !is_whole
    {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()? & 3;
    Some(format!("00-{trace}-{parent}-{flags:02x}").into_bytes())
}

#[cfg(test)]
mod tests {
    #[test]
    fn traceparent() {
        crate::corpus::replay("traceparent", 20_000, super::traceparent);
    }
}
