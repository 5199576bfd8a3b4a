//! How endpoints are checked.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU16};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::health::CheckVerdict;

/// How endpoints are checked, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// What they are asked.
    pub kind: CheckKind,
    /// The host that is named to them, where it is another than usual.
    pub host: Option<Box<str>>,
    /// The port that is asked, where it is another than that of requests; no TLS and no PROXY header are
    /// implied for it.
    pub port: Option<NonZeroU16>,
    /// From the beginning of one check to that of the next; 10 ms to 1 h, less or more up to a tenth.
    pub interval: Duration,
    /// How long a check may take; 10 ms to 1 h.
    pub timeout: Duration,
    /// Checks in a row that bring an endpoint back.
    pub rise: NonZeroU8,
    /// Checks in a row that take it out.
    pub fall: NonZeroU8,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// The endpoint answered as a healthy one does.
    Passed,
    /// It did not.
    Failed,
    /// It was not asked: requests had shown since the check before that it is healthy.
    Proven,
    /// This machine had no descriptor, port or memory for it, which says nothing about the endpoint.
    LocalFailure,
}

impl CheckOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Passed, Self::Failed, Self::Proven, Self::LocalFailure];

    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Proven => "proven",
            Self::LocalFailure => "local_failure",
        }
    }
}

/// What endpoints are asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// Nothing: they are not checked.
    Off,
    /// To accept a connection, and to shake hands where they speak TLS.
    Tcp,
    /// To answer a request in plain text.
    Http(HttpCheck),
    /// The same over TLS.
    Https(HttpCheck),
    /// The health service of gRPC, over HTTP/2: about this service, or about the whole server if that is
    /// empty.
    Grpc(String),
}

/// A request without a body, and which answers are those of a healthy endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpCheck {
    /// The method.
    pub method: Box<str>,
    /// The path, with its query if there is one.
    pub path: Box<str>,
    /// The statuses that are healthy.
    pub statuses: StatusRanges,
    /// What the first [`BODY_BYTES_MAX`] of the answer's body have to contain.
    pub body: Option<Box<[u8]>>,
}

/// How much of a body is read to find something in it.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

impl Check {
    /// By one success an endpoint is back.
    const RISE: NonZeroU8 = NonZeroU8::MIN;

    /// Two failures take it out: one may be a hiccup.
    const FALL: NonZeroU8 = NonZeroU8::new(2).expect("2 is not 0");

    /// Of this kind, this often.
    #[must_use]
    pub const fn every(interval: Duration, kind: CheckKind) -> Self {
        let (timeout, rise, fall) = (interval, Self::RISE, Self::FALL);
        Self { kind, host: None, port: None, interval, timeout, rise, fall }
    }

    /// Whether it asks where requests go to. Another port of an endpoint is asked in plain text, unless
    /// the kind of the check says otherwise.
    pub const fn is_of_requests(&self) -> bool {
        self.port.is_none()
    }
}

impl HttpCheck {
    /// GET of this path: 200–399 is healthy.
    pub fn get(path: &str) -> Self {
        let statuses = StatusRanges::default();
        Self { method: "GET".into(), path: path.into(), statuses, body: None }
    }
}

/// Statuses of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatusRanges(Box<[RangeInclusive<u16>]>);

impl StatusRanges {
    /// Those that a final answer may have (RFC 9110 §15).
    pub const ALL: RangeInclusive<u16> = 200..=599;

    /// All that are in one of these ranges.
    pub fn new(mut ranges: Vec<RangeInclusive<u16>>) -> Self {
        ranges.sort_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u16>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*range.end().max(last.end());
                }
                _ => merged.push(range),
            }
        }
        Self(merged.into())
    }

    /// Whether this is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// 200–399.
impl Default for StatusRanges {
    fn default() -> Self {
        Self(Box::new([200..=399]))
    }
}

/// As in `200-299,404`.
impl fmt::Display for StatusRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match (range.start(), range.end()) {
                (one, other) if one == other => write!(f, "{comma}{one}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// Turns the single results of active checks into verdicts; starts as Up.
#[derive(Clone, Copy, Debug)]
pub struct RiseFall {
    rise: NonZeroU8,
    fall: NonZeroU8,
    verdict: CheckVerdict,
    /// Consecutive results against `verdict`.
    against: u8,
}

impl RiseFall {
    /// Up takes `rise` consecutive successes, Down `fall` consecutive failures.
    #[must_use]
    pub const fn new(rise: NonZeroU8, fall: NonZeroU8) -> Self {
        Self { rise, fall, verdict: CheckVerdict::Up, against: 0 }
    }

    /// The same, where that is the verdict so far.
    #[must_use]
    pub const fn starting_at(self, verdict: CheckVerdict) -> Self {
        Self { verdict, ..self }
    }

    /// Records one result; the verdict, if this changed it.
    pub fn record(&mut self, ok: bool) -> Option<CheckVerdict> {
        let (result, needed) =
            if ok { (CheckVerdict::Up, self.rise) } else { (CheckVerdict::Down, self.fall) };
        if result == self.verdict {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < needed.get() {
            return None;
        }
        self.against = 0;
        self.verdict = result;
        Some(result)
    }

    /// The verdict so far.
    #[must_use]
    pub const fn verdict(&self) -> CheckVerdict {
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_statuses_are_sorted_and_merged() {
        let rows: [(&[RangeInclusive<u16>], &str); 4] = [
            (&[200..=299, 404..=404], "200-299,404"),
            (&[404..=404, 200..=299, 300..=399], "200-399,404"),
            (&[200..=500, 300..=310, 400..=599], "200-599"),
            (&[204..=204, 206..=206, 204..=204], "204,206"),
        ];
        for (ranges, expected) in rows {
            let ranges_of = StatusRanges::new(ranges.to_vec());
            assert_eq!(ranges_of.to_string(), expected);
            for status in 100..700 {
                let is_in = ranges.iter().any(|range| range.contains(&status));
                assert_eq!(ranges_of.contains(status), is_in, "{status} of {expected}");
            }
        }
    }

    #[test]
    fn by_default_200_to_399_is_healthy() {
        assert_eq!(StatusRanges::default().to_string(), "200-399");
    }

    #[test]
    fn streaks_turn_after_rise_and_fall() {
        let [rise, fall] = [2, 3].map(|count| NonZeroU8::new(count).unwrap());
        let mut rise_fall = RiseFall::new(rise, fall);
        let results = "++--+---++"; // Down at the eighth, Up at the tenth.
        let turns = [(7, CheckVerdict::Down), (9, CheckVerdict::Up)];
        for (index, result) in results.chars().enumerate() {
            let turn = turns.iter().find(|(turn, _)| *turn == index).map(|&(_, verdict)| verdict);
            assert_eq!(rise_fall.record(result == '+'), turn, "{index}");
        }
        assert_eq!(rise_fall.verdict(), CheckVerdict::Up);
    }
}
