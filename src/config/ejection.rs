//! When endpoints are ejected: as it is written, and as it is shown.

use std::num::NonZeroU8;

use super::hints;
use super::value;
use crate::upstream::ejections::EjectShare;
use crate::upstream::health::Thresholds;

/// Parses how many failures in a row eject; `off`: none do.
pub(super) fn fails_max(text: &str) -> Result<Option<NonZeroU8>, String> {
    if text == "off" {
        return Ok(None);
    }
    let number = value::number(text, NonZeroU8::MIN, NonZeroU8::MAX);
    number.map(Some).map_err(|what| format!("{what}, or off"))
}

/// Parses which share of the endpoints may be ejected at a time.
pub(super) fn eject_max(text: &str) -> Result<EjectShare, String> {
    let number = text.strip_suffix('%').and_then(|number| value::number(number, 0, 100).ok());
    match number {
        Some(0) => Err(format!("invalid value {text:?}: to eject none, write max_fails: off")),
        Some(percent) => EjectShare::of_percent(percent).ok_or_else(|| expected(text)),
        None => Err(expected(text)),
    }
}

fn expected(text: &str) -> String {
    let hint = hints::percent(text);
    format!("invalid value {text:?}: expected a share of the endpoints, 1% to 100%{hint}")
}

/// Describes what ejects endpoints; `errors` says whether server errors do.
pub(super) fn described(thresholds: &Thresholds, errors: &str) -> String {
    let Some(fails) = thresholds.fails_max else { return "failures eject none".to_owned() };
    let out = humantime::format_duration(thresholds.fail_timeout);
    let share = match thresholds.eject_max {
        EjectShare::HALF => String::new(),
        share => format!(", at most {}% at a time", share.percent()),
    };
    format!("{fails} failures in a row{errors} eject for {out}{share}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_in_percent() {
        assert_eq!(eject_max("50%"), Ok(EjectShare::HALF));
        assert_eq!(eject_max("100%").map(EjectShare::percent), Ok(100));
        for bad in ["", "%", "50", "101%", "-1%", "+5%", "1.5%", "half"] {
            let told = eject_max(bad).unwrap_err();
            assert!(told.contains("expected a share of the endpoints, 1% to 100%"), "{told}");
        }
        assert!(eject_max("0%").unwrap_err().ends_with("write max_fails: off"));
    }

    #[test]
    fn failures_can_eject_nobody() {
        assert_eq!(fails_max("off"), Ok(None));
        assert_eq!(fails_max("255").map(|count| count.map(NonZeroU8::get)), Ok(Some(255)));
        for bad in ["", "0", "256", "no"] {
            assert!(fails_max(bad).unwrap_err().ends_with("from 1 to 255, or off"), "{bad}");
        }
    }
}
