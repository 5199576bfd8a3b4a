//! What becomes of a request that goes to no upstream: a redirect, or an answer that is written down.

use std::fmt;
use std::sync::Arc;

use super::escape::BodySyntax;
use super::head_edits::HeadEdits;
use super::location::{HostNaming, LocationError, location};
use super::template::{Template, TemplateError, TextPosition, TooLong};
use super::variable::{VariableSet, Variables};

/// The status of redirects that name none: for good, with the same method and body (RFC 9110 §15.4.9).
pub const REDIRECT_STATUS: u16 = 308;

/// What becomes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RouteOutcome {
    /// It goes to an upstream.
    #[default]
    Forward,
    /// Its client is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Respond(Respond),
}

impl RouteOutcome {
    /// The variables in where clients are sent, or in the body of an answer.
    pub fn variables(&self) -> VariableSet {
        match self {
            Self::Forward => VariableSet::default(),
            Self::Redirect(redirect) => redirect.to.variables().collect(),
            Self::Respond(respond) => respond.body.variables().collect(),
        }
    }
}

/// Where clients are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    to: Template,
    status: u16,
}

impl Redirect {
    /// Sends clients to `to` (see [`location`]), with one of the statuses 301, 302, 303, 307 and 308.
    pub fn new(to: &str, status: u16, hosts: HostNaming) -> Result<Self, RedirectError> {
        if !matches!(status, 301..=303 | 307 | 308) {
            return Err(RedirectError::Status(status));
        }
        location(to, hosts).map(|to| Self { to, status }).map_err(RedirectError::To)
    }

    /// Where to.
    pub fn to(&self) -> &Template {
        &self.to
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Appends what Location says: visible ASCII that never begins with `//`, unless that would be too long.
    pub fn append_location(
        &self,
        values: &impl Variables,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLong> {
        self.to.append(values, out)
    }
}

/// Why there is no such redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectError {
    /// The status is none of a redirect.
    Status(u16),
    /// Clients cannot be sent there.
    To(LocationError),
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => {
                write!(f, "{status} is no redirect: write 301, 302, 303, 307 or 308")
            }
            Self::To(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RedirectError {}

/// An answer that is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    status: u16,
    body: Template,
    /// The same, if it has no variables.
    text: Option<Arc<[u8]>>,
    content_type: Box<str>,
    headers: HeadEdits,
}

impl Respond {
    /// An answer of this status, 200 to 599. One of a status that has no body (RFC 9110 §15.3.5, §15.3.6,
    /// §15.4.5) must not have one.
    pub fn new(
        status: u16,
        body: &str,
        content_type: &str,
        headers: HeadEdits,
    ) -> Result<Self, RespondError> {
        if !(200..=599).contains(&status) {
            return Err(RespondError::Status(status));
        }
        if matches!(status, 204 | 205 | 304) && !body.is_empty() {
            return Err(RespondError::Body(status));
        }
        let syntax = TextPosition::Body(BodySyntax::of(content_type));
        let body = Template::parse(body, syntax).map_err(RespondError::Template)?;
        let text = body.as_text().map(Arc::from);
        Ok(Self { status, body, text, content_type: content_type.into(), headers })
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What it says.
    pub fn body(&self) -> &Template {
        &self.body
    }

    /// The same, if it has no variables.
    pub fn text(&self) -> Option<&Arc<[u8]>> {
        self.text.as_ref()
    }

    /// The media type of the body.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Its headers besides.
    pub fn headers(&self) -> &HeadEdits {
        &self.headers
    }
}

/// Why there is no such answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RespondError {
    /// The status is none of a final answer.
    Status(u16),
    /// Answers of this status have no body.
    Body(u16),
    /// The body is no template.
    Template(TemplateError),
}

impl fmt::Display for RespondError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => {
                write!(f, "{status} is no status of an answer: write 200 to 599")
            }
            Self::Body(status) => {
                write!(f, "a {status} has no body: leave body out, or write another status")
            }
            Self::Template(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RespondError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_have_the_statuses_that_browsers_follow() {
        for status in [200, 300, 304, 305, 306, 309, 400] {
            let told = Redirect::new("/", status, HostNaming::Any);
            assert_eq!(told, Err(RedirectError::Status(status)));
        }
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(Redirect::new("/", status, HostNaming::Any).unwrap().status(), status);
        }
    }

    #[test]
    fn answers_have_final_statuses_and_a_body_where_there_may_be_one() {
        let respond = |status, body| {
            Respond::new(status, body, "text/plain", HeadEdits::default()).map(|it| it.status())
        };
        for status in [0, 100, 101, 199, 600, 999] {
            assert_eq!(respond(status, ""), Err(RespondError::Status(status)));
        }
        for status in [204, 205, 304] {
            assert_eq!(respond(status, "x"), Err(RespondError::Body(status)));
            assert_eq!(respond(status, ""), Ok(status));
        }
        assert_eq!(respond(200, "x"), Ok(200));
        assert_eq!(respond(599, ""), Ok(599));
        assert!(matches!(respond(200, "{x}"), Err(RespondError::Template(_))));
    }
}
