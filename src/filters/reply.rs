//! An answer of our own, as filters and rules make it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::http::h1::reply::{Reply, ReplyBody};
use crate::http::message::edits::{EditName, Edits, HeaderError, Value};
use crate::http::message::field;
use crate::http::rules::refusal::RefusingRule;
use crate::reject::Reject;

/// An answer of our own. Without a body it says its status and its reason.
#[derive(Clone, Debug)]
pub struct LocalReply {
    status: u16,
    reason: &'static str,
    retry_after: Option<u32>,
    location: Option<Box<str>>,
    allow: Option<Box<str>>,
    body: Option<LocalBody>,
    headers: Vec<(Box<str>, Box<[u8]>)>,
    rule: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct LocalBody {
    content_type: Cow<'static, str>,
    bytes: Arc<[u8]>,
}

impl LocalReply {
    /// With this status, 200 to 599 (another one becomes 500), and the reason for the person who reads it.
    pub fn new(status: u16, reason: &'static str) -> Self {
        let status = if (200..600).contains(&status) { status } else { 500 };
        let (retry_after, location, allow) = (None, None, None);
        let (body, headers, rule) = (None, Vec::new(), None);
        Self { status, reason, retry_after, location, allow, body, headers, rule }
    }

    /// To a request whose body is longer than it may be.
    pub(crate) fn too_long() -> Self {
        Self::new(Reject::BodyTooLong.status(), Reject::BodyTooLong.phrase())
            .with_rule(RefusingRule::MaxBody.name())
    }

    /// By this rule: a word of visible ASCII, which the access log names. Another one is left out.
    #[must_use]
    pub fn with_rule(mut self, rule: &'static str) -> Self {
        let is_word =
            rule.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        self.rule = Some(rule).filter(|rule| is_word && !rule.is_empty());
        self
    }

    /// The rule that gives it, if one does.
    pub fn rule(&self) -> Option<&'static str> {
        self.rule
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// After how many seconds another try makes sense, if it says so.
    pub fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// Whether it says something of its own, and not status and reason.
    pub fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// It says this. A 204 and a 304 say nothing.
    #[must_use]
    pub fn with_body(
        mut self,
        content_type: impl Into<Cow<'static, str>>,
        bytes: impl Into<Arc<[u8]>>,
    ) -> Self {
        self.set_body(content_type, bytes);
        self
    }

    /// It says this from now on. A media type that could not stand in a field is left out.
    pub fn set_body(
        &mut self,
        content_type: impl Into<Cow<'static, str>>,
        bytes: impl Into<Arc<[u8]>>,
    ) {
        let content_type = content_type.into();
        let is_value = field::is_value(content_type.as_bytes());
        let content_type = if is_value { content_type } else { Cow::Borrowed("") };
        self.body = Some(LocalBody { content_type, bytes: bytes.into() });
    }

    /// After so many seconds another try makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Where to go instead. `None` if that is no visible ASCII.
    #[must_use]
    pub fn with_location(mut self, location: impl Into<Box<str>>) -> Option<Self> {
        let location = location.into();
        let is_visible = location.bytes().all(|byte| byte.is_ascii_graphic());
        self.location = Some(location).filter(|_| is_visible);
        is_visible.then_some(self)
    }

    /// Where to go instead: visible ASCII.
    pub(crate) fn with_target(mut self, location: Box<str>) -> Self {
        debug_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{location}");
        self.location = Some(location);
        self
    }

    /// The methods that would do: for a 405.
    #[must_use]
    pub fn with_allow(mut self, methods: impl Into<Box<str>>) -> Self {
        let methods = methods.into();
        self.allow = Some(methods).filter(|methods| field::is_value(methods.as_bytes()));
        self
    }

    /// One more header.
    pub fn add_header(&mut self, name: &str, value: &[u8]) -> Result<(), HeaderError> {
        EditName::new(name).ok_or(HeaderError::Name)?;
        Value::new(value).ok_or(HeaderError::Value)?;
        self.headers.push((name.into(), value.into()));
        Ok(())
    }

    /// As it is written, without its further headers.
    pub(crate) fn as_reply(&self) -> Reply<'_> {
        let body = self.body.as_ref();
        let body = body.map(|LocalBody { content_type, bytes }| ReplyBody { content_type, bytes });
        let &Self { status, reason: phrase, retry_after, .. } = self;
        let (location, allow) = (self.location.as_deref(), self.allow.as_deref());
        Reply { status, phrase, retry_after, location, allow, body }
    }

    /// Its further headers; one that says what is there by itself replaces that.
    pub(crate) fn edit<'a>(&'a self, edits: &mut Edits<'a>) {
        for (name, value) in &self.headers {
            if let (Some(name), Some(value)) = (EditName::new(name), Value::new(value)) {
                edits.add(name, value);
            }
        }
    }
}
