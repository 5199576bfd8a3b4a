//! Why a message is refused: the sender's fault, named precisely enough to be counted and looked up.
//!
//! A [`Reject`] is the same word for requests and responses. A refused request is answered with
//! [`Reject::status`] and its connection closed; a refused response is answered 502 and its
//! connection never used again. `docs/specification.md` has the rule behind each variant and its test.

/// One way in which a message breaks the rules this proxy holds it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reject {
    /// The request line is not `method SP target SP version` (RFC 9112 §3).
    RequestLine,
    /// The request target has no form this proxy serves (RFC 9112 §3.2).
    Target,
    /// The version is not HTTP/1.0 or HTTP/1.1 (RFC 9110 §15.6.6).
    Version,
    /// CONNECT: this is a gateway, not a forward proxy (RFC 9110 §9.3.6).
    Connect,
    /// A line ends in LF without CR (RFC 9112 §2.2 lets a recipient accept it; that is how heads
    /// come to be read differently on the two sides of a proxy).
    BareLf,
    /// A field value goes on in the next line (RFC 9112 §5.2).
    ObsFold,
    /// A field name is empty, no token, or followed by white space (RFC 9112 §5.1).
    FieldName,
    /// A field value holds NUL, CR or another control character (RFC 9110 §5.5).
    FieldValue,
    /// A pseudo-header field of HTTP/2 is missing, given twice, unknown, stands after other fields, or
    /// cannot be what it says (RFC 9113 §8.3).
    PseudoHeader,
    /// A field that is about a connection, in HTTP/2, which has none of these (RFC 9113 §8.2.2).
    ConnectionField,
    /// More fields than `--max-fields`.
    TooManyFields,
    /// The head is longer than `--max-head`.
    HeadTooLarge,
    /// The first line alone is longer than `--max-head`.
    TargetTooLong,
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    MissingHost,
    /// More than one Host field (RFC 9112 §3.2).
    DuplicateHost,
    /// Host is not `host[:port]` (RFC 9110 §7.2).
    InvalidHost,
    /// The target names another host than the Host field (RFC 9112 §3.2.2).
    HostMismatch,
    /// Expect asks for anything but one `100-continue` (RFC 9110 §10.1.1).
    Expectation,
    /// Max-Forwards of OPTIONS or TRACE is not one number of decimal digits (RFC 9110 §7.6.2).
    MaxForwards,
    /// Via says that this very process has forwarded the request before (RFC 5842 §7.2).
    Loop,
    /// The path climbs above the root with `..` (RFC 3986 §5.2.4 would let it pass).
    PathAboveRoot,
    /// Content-Length is not one number of decimal digits that fits 63 bits (RFC 9112 §6.3).
    ContentLength,
    /// Content-Length is given more than once (RFC 9112 §6.3).
    DuplicateContentLength,
    /// The body of an HTTP/2 message is longer or shorter than its Content-Length (RFC 9113 §8.1.1).
    LengthMismatch,
    /// Content-Length and Transfer-Encoding in one message (RFC 9112 §6.1).
    LengthAndEncoding,
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    UnknownEncoding,
    /// `chunked` is not the last coding, or is applied twice (RFC 9112 §6.1).
    ChunkedNotLast,
    /// Transfer-Encoding in an HTTP/1.0 message (RFC 9112 §6.1).
    EncodingInHttp10,
    /// A chunk size is no plain hexadecimal number or does not fit 63 bits (RFC 9112 §7.1).
    ChunkSize,
    /// A chunk extension breaks its grammar (RFC 9112 §7.1.1).
    ChunkExtension,
    /// The line of a chunk size is longer than `CHUNK_LINE_BYTES_MAX`.
    ChunkLineTooLong,
    /// The data of a chunk is not followed by CRLF (RFC 9112 §7.1).
    ChunkEnd,
    /// A trailer field breaks the syntax of fields (RFC 9112 §7.1.2), or a trailer section does not end its
    /// HTTP/2 stream (RFC 9113 §8.1).
    Trailer,
    /// A trailer field that must not be one: framing, routing, connection (RFC 9110 §6.5.1).
    ForbiddenTrailer,
    /// The trailer section is longer than `TRAILER_BYTES_MAX`.
    TrailerTooLarge,
    /// A chunked body, or that of a stream, has grown longer than `max_body` (RFC 9110 §15.5.14).
    BodyTooLong,
    /// The status line of a response is malformed (RFC 9112 §4).
    StatusLine,
    /// An endpoint that is to speak HTTP/2 does not (RFC 9113 §3.4).
    NotHttp2,
    /// An endpoint that is to speak HTTP/1.1 begins with a frame of HTTP/2 (RFC 9113 §3.4).
    SpeaksHttp2,
    /// The status code lies outside 100–599 (RFC 9110 §15).
    StatusCode,
    /// More interim responses than `INTERIM_MAX` before the final one.
    TooManyInterim,
    /// An interim response of HTTP/2 that ends its stream: no other can follow (RFC 9113 §8.1).
    InterimEnds,
    /// 101 to a request that asked for no upgrade, or one that names no protocol (RFC 9110 §7.8);
    /// in HTTP/2 any (RFC 9113 §8.6).
    UnaskedUpgrade,
    /// A 2xx of HTTP/1.1 to an HTTP/2 client that asks for a WebSocket: the client would take it for an
    /// agreement (RFC 8441 §5).
    UpgradeIgnored,
    /// A request for a WebSocket, to an HTTP/2 endpoint, whose Sec-WebSocket-Key is missing, there twice or
    /// not 16 bytes in base64 (RFC 6455 §4.2.1).
    WebSocketKey,
    /// A 101 whose Sec-WebSocket-Accept does not belong to the key that we have sent (RFC 6455 §4.1).
    WebSocketAccept,
    /// A request for a WebSocket, and an HTTP/2 endpoint that has not said that it takes extended CONNECT
    /// (RFC 8441 §3).
    NoWebSocket,
    /// An endpoint that speaks before it is asked: what it says answers nobody (RFC 9112 §9.3).
    UnaskedResponse,
    /// What a connection begins with is no header of the PROXY protocol, or not one that is taken
    /// here (its specification, §2).
    ProxyHeader,
    /// A TLS connection does not begin with a well-formed ClientHello (RFC 8446 §4.1.2).
    ClientHello,
    /// A ClientHello takes more than `HELLO_BYTES_MAX`.
    ClientHelloTooLarge,
    /// The name in a ClientHello is not that of a host (RFC 6066 §3).
    ServerName,
}

impl Reject {
    /// How many variants there are: the size of a table of counters.
    pub const COUNT: usize = Self::ServerName as usize + 1;

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::RequestLine,
        Self::Target,
        Self::Version,
        Self::Connect,
        Self::BareLf,
        Self::ObsFold,
        Self::FieldName,
        Self::FieldValue,
        Self::PseudoHeader,
        Self::ConnectionField,
        Self::TooManyFields,
        Self::HeadTooLarge,
        Self::TargetTooLong,
        Self::MissingHost,
        Self::DuplicateHost,
        Self::InvalidHost,
        Self::HostMismatch,
        Self::Expectation,
        Self::MaxForwards,
        Self::Loop,
        Self::PathAboveRoot,
        Self::ContentLength,
        Self::DuplicateContentLength,
        Self::LengthMismatch,
        Self::LengthAndEncoding,
        Self::UnknownEncoding,
        Self::ChunkedNotLast,
        Self::EncodingInHttp10,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkLineTooLong,
        Self::ChunkEnd,
        Self::Trailer,
        Self::ForbiddenTrailer,
        Self::TrailerTooLarge,
        Self::BodyTooLong,
        Self::StatusLine,
        Self::NotHttp2,
        Self::SpeaksHttp2,
        Self::StatusCode,
        Self::TooManyInterim,
        Self::InterimEnds,
        Self::UnaskedUpgrade,
        Self::UpgradeIgnored,
        Self::WebSocketKey,
        Self::WebSocketAccept,
        Self::NoWebSocket,
        Self::UnaskedResponse,
        Self::ProxyHeader,
        Self::ClientHello,
        Self::ClientHelloTooLarge,
        Self::ServerName,
    ];

    /// As it is called in metrics: `BareLf` is `bare_lf`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// The status that answers a request refused for this reason.
    pub fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::Loop => 508,
            Self::Connect | Self::UnknownEncoding => 501,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::BodyTooLong => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            _ => 400,
        }
    }

    /// The reason in words: short, fixed, and free of anything the sender wrote.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::RequestLine => "malformed request line",
            Self::Target => "unusable request target",
            Self::Version => "HTTP version is neither 1.0 nor 1.1",
            Self::Connect => "CONNECT is not offered here",
            Self::BareLf => "line ends in LF without CR",
            Self::ObsFold => "folded field line",
            Self::FieldName => "malformed field name",
            Self::FieldValue => "control character in a field value",
            Self::PseudoHeader => "missing, repeated, unknown or misplaced pseudo-header field",
            Self::ConnectionField => "field of a connection in an HTTP/2 message",
            Self::TooManyFields => "too many header fields",
            Self::HeadTooLarge => "head too large",
            Self::TargetTooLong => "request target too long",
            Self::MissingHost => "no Host field",
            Self::DuplicateHost => "more than one Host field",
            Self::InvalidHost => "malformed Host field",
            Self::HostMismatch => "target and Host field name different hosts",
            Self::Expectation => "expectation other than 100-continue",
            Self::Loop => "request has been here before",
            Self::MaxForwards => "malformed Max-Forwards",
            Self::PathAboveRoot => "path climbs above the root",
            Self::ContentLength => "malformed Content-Length",
            Self::DuplicateContentLength => "more than one Content-Length",
            Self::LengthMismatch => "body of another length than Content-Length says",
            Self::LengthAndEncoding => "both Content-Length and Transfer-Encoding",
            Self::UnknownEncoding => "transfer coding other than chunked",
            Self::ChunkedNotLast => "chunked is not the one, last transfer coding",
            Self::EncodingInHttp10 => "Transfer-Encoding in an HTTP/1.0 message",
            Self::ChunkSize => "malformed chunk size",
            Self::ChunkExtension => "malformed chunk extension",
            Self::ChunkLineTooLong => "chunk size line too long",
            Self::ChunkEnd => "chunk data not followed by CRLF",
            Self::Trailer => "malformed trailer field",
            Self::ForbiddenTrailer => "field not allowed in a trailer",
            Self::TrailerTooLarge => "trailer section too large",
            Self::BodyTooLong => "request body too long",
            Self::StatusLine => "malformed status line",
            Self::NotHttp2 => "endpoint does not speak HTTP/2",
            Self::SpeaksHttp2 => "endpoint speaks HTTP/2: write h2c:// before its address",
            Self::StatusCode => "status code outside 100-599",
            Self::TooManyInterim => "too many interim responses",
            Self::InterimEnds => "interim response without a final one after it",
            Self::UnaskedUpgrade => "101 without an upgrade asked for and agreed to",
            Self::UpgradeIgnored => "endpoint ignored the request for a WebSocket",
            Self::WebSocketKey => "missing, repeated or malformed Sec-WebSocket-Key",
            Self::WebSocketAccept => "Sec-WebSocket-Accept does not belong to the key",
            Self::NoWebSocket => "endpoint does not take WebSockets over HTTP/2",
            Self::UnaskedResponse => "response before a request",
            Self::ProxyHeader => "malformed PROXY protocol header",
            Self::ClientHello => "malformed TLS ClientHello",
            Self::ClientHelloTooLarge => "TLS ClientHello too large",
            Self::ServerName => "malformed server name in a TLS ClientHello",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stand_at_their_numbers() {
        assert!(Reject::ALL.iter().enumerate().all(|(place, reject)| *reject as usize == place));
        assert_eq!(Reject::EncodingInHttp10.name(), "encoding_in_http10");
    }
}
