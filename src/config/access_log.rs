//! The access log: where it goes, what its lines say, and which requests have one.

use super::mistake::Mistakes;
use super::route_entry::{LoggedEntry, RouteEntry};
use super::sources::{At, Sources};
use super::unknown;
use crate::access_log::{Format, LineLayout, LogField, SampleRate};
use crate::log::target::LogTarget;

/// The rate by default: every request has a line.
const SAMPLE: &str = "100%";

/// The format by default.
const FORMAT: &str = "combined";

/// Where it goes, if there is one.
pub(super) fn target(sources: &Sources, mistakes: &mut Mistakes) -> Option<LogTarget> {
    Some(match &**sources.flags.access_log.as_ref()? {
        "-" if sources.flags.daemon => {
            let what = "\"-\" is standard output, which --daemon does not have: give a file";
            mistakes.add(&sources.place("access-log"), what);
            LogTarget::Stdout
        }
        "-" => LogTarget::Stdout,
        path => LogTarget::File(path.into()),
    })
}

/// What its lines are like, whether or not there is one.
pub(super) fn layout(sources: &Sources, mistakes: &mut Mistakes) -> LineLayout {
    let flags = &sources.flags;
    let format = match &*flags.access_log_format {
        FORMAT => Ok(Format::Combined),
        "json" => Ok(Format::Json),
        other => Err(format!("invalid value {other:?}: expected combined or json")),
    };
    let format = mistakes.note(&sources.place("access-log-format"), format, Format::Combined);
    let rate = sample_rate(&flags.access_log_sample);
    let sample = mistakes.note(&sources.place("access-log-sample"), rate, SampleRate::ALL);
    LineLayout { format, fields: fields(sources, mistakes), sample }
}

/// The chosen fields, if any are.
fn fields(sources: &Sources, mistakes: &mut Mistakes) -> Option<Box<[LogField]>> {
    let flag = "access-log-fields";
    let mut fields = Vec::new();
    for (nth, name) in sources.flags.access_log_fields.iter().enumerate() {
        let place = sources.nth_place(flag, nth);
        match LogField::of_name(name) {
            None => mistakes.add(&place, unknown(name)),
            Some(field) if fields.contains(&field) => {
                mistakes.add(&place, format!("{name} is named twice: leave one out"));
            }
            Some(field) => fields.push(field),
        }
    }
    (!sources.flags.access_log_fields.is_empty()).then(|| fields.into())
}

fn unknown(name: &str) -> String {
    let names = || LogField::ALL.iter().map(|field| field.name());
    if let Some(near) = unknown::nearest(name, names()) {
        return format!("unknown field {name:?}: did you mean {near}?");
    }
    let all = names().collect::<Vec<_>>().join(", ");
    format!("unknown field {name:?}: expected any of {all}")
}

/// Parses a share of requests such as `1%`, with up to four decimals.
pub(super) fn sample_rate(text: &str) -> Result<SampleRate, String> {
    let wrong = || format!("invalid value {text:?}: expected 0% to 100%, such as 1% or 0.25%");
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let are_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(decimals) || decimals.len() > 4 {
        return Err(wrong());
    }
    let millionths = format!("{whole}{decimals:0<4}").parse().ok();
    millionths.and_then(SampleRate::new).ok_or_else(wrong)
}

/// Whether requests of a route have lines.
pub(super) fn is_logged(entry: &RouteEntry, at: &mut At<'_>) -> bool {
    let Some(said) = &entry.access_log else { return true };
    match &said.value {
        LoggedEntry::Switch(is_on) => *is_on,
        LoggedEntry::Text(text) if text == "off" => false,
        LoggedEntry::Text(text) if text == "on" => true,
        LoggedEntry::Text(text) => {
            let what = format!(
                "invalid value {text:?}: expected on or off: all routes have the file of the top level"
            );
            at.mistakes.add(&at.file.place(said.referenced), what);
            true
        }
    }
}

/// What is no mistake, but may not be what was meant.
pub(super) fn warnings(sources: &Sources) -> Vec<String> {
    let flags = &sources.flags;
    if flags.access_log.is_some() {
        return Vec::new();
    }
    // To ask for the default changes nothing.
    let given = [
        ("access-log-format", flags.access_log_format != FORMAT),
        ("access-log-fields", !flags.access_log_fields.is_empty()),
        ("access-log-sample", flags.access_log_sample != SAMPLE),
    ];
    let idle = given.iter().filter(|(_, is_given)| *is_given);
    idle.map(|(flag, _)| format!("{}: has no effect without an access log", sources.place(flag)))
        .collect()
}

/// The lines in words.
pub(super) fn described(layout: &LineLayout) -> String {
    let LineLayout { format, fields, sample } = layout;
    let mut text = match format {
        Format::Combined => "combined",
        Format::Json => "json",
    }
    .to_owned();
    if let Some(fields) = fields {
        let names: Vec<_> = fields.iter().map(|field| field.name()).collect();
        text.extend([" with ", &names.join(",")]);
    }
    if *sample != SampleRate::ALL {
        text.extend([", ", &sample.to_string(), " of the requests that do not fail"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_in_percent_with_up_to_four_decimals() {
        for (text, millionths) in [
            ("100%", 1_000_000),
            ("1%", 10_000),
            ("0.25%", 2_500),
            ("0.0001%", 1),
            ("12.5%", 125_000),
            ("0%", 0),
        ] {
            assert_eq!(sample_rate(text).ok(), SampleRate::new(millionths), "{text}");
        }
        for text in ["", "%", "1", "0.01", ".5%", "5.%", "0.00001%", "100.1%", "-1%", "1 %", "+1%"]
        {
            assert!(sample_rate(text).unwrap_err().contains("such as 1%"), "{text}");
        }
    }

    #[test]
    fn an_unknown_field_is_answered_with_the_nearest_or_with_all() {
        assert!(unknown("statsu").ends_with("did you mean status?"), "{}", unknown("statsu"));
        assert!(unknown("user-agent").ends_with("did you mean user_agent?"));
        assert!(unknown("$remote_addr").contains("expected any of time, client, peer,"));
    }
}
