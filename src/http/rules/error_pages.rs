//! What answers of our own say instead of status and phrase: files, with `{status}` and `{request_id}` in them.
//! Every other brace is theirs.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use memchr::memchr_iter;

use super::escape::{BodySyntax, in_body};
use super::template::BODY_BYTES_MAX;
use crate::decimal::decimal;
use crate::hash::hash;

/// The statuses that may have a page.
const STATUSES: RangeInclusive<u16> = 400..=599;

/// The statuses of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorStatus {
    /// One of 400 to 599.
    One(u16),
    /// All that begin with this digit: 4 or 5.
    Class(u16),
}

impl ErrorStatus {
    /// Whether this status is one of them.
    pub fn has(self, status: u16) -> bool {
        match self {
            Self::One(one) => one == status,
            Self::Class(class) => class == status / 100,
        }
    }
}

impl FromStr for ErrorStatus {
    type Err = NoErrorStatus;

    fn from_str(text: &str) -> Result<Self, NoErrorStatus> {
        match text {
            "4xx" => Ok(Self::Class(4)),
            "5xx" => Ok(Self::Class(5)),
            text => {
                let status = text.parse().ok().filter(|status| STATUSES.contains(status));
                status.filter(|_| text.len() == 3).map(Self::One).ok_or(NoErrorStatus)
            }
        }
    }
}

impl fmt::Display for ErrorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

/// What is neither an error status nor a class of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoErrorStatus;

impl fmt::Display for NoErrorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no error status: write one of 400 to 599, or 4xx or 5xx")
    }
}

/// What stands in a page for what is known only when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blank {
    Status,
    RequestId,
}

impl Blank {
    const ALL: [(Self, &'static [u8]); 2] =
        [(Self::Status, b"{status}"), (Self::RequestId, b"{request_id}")];
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// The file that it was read from, as written.
    name: Box<str>,
    content_type: &'static str,
    bytes: Arc<[u8]>,
    /// Where something else is put instead of so many bytes, in order.
    blanks: Box<[(usize, usize, Blank)]>,
}

impl ErrorPage {
    /// The largest page, in bytes.
    pub const BYTES_MAX: usize = BODY_BYTES_MAX;

    /// The most that is put into a page: an ID may be longer than what stands for it.
    const BLANKS_MAX: usize = 64;

    /// A page of these bytes, from a file of this name, whose extension says what they are. Only ASCII needs
    /// no charset.
    pub fn new(name: &str, bytes: Vec<u8>) -> Result<Self, ErrorPageError> {
        let extension = name.rsplit(['.', '/']).next().filter(|extension| *extension != name);
        let is_utf8 = !bytes.is_ascii() && str::from_utf8(&bytes).is_ok();
        let content_type = match extension.unwrap_or_default().to_ascii_lowercase().as_str() {
            "html" | "htm" if is_utf8 => "text/html; charset=utf-8",
            "html" | "htm" => "text/html",
            "txt" | "text" if is_utf8 => "text/plain; charset=utf-8",
            "txt" | "text" => "text/plain",
            "json" => "application/json",
            "xml" => "application/xml",
            "svg" => "image/svg+xml",
            _ => return Err(ErrorPageError::Extension),
        };
        if bytes.len() > Self::BYTES_MAX {
            return Err(ErrorPageError::TooLarge);
        }
        let blank = |at| {
            let of_one = |(blank, written): (Blank, &[u8])| {
                bytes[at..].starts_with(written).then_some((at, written.len(), blank))
            };
            Blank::ALL.into_iter().find_map(of_one)
        };
        let blanks: Box<[_]> = memchr_iter(b'{', &bytes).filter_map(blank).collect();
        if blanks.len() > Self::BLANKS_MAX {
            return Err(ErrorPageError::TooMany);
        }
        Ok(Self { name: name.into(), content_type, bytes: bytes.into(), blanks })
    }

    /// Its media type.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// Its text, if nothing is put into it.
    pub fn as_text(&self) -> Option<&Arc<[u8]>> {
        self.blanks.is_empty().then_some(&self.bytes)
    }

    /// Appends what it says in an answer of this status to a request of this ID.
    pub fn append(&self, status: u16, request_id: &[u8], out: &mut Vec<u8>) {
        let mut from = 0;
        for (at, length, blank) in &self.blanks {
            out.extend_from_slice(&self.bytes[from..*at]);
            from = at + length;
            let start = out.len();
            match blank {
                Blank::Status => out.extend_from_slice(&decimal(status.into())),
                Blank::RequestId => out.extend_from_slice(request_id),
            }
            in_body(out, start, BodySyntax::of(self.content_type));
        }
        out.extend_from_slice(&self.bytes[from..]);
    }
}

impl fmt::Display for ErrorPage {
    /// Its name, and what tells its contents from others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, bytes, .. } = self;
        write!(f, "{name} ({} bytes, {:08x})", bytes.len(), hash(bytes) >> 32)
    }
}

/// Why a file is no page; the message says what to do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorPageError {
    /// Its name does not say what it is.
    Extension,
    /// It is larger than [`ErrorPage::BYTES_MAX`].
    TooLarge,
    /// More is put into it than may be.
    TooMany,
}

impl fmt::Display for ErrorPageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extension => f.write_str(
                "the name of a page must end in .html, .htm, .txt, .json, .xml or .svg, which says what it is",
            ),
            Self::TooLarge => write!(
                f,
                "a page must not be larger than {} bytes: refer to other files for large parts",
                ErrorPage::BYTES_MAX
            ),
            Self::TooMany => write!(
                f,
                "{{status}} and {{request_id}} are there more than {} times: leave some out",
                ErrorPage::BLANKS_MAX
            ),
        }
    }
}

impl std::error::Error for ErrorPageError {}

/// The pages of a route or of a whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPages {
    /// The first that has a status is its page.
    pages: Box<[(ErrorStatus, Arc<ErrorPage>)]>,
}

impl ErrorPages {
    /// These pages, each status once; a single status goes before its class.
    pub fn new(mut pages: Vec<(ErrorStatus, Arc<ErrorPage>)>) -> Self {
        pages.sort_by_key(|(status, _)| *status);
        Self { pages: pages.into() }
    }

    /// These, and where there are none, others.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        Self { pages: self.pages.iter().chain(&base.pages).cloned().collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// What an answer of ours of this status says.
    pub fn find(&self, status: u16) -> Option<&ErrorPage> {
        let mut fitting = self.pages.iter().filter(|(of, _)| of.has(status));
        fitting.next().map(|(_, page)| &**page)
    }

    /// Every page that may be shown, with its statuses, in order.
    pub fn iter(&self) -> impl Iterator<Item = (ErrorStatus, &ErrorPage)> {
        self.pages.iter().map(|(status, page)| (*status, &**page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str, text: &str) -> ErrorPage {
        ErrorPage::new(name, text.into()).unwrap()
    }

    fn said(page: &ErrorPage) -> String {
        let mut out = b"before ".to_vec();
        page.append(503, b"<id>", &mut out);
        String::from_utf8(out.split_off(7)).unwrap()
    }

    #[test]
    fn only_status_and_request_id_are_replaced() {
        let css = "p { margin: 0 } {{status} ${request_id} {host} {status";
        let page = page("a.html", css);
        let expected = "p { margin: 0 } {503 $&lt;id&gt; {host} {status";
        assert_eq!((said(&page), page.as_text()), (expected.to_owned(), None));
        let plain = self::page("a.txt", "p { margin: 0 }");
        assert_eq!(plain.as_text().map(|text| &**text), Some(&b"p { margin: 0 }"[..]));
        assert_eq!(said(&plain), "p { margin: 0 }");
        assert_eq!(
            said(&self::page("a.json", r#"{"id": "{request_id}"}"#)),
            r#"{"id": "\u003cid>"}"#
        );
    }

    #[test]
    fn the_extension_says_what_it_is() {
        let rows = [
            ("a.html", "x", "text/html"),
            ("a/b.HTM", "é", "text/html; charset=utf-8"),
            ("a.b.txt", "x", "text/plain"),
            ("a.json", "é", "application/json"),
            ("a.svg", "x", "image/svg+xml"),
            ("a.xml", "x", "application/xml"),
        ];
        for (name, text, media_type) in rows {
            assert_eq!(page(name, text).content_type(), media_type, "{name}");
        }
        for name in ["a", "html", "a.html/b", "a.php", "a."] {
            let told = ErrorPage::new(name, Vec::new());
            assert_eq!(told, Err(ErrorPageError::Extension), "{name}");
        }
        let latin = ErrorPage::new("a.html", b"\xe9".to_vec()).unwrap();
        assert_eq!(latin.content_type(), "text/html");
    }

    #[test]
    fn a_page_has_a_ceiling() {
        let of = |bytes| ErrorPage::new("a.txt", bytes).map(|_| ());
        assert_eq!(of(vec![b'x'; ErrorPage::BYTES_MAX]), Ok(()));
        assert_eq!(of(vec![b'x'; ErrorPage::BYTES_MAX + 1]), Err(ErrorPageError::TooLarge));
        assert_eq!(of("{status}".repeat(64).into()), Ok(()));
        assert_eq!(of("{status}".repeat(65).into()), Err(ErrorPageError::TooMany));
    }

    #[test]
    fn a_status_goes_before_its_class_and_a_route_before_the_rest() {
        let pages = |list: &[(&str, &str)]| {
            let one = |(status, text): &(&str, &str)| {
                (status.parse().unwrap(), Arc::new(page("a.txt", text)))
            };
            ErrorPages::new(list.iter().map(one).collect())
        };
        let base = pages(&[("5xx", "base 5xx"), ("503", "base 503"), ("404", "base 404")]);
        let own = pages(&[("5xx", "own 5xx"), ("502", "own 502")]);
        let both = own.over(&base);
        let rows = [
            (&base, 503, "base 503"),
            (&base, 502, "base 5xx"),
            (&base, 400, ""),
            (&both, 502, "own 502"),
            (&both, 503, "own 5xx"),
            (&both, 404, "base 404"),
            (&both, 599, "own 5xx"),
        ];
        for (pages, status, expected) in rows {
            assert_eq!(pages.find(status).map_or(String::new(), said), expected, "{status}");
        }
    }

    #[test]
    fn statuses_are_those_of_errors() {
        for text in ["400", "599", "4xx", "5xx"] {
            assert_eq!(text.parse::<ErrorStatus>().unwrap().to_string(), text);
        }
        for text in ["", "399", "600", "3xx", "5XX", "5x", "0404", "+404", "200"] {
            assert_eq!(text.parse::<ErrorStatus>(), Err(NoErrorStatus), "{text}");
        }
    }
}
