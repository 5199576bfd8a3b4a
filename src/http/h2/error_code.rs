//! Why a stream or a connection ends (RFC 9113 §7).

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// The code of `RST_STREAM` and `GOAWAY`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl ErrorCode {
            /// All of them, by their numbers.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$variant),*];

            /// The one of this number; what is unknown is no more than an internal error (RFC 9113 §7).
            pub fn of(number: u32) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    _ => Self::InternalError,
                }
            }

            /// As RFC 9113 writes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

codes! {
    /// In order.
    NoError = 0x0, "NO_ERROR";
    /// A rule of the protocol was broken.
    ProtocolError = 0x1, "PROTOCOL_ERROR";
    /// Something here went wrong.
    InternalError = 0x2, "INTERNAL_ERROR";
    /// More was sent than the window allowed, or the window became too large.
    FlowControlError = 0x3, "FLOW_CONTROL_ERROR";
    /// Our SETTINGS were not acknowledged in time.
    SettingsTimeout = 0x4, "SETTINGS_TIMEOUT";
    /// A frame came for a stream that has ended.
    StreamClosed = 0x5, "STREAM_CLOSED";
    /// A frame has a size that its type forbids.
    FrameSizeError = 0x6, "FRAME_SIZE_ERROR";
    /// The stream was refused before anything was done about it: it is safe to try again.
    RefusedStream = 0x7, "REFUSED_STREAM";
    /// The stream is not needed any more.
    Cancel = 0x8, "CANCEL";
    /// A header block could not be decompressed.
    CompressionError = 0x9, "COMPRESSION_ERROR";
    /// The connection that CONNECT asked for was reset.
    ConnectError = 0xa, "CONNECT_ERROR";
    /// The peer causes more work than is useful.
    EnhanceYourCalm = 0xb, "ENHANCE_YOUR_CALM";
    /// TLS is weaker than it must be.
    InadequateSecurity = 0xc, "INADEQUATE_SECURITY";
    /// This has to be asked over HTTP/1.1.
    Http11Required = 0xd, "HTTP_1_1_REQUIRED";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_by_its_number() {
        for (number, code) in (0..=0xd).zip(ErrorCode::ALL) {
            assert_eq!((ErrorCode::of(number), code as u32), (code, number));
        }
        assert_eq!(ErrorCode::of(0xe), ErrorCode::InternalError);
        assert_eq!(ErrorCode::EnhanceYourCalm.to_string(), "ENHANCE_YOUR_CALM");
    }
}
