//! Why a check has failed.

use crate::fault::{Fault, Kind, Stage};
use crate::http::h2::stream::Abort;
use crate::upstream::check::HttpCheck;
use crate::upstream::failures::Detail;

/// Why a check has failed.
#[derive(Clone, Debug)]
pub(super) struct CheckFailure {
    pub(super) fault: Fault,
    /// What else is known of it.
    pub(super) detail: Option<Detail>,
}

impl CheckFailure {
    /// It was answered in this way, which is none of a healthy endpoint.
    pub(super) fn unhealthy(answer: &str) -> Self {
        let detail = Some(Detail::Text(answer.into()));
        Self { detail, ..Fault::upstream(Stage::ResponseHead, Kind::Unhealthy).into() }
    }

    /// None, if this status of HTTP is one of those that are healthy.
    pub(super) fn unless_healthy(asked: &HttpCheck, status: u16) -> Result<(), Self> {
        let statuses = &asked.statuses;
        if statuses.contains(status) {
            return Ok(());
        }
        Err(Self::unhealthy(&format!("HTTP status {status}, expected {statuses}")))
    }

    /// It was answered with this status of HTTP, and not with 200.
    pub(super) fn of_status(status: u16) -> Self {
        Self::unhealthy(&format!("HTTP status {status}"))
    }

    /// Its stream was cut.
    pub(super) fn cut(abort: Abort) -> Self {
        let detail = if let Abort::Reset(code) = abort { Some(Detail::Reset(code)) } else { None };
        Self { detail, ..Fault::upstream(Stage::ResponseHead, Kind::Reset).into() }
    }
}

impl From<Fault> for CheckFailure {
    fn from(fault: Fault) -> Self {
        Self { fault, detail: None }
    }
}
