//! From numbers to text, as on the admin page: a number that is not known is NaN, and shown as `–`.

/// The longest text that is shown, in characters.
const SHOWN_MAX: usize = 300;

/// A text from outside: what could move the cursor, or reorder what is beside it, is replaced, and it ends somewhere.
pub(super) fn shown(text: &str) -> String {
    let plain = |char: char| {
        let reorders = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if char.is_control() || reorders { '\u{fffd}' } else { char }
    };
    let mut chars = text.chars().map(plain);
    let mut shown: String = chars.by_ref().take(SHOWN_MAX).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Whether a number is none that could be counted.
fn is_unknown(number: f64) -> bool {
    number.is_nan() || number < 0.0
}

/// A whole number in groups of three digits, or in millions and more: `12 345`, `1.20 M`.
pub(super) fn count(number: f64) -> String {
    match number {
        number if is_unknown(number) => "–".to_owned(),
        number if number < 999_999.5 => grouped(&format!("{number:.0}")),
        number if number < 999_995_000.0 => format!("{:.2} M", number / 1e6),
        number => format!("{:.2} G", number / 1e9),
    }
}

fn grouped(digits: &str) -> String {
    let head = digits.len().saturating_sub(3);
    match &digits[..head] {
        "" => digits.to_owned(),
        thousands => format!("{thousands} {}", &digits[head..]),
    }
}

/// Something per second.
pub(super) fn rate(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        number if number > 0.0 && number < 0.05 => "<0.1".to_owned(),
        number if number > 0.0 && number < 9.95 => format!("{number:.1}"),
        number => count(number),
    }
}

/// A latency of so many seconds, with three significant digits.
pub(super) fn latency(seconds: f64) -> String {
    let three = |number: f64| match number {
        number if number >= 99.95 => format!("{number:.0}"),
        number if number >= 9.995 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    };
    match seconds {
        seconds if is_unknown(seconds) => "–".to_owned(),
        seconds if seconds < 0.000_999_5 => format!("{} µs", three(seconds * 1e6)),
        seconds if seconds < 0.999_5 => format!("{} ms", three(seconds * 1e3)),
        seconds => format!("{} s", three(seconds)),
    }
}

/// A duration of so many seconds, in up to two units.
pub(super) fn age(seconds: f64) -> String {
    if is_unknown(seconds) {
        return "–".to_owned();
    }
    let whole =
        std::time::Duration::try_from_secs_f64(seconds.round()).unwrap_or_default().as_secs();
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, _) => format!("{minutes} min {} s", whole % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// So many bytes.
pub(super) fn bytes(number: f64) -> String {
    let (mut number, mut unit) = (number, 0);
    while number >= 999.5 && unit < 4 {
        number /= 1024.0;
        unit += 1;
    }
    let name = ["B", "KiB", "MiB", "GiB", "TiB"][unit];
    match number {
        number if is_unknown(number) => "–".to_owned(),
        number if unit == 0 || number >= 99.5 => format!("{number:.0} {name}"),
        number if number >= 9.95 => format!("{number:.1} {name}"),
        number => format!("{number:.2} {name}"),
    }
}

/// A part of a whole, in percent.
pub(super) fn percent(part: f64, whole: f64) -> String {
    match part / whole * 100.0 {
        share if is_unknown(share) || share.is_infinite() => "–".to_owned(),
        0.0 => "0 %".to_owned(),
        share if share < 0.1 => "<0.1 %".to_owned(),
        share if share < 99.95 => format!("{share:.1} %"),
        share if share < 100.0 => "99.9 %".to_owned(),
        share => format!("{share:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(of: fn(f64) -> String, numbers: &[f64]) -> Vec<String> {
        numbers.iter().map(|number| of(*number)).collect()
    }

    #[test]
    fn control_characters_and_overlong_texts_do_not_reach_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\n\u{202e}ü"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}ü");
        let long = shown(&"ä".repeat(SHOWN_MAX + 1));
        assert_eq!((long.chars().count(), long.ends_with('…')), (SHOWN_MAX + 1, true));
        assert!(!shown(&"ä".repeat(SHOWN_MAX)).contains('…'));
    }

    #[test]
    fn numbers_keep_three_digits_and_their_unit() {
        let numbers = [0.0, 999.4, 12_345.0, 999_999.4, 1_200_000.0, 2.5e9, f64::NAN];
        let expected = ["0", "999", "12 345", "999 999", "1.20 M", "2.50 G", "–"];
        assert_eq!(each(count, &numbers), expected);
        let rates = [0.0, 0.01, 3.13, 1234.4, f64::NAN];
        assert_eq!(each(rate, &rates), ["0", "<0.1", "3.1", "1 234", "–"]);
        let times = [0.000_005_12, 0.000_812_34, 0.0012, 0.0999, 1.5, f64::NAN];
        let expected = ["5.12 µs", "812 µs", "1.20 ms", "99.9 ms", "1.50 s", "–"];
        assert_eq!(each(latency, &times), expected);
        let sizes = [0.0, 999.0, 1024.0, 1536.0 * 1024.0, f64::NAN];
        assert_eq!(each(bytes, &sizes), ["0 B", "999 B", "1.00 KiB", "1.50 MiB", "–"]);
        let ages = [1.2, 59.6, 61.0, 3725.0, 200_000.0, f64::NAN];
        assert_eq!(
            each(age, &ages),
            ["1 s", "1 min 0 s", "1 min 1 s", "1 h 2 min", "2 d 7 h", "–"]
        );
        let shares =
            [(0.0, 9.0), (1.0, 3.0), (9999.0, 10_000.0), (2.0, 2.0), (1.0, 0.0), (1.0, 1e5)];
        let shares = shares.map(|(part, whole)| percent(part, whole));
        assert_eq!(shares, ["0 %", "33.3 %", "99.9 %", "100 %", "–", "<0.1 %"]);
    }
}
