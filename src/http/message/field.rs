//! Field names: which ones the proxy acts on, and what a name and a value may consist of.

/// The field names that mean something to a proxy; all others are [`Name::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Options of this connection (RFC 9110 §7.6.1).
    Connection,
    /// Length of the body (RFC 9110 §8.6).
    ContentLength,
    /// Codings of the body (RFC 9112 §6.1).
    TransferEncoding,
    /// The authority asked for (RFC 9110 §7.2).
    Host,
    /// What the client expects first (RFC 9110 §10.1.1).
    Expect,
    /// The protocol to change to (RFC 9110 §7.8).
    Upgrade,
    /// What the sender takes besides plain chunks (RFC 9110 §10.1.4).
    Te,
    /// Means something between two neighbours only: Keep-Alive, Proxy-Connection, HTTP2-Settings
    /// (RFC 9110 §7.6.1).
    HopByHop,
    /// X-Forwarded-For.
    ForwardedFor,
    /// X-Forwarded-Host.
    ForwardedHost,
    /// X-Forwarded-Proto.
    ForwardedProto,
    /// Forwarded (RFC 7239).
    Forwarded,
    /// Anything else by which a proxy speaks of a client: X-Real-IP, X-Forwarded-*.
    ForwardedOther,
    /// What a proxy says of the certificate of a client: X-Client-Cert-*.
    ClientCert,
    /// How many more hops a request may take (RFC 9110 §7.6.2).
    MaxForwards,
    /// When the message was made (RFC 9110 §6.6.1).
    Date,
    /// The proxies it has passed (RFC 9110 §7.6.3).
    Via,
    /// X-Request-Id: by what name the hops of a request know it.
    RequestId,
    /// What CGI and its heirs take for something else: one of the above with `_`, `.` or another sign for
    /// `-`, or Proxy, which becomes `HTTP_PROXY` (CVE-2016-5385) and has no meaning of its own.
    Alias,
    /// No concern of ours.
    Other,
}

impl Name {
    /// How many there are.
    pub(super) const COUNT: usize = Self::Other as usize + 1;

    /// A bit of its own in a set of names.
    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Whether there is just one name that means this.
    pub(super) const fn is_one_name(self) -> bool {
        !matches!(
            self,
            Self::HopByHop | Self::ForwardedOther | Self::ClientCert | Self::Alias | Self::Other
        )
    }

    /// Whether its fields are for the next hop only: they concern the connection or frame the message
    /// on it, and are never passed on as they came.
    #[inline]
    pub(in crate::http) const fn is_of_one_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::HopByHop
                | Self::Te
                | Self::ContentLength
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }

    /// Recognises a name, whatever its case.
    pub fn of(name: &[u8]) -> Self {
        match Self::of_plain(name) {
            Self::Other if may_be_alias(name) && has_sign(name) => Self::of_alias(name),
            known => known,
        }
    }

    /// The same without a look at aliases: names of letters, digits and hyphens are none.
    #[inline]
    pub(super) fn of_plain(name: &[u8]) -> Self {
        // Length and first letter tell most names of others from ours: their bytes are not looked at.
        match (name.first().map_or(0, u8::to_ascii_lowercase), name.len()) {
            (b't', 2) if is(name, b"te") => Self::Te,
            (b'v', 3) if is(name, b"via") => Self::Via,
            (b'd', 4) if is(name, b"date") => Self::Date,
            (b'h', 4) if is(name, b"host") => Self::Host,
            (b'p', 5) if is(name, b"proxy") => Self::Alias,
            (b'e', 6) if is(name, b"expect") => Self::Expect,
            (b'u', 7) if is(name, b"upgrade") => Self::Upgrade,
            (b'f', 9) if is(name, b"forwarded") => Self::Forwarded,
            (b'x', 9) if is(name, b"x-real-ip") => Self::ForwardedOther,
            (b'c', 10) if is(name, b"connection") => Self::Connection,
            (b'k', 10) if is(name, b"keep-alive") => Self::HopByHop,
            (b'x', 12) if is(name, b"x-request-id") => Self::RequestId,
            (b'm', 12) if is(name, b"max-forwards") => Self::MaxForwards,
            (b'c', 14) if is(name, b"content-length") => Self::ContentLength,
            (b'h', 14) if is(name, b"http2-settings") => Self::HopByHop,
            (b'x', 15) if is(name, b"x-forwarded-for") => Self::ForwardedFor,
            (b'x', 16) if is(name, b"x-forwarded-host") => Self::ForwardedHost,
            (b'p', 16) if is(name, b"proxy-connection") => Self::HopByHop,
            (b't', 17) if is(name, b"transfer-encoding") => Self::TransferEncoding,
            (b'x', 17) if is(name, b"x-forwarded-proto") => Self::ForwardedProto,
            (b'x', 13..) if name[..12].eq_ignore_ascii_case(b"x-forwarded-") => {
                Self::ForwardedOther
            }
            (b'x', 15..) if name[..14].eq_ignore_ascii_case(b"x-client-cert-") => Self::ClientCert,
            _ => Self::Other,
        }
    }

    fn of_alias(name: &[u8]) -> Self {
        let mut plain = [b'-'; 32];
        for (plain, byte) in plain.iter_mut().zip(name) {
            *plain = unsigned(*byte);
        }
        // What is longer can only be told by how it begins.
        match Self::of(&plain[..name.len().min(plain.len())]) {
            Self::Other => Self::Other,
            _ => Self::Alias,
        }
    }

    /// Whether a trailer must not carry it (RFC 9110 §6.5.1): framing, routing, connection
    /// control, and what proxies say of clients. Date, X-Request-Id and Via are none of that:
    /// nothing follows from them.
    pub fn forbidden_in_trailer(self) -> bool {
        !matches!(self, Self::Other | Self::Date | Self::RequestId | Self::Via)
    }
}

/// A byte of a name as gateways tell names apart that make variables of them (RFC 3875 §4.1.18): they have
/// one sign for all that are no letters or digits. PHP takes `.` for `_`, and Apache has taken any
/// (CVE-2026-88011).
pub(super) const fn unsigned(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}

/// Whether it is this name, written here in lower case. Not ended early, so that several bytes are looked at at a
/// time.
#[inline]
pub(in crate::http) fn is<const LENGTH: usize>(name: &[u8], known: &[u8; LENGTH]) -> bool {
    let Ok(name) = <&[u8; LENGTH]>::try_from(name) else { return false };
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk())
        && let (Some(known_first), Some(known_last)) = (known.first_chunk(), known.last_chunk())
        && LENGTH <= 2 * size_of::<u64>()
    {
        return differences(*first, *known_first) | differences(*last, *known_last) == 0;
    }
    let lower = |known: u8| u8::from(known.is_ascii_lowercase()) << 5;
    let differences = name.iter().zip(known).map(|(byte, known)| (byte | lower(*known)) ^ known);
    differences.fold(0, |all, one| all | one) == 0
}

/// In which bits a word differs from one that is known, whatever the case of its letters.
#[inline]
fn differences(word: [u8; 8], known: [u8; 8]) -> u64 {
    let lower = known.map(|known| u8::from(known.is_ascii_lowercase()) << 5);
    (u64::from_le_bytes(word) | u64::from_le_bytes(lower)) ^ u64::from_le_bytes(known)
}

/// What is looked at of a name at once.
const LOOK_BYTES: usize = 16;

/// Which of so many bytes belong to a name of each length: 0xff.
const BELONGING: [[u8; LOOK_BYTES]; LOOK_BYTES + 1] = {
    let mut belonging = [[0; LOOK_BYTES]; LOOK_BYTES + 1];
    let mut length = 0;
    while length <= LOOK_BYTES {
        let mut at = 0;
        while at < length {
            belonging[length][at] = 0xff;
            at += 1;
        }
        length += 1;
    }
    belonging
};

/// Whether a name of this length is known to have letters, digits and hyphens only, as nearly all have. Many bytes
/// are looked at at a time, also of what follows the name: with a table for each byte, a head of eight fields
/// takes 300 instructions more.
#[inline]
pub(super) fn is_plain_at_front(bytes: &[u8], length: usize) -> bool {
    let (Some(look), Some(belonging)) = (bytes.first_chunk::<LOOK_BYTES>(), BELONGING.get(length))
    else {
        return false;
    };
    let is_odd = |byte: u8| {
        let lower = byte | 0x20;
        let is_plain = |byte: u8| u8::from(byte.is_ascii_digit()) | u8::from(byte == b'-');
        (u8::from(lower.is_ascii_lowercase()) | is_plain(byte)).wrapping_sub(1)
    };
    let odd = look.iter().zip(belonging).map(|(byte, belongs)| is_odd(*byte) & belongs);
    length > 0 && odd.fold(0, |all, one| all | one) == 0
}

/// Whether a name begins like one of ours with a hyphen that is as long. Few names of others do.
fn may_be_alias(name: &[u8]) -> bool {
    matches!(
        (name.first().map_or(0, u8::to_ascii_lowercase), name.len()),
        (b'x', 9..) | (b'k', 10) | (b'm', 12) | (b'c' | b'h', 14) | (b'p', 16) | (b't', 17)
    )
}

/// Whether a name has a sign other than `-`.
fn has_sign(name: &[u8]) -> bool {
    // Not ended early: so it looks at many bytes at a time.
    let is_sign = |byte: u8| u8::from(!byte.is_ascii_alphanumeric()) & u8::from(byte != b'-');
    name.iter().fold(0, |odd, &byte| odd | is_sign(byte)) != 0
}

/// `tchar` of RFC 9110 §5.6.2.
pub fn is_token_byte(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let tokens = b"!#$%&'*+-.^_`|~0123456789\
            abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut at = 0;
        while at < tokens.len() {
            table[tokens[at] as usize] = true;
            at += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}

/// A token: one or more `tchar`.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// What a field value may hold (RFC 9110 §5.5): visible characters, obs-text, SP and HTAB.
pub fn is_value(bytes: &[u8]) -> bool {
    // Not ended early: so it looks at many bytes at a time.
    let is_control = |byte: u8| u8::from(byte < b' ') & u8::from(byte != b'\t');
    let odd = |odd, &byte: &u8| odd | is_control(byte) | u8::from(byte == 0x7f);
    bytes.iter().fold(0, odd) == 0
}

/// Counts what is looked at again and again: steps that are taken for each field, each member of a
/// list or each byte of one. Tests hold their number to be linear in the length of a head.
#[inline]
pub(in crate::http) fn step() {
    #[cfg(test)]
    STEPS.with(|steps| steps.set(steps.get() + 1));
}

#[cfg(test)]
thread_local! {
    /// How many steps there were on this thread.
    pub(in crate::http) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The members of a comma-separated list, trimmed, empty ones left out (RFC 9110 §5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let separates = |&byte: &u8| {
        step();
        byte == b','
    };
    value.split(separates).map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Whether TE says that trailers are welcome: we pass them on, so the endpoint may be told. Of
/// codings we take none but plain chunks.
pub fn takes_trailers(te: &[u8]) -> bool {
    // A comma inside quotes separates nothing; a value with quotes is taken for one without trailers.
    !te.contains(&b'"') && list(te).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// The same of a list whose members may hold commas in quoted strings (RFC 9110 §5.6.4).
pub fn quoted_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let separates = move |&byte: &u8| {
        step();
        if escaped {
            escaped = false;
            return false;
        }
        escaped = quoted && byte == b'\\';
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    };
    value.split(separates).map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// One number of decimal digits that fits 63 bits: no sign, no list, no white space within
/// (RFC 9110 §8.6; CVE-2021-40346, CVE-2023-40225 are what leniency here has cost others).
pub fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut number: u64 = 0;
    for &byte in value {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (i64::try_from(number).is_ok()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_recognised_in_any_case() {
        let rows: &[(&[u8], Name)] = &[
            (b"Host", Name::Host),
            (b"hOST", Name::Host),
            (b"TE", Name::Te),
            (b"CONTENT-LENGTH", Name::ContentLength),
            (b"Content_Length", Name::Alias),
            (b"X_Forwarded_Client_Certificate_Chain", Name::Alias),
            (b"Proxy", Name::Alias),
            (b"A_name_of_more_than_thirty_two_characters", Name::Other),
            (b"x_forwarded_for", Name::Alias),
            (b"x-request-ID", Name::RequestId),
            (b"X_Request_Id", Name::Alias),
            (b"X-Forwarded_Proto", Name::Alias),
            (b"X.Forwarded.For", Name::Alias),
            (b"X-Forwarded!Proto", Name::Alias),
            (b"Content.Length", Name::Alias),
            (b"Transfer~Encoding", Name::Alias),
            (b"user.agent", Name::Other),
            (b"user_agent", Name::Other),
            (b"X-Forwarded-For", Name::ForwardedFor),
            (b"X-Forwarded-Port", Name::ForwardedOther),
            (b"X-Forwarded-", Name::Other),
            (b"Forwarded", Name::Forwarded),
            (b"dAte", Name::Date),
            (b"VIA", Name::Via),
            (b"Cookie", Name::Other),
            (b"", Name::Other),
        ];
        for (name, known) in rows {
            assert_eq!(Name::of(name), *known, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn every_name_with_a_hyphen_has_its_aliases() {
        let names = "x-real-ip keep-alive x-request-id max-forwards content-length http2-settings x-forwarded-for \
                     x-forwarded-host proxy-connection transfer-encoding x-forwarded-proto x-forwarded-y \
                     x-client-cert-subject";
        for name in names.split(' ') {
            assert_ne!(Name::of(name.as_bytes()), Name::Other, "{name}");
            for alias in [name.replace('-', "_"), name.replacen('-', ".", 1).to_uppercase()] {
                assert_eq!(Name::of(alias.as_bytes()), Name::Alias, "{alias}");
            }
        }
    }

    #[test]
    fn decimals_are_digits_only_and_fit_63_bits() {
        let rows: &[(&[u8], Option<u64>)] = &[
            (b"0", Some(0)),
            (b"007", Some(7)),
            (b"9223372036854775807", Some(i64::MAX as u64)),
            (b"9223372036854775808", None),
            (b"99999999999999999999", None),
            (b"+1", None),
            (b"-1", None),
            (b"0x1", None),
            (b"1,1", None),
            (b"1 1", None),
            (b"", None),
        ];
        for (value, number) in rows {
            assert_eq!(decimal(value), *number, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn tokens_hold_no_separator() {
        assert!(is_token(b"X-a_b.c~!#$%&'*+^`|0"));
        for bad in [&b""[..], b"a b", b"a:", b"a\x00", b"\x80", b"a/b", b"\"a\""] {
            assert!(!is_token(bad), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn lists_skip_empty_members() {
        let members: Vec<&[u8]> = list(b" a, ,b ,,c").collect();
        assert_eq!(members, [&b"a"[..], b"b", b"c"]);
    }

    #[test]
    fn a_comma_in_quotes_separates_nothing() {
        let value = br#" a="b, \"c, ",,d="\\", e, "f, g"#;
        let members: Vec<&[u8]> = quoted_list(value).collect();
        assert_eq!(members, [&br#"a="b, \"c, ""#[..], br#"d="\\""#, b"e", br#""f, g"#]);
    }
}
