//! Header blocks: frames that make one up, and their compression (RFC 9113 §4.3, §6.10; RFC 7541).

use super::gate::Outcome::{Answered, Reset};
use super::gate::{COMPRESSION, PROTOCOL, fresh, halves, request};
use crate::support::h2::{Frame, block, error, flag, get, integer, kind, literal};

/// HEADERS of a whole request, with this block.
fn headers(stream: u32, block: &[u8]) -> Frame {
    let flags = flag::END_HEADERS | flag::END_STREAM;
    Frame::new(kind::HEADERS, flags, stream, block)
}

/// A GET request, in which these bytes come before or after the others.
fn with(before: &[u8], after: &[u8]) -> [Frame; 1] {
    [headers(1, &[before, &block(&get("/")), after].concat())]
}

/// The beginning of a request, and these frames.
fn after_half(frames: impl IntoIterator<Item = Frame>) -> Vec<Frame> {
    [halves(1).0].into_iter().chain(frames).collect()
}

/// CONTINUATION of that request, to the end.
fn rest() -> Frame {
    Frame::continuation(1, halves(1).1).with(flag::END_HEADERS)
}

/// A request whose block comes in so many frames.
fn in_pieces() -> Vec<Frame> {
    let Frame { payload, .. } = request(1);
    let mut pieces = payload.chunks(8).map(|piece| Frame::continuation(1, piece));
    let first = Frame { kind: kind::HEADERS, ..pieces.next().unwrap() }.end();
    let mut frames: Vec<_> = [first].into_iter().chain(pieces).collect();
    frames.last_mut().unwrap().flags |= flag::END_HEADERS;
    frames
}

// CONTINUATION (§6.10).
h2_rules! {
    a_block_in_two_frames: fresh, after_half([rest()]) => Answered(1, "");
    a_block_in_many_frames: fresh, in_pieces() => Answered(1, "");
    a_continuation_that_is_empty:
        fresh, after_half([Frame::continuation(1, []), rest()]) => Answered(1, "");
    a_block_without_headers_in_its_first_frame:
        fresh, [
            Frame::new(kind::HEADERS, flag::END_STREAM, 1, []),
            Frame::continuation(1, request(1).payload).with(flag::END_HEADERS),
        ] => Answered(1, "");
    a_priority_within_a_block: fresh, after_half([Frame::priority(1, 0, 0)]) => PROTOCOL;
    data_within_a_block: fresh, after_half([Frame::data(1, "a")]) => PROTOCOL;
    settings_within_a_block: fresh, after_half([Frame::settings(&[])]) => PROTOCOL;
    an_unknown_frame_within_a_block: fresh, after_half([Frame::new(0xfa, 0, 1, [])]) => PROTOCOL;
    headers_of_another_stream_within_a_block: fresh, after_half([request(3)]) => PROTOCOL;
    headers_of_the_same_stream_within_a_block: fresh, after_half([request(1)]) => PROTOCOL;
    a_continuation_of_another_stream:
        fresh, after_half([Frame { stream: 3, ..rest() }]) => PROTOCOL;
    a_continuation_on_stream_0: fresh, after_half([Frame { stream: 0, ..rest() }]) => PROTOCOL;
    a_continuation_after_a_whole_block: waiting, [rest()] => PROTOCOL;
    a_continuation_after_the_last: fresh, after_half([rest(), rest()]) => PROTOCOL;
    a_continuation_after_data: open, [Frame::data(1, "a"), rest()] => PROTOCOL;
}

// What a field may be written as (RFC 7541 §6).
h2_rules! {
    // :method GET, :scheme http, :path /
    an_indexed_field:
        fresh, [headers(1, &[&[0x82, 0x86, 0x84][..], &literal(":authority", "a")].concat())]
        => Answered(1, "");
    a_literal_with_an_indexed_name:
        fresh, [headers(1, b"\x82\x86\x84\x01\x01a")] => Answered(1, "");
    a_literal_that_is_never_indexed:
        fresh, [headers(1, b"\x82\x86\x84\x11\x01a")] => Answered(1, "");
    a_literal_to_be_indexed: fresh, [headers(1, b"\x82\x86\x84\x41\x01a")] => Answered(1, "");
    // www.example.com (RFC 7541 §C.4.1)
    a_string_in_huffman_code: fresh, [headers(
        1,
        b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
    )] => Answered(1, "");
    sizes_of_the_table_before_a_block:
        fresh, with(&[integer(0x20, 5, 0), integer(0x20, 5, 4096)].concat(), &[])
        => Answered(1, "");
}

// What cannot be decompressed (§4.3, RFC 7541 §2.3.3, §4.2, §5.1, §5.2, §6).
h2_rules! {
    an_index_of_0: fresh, with(&[], &[0x80]) => COMPRESSION;
    an_index_beyond_the_table: fresh, with(&[], &integer(0x80, 7, 62)) => COMPRESSION;
    a_name_beyond_the_table:
        fresh, with(&[], &[&integer(0x40, 6, 62)[..], b"\x01a"].concat()) => COMPRESSION;
    an_index_that_overflows:
        fresh, with(&[], &[0xff; 12]) => COMPRESSION;
    a_table_larger_than_allowed: fresh, with(&integer(0x20, 5, 4097), &[]) => COMPRESSION;
    a_size_of_the_table_after_a_field: fresh, with(&[], &integer(0x20, 5, 0)) => COMPRESSION;
    a_string_that_is_cut: fresh, with(&[], b"\x00\x05abc") => COMPRESSION;
    a_field_that_is_cut: fresh, with(&[], b"\x00\x01a") => COMPRESSION;
    huffman_padding_of_eight_bits: fresh, with(&[], b"\x00\x01a\x82\x1f\xff") => COMPRESSION;
    huffman_padding_of_zeros: fresh, with(&[], b"\x00\x01a\x81\x18") => COMPRESSION;
    the_end_of_a_string_in_huffman_code:
        fresh, with(&[], b"\x00\x01a\x84\xff\xff\xff\xff") => COMPRESSION;
}

/// A block of a request that is refused, and whose last field gets into the table.
fn refused(stream: u32) -> Frame {
    headers(stream, &[&block(&[(":method", "GET")])[..], b"\x40\x05:path\x02/x"].concat())
}

/// A request that names the newest field of the table.
fn referring(stream: u32) -> Frame {
    headers(stream, &[0x82, 0x86, integer(0x80, 7, 62)[0], 0x01, 0x01, b'a'])
}

#[test]
fn the_block_of_a_refused_request_counts_for_those_after_it() {
    let mut client = fresh();
    client.send(refused(1));
    client.expect_reset(1, error::PROTOCOL_ERROR);
    client.send(referring(3));
    super::gate::settled(&mut client, &Answered(3, ""));
}

h2_rules! {
    a_block_of_a_stream_that_is_gone_counts_for_those_after_it:
        broken, [refused(1), referring(3)] => Answered(3, "");
    a_table_that_has_been_emptied:
        fresh, [refused(1), headers(3, &[0x20, 0x82, 0x86, 0xbe])] => COMPRESSION;
    an_empty_block: fresh, [headers(1, &[])] => Reset(1, error::PROTOCOL_ERROR);
}
