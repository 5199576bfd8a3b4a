//! Limits on the size of headers.

use evener::reject::Reject;

use super::field;
use super::gate::{After, Gate};

refused! {
    a_target_too_long: format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20_000))
        => 414 TargetTooLong;
    a_field_too_long: field(&format!("X: {}", "x".repeat(20_000))) => 431 HeadTooLarge;
    too_many_fields: format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100))
        => 431 TooManyFields;
}

/// A request whose head has this size.
fn of_size(bytes: usize) -> String {
    let frame = field("X: ").len();
    field(&format!("X: {}", "x".repeat(bytes - frame)))
}

#[test]
fn max_head() {
    let gate = Gate::new(&["--max-head", "2k"]);
    gate.refuses(of_size(2049), 431, Reject::HeadTooLarge);
    let gate = Gate::new(&["--max-head", "2k"]);
    gate.passes(of_size(2048), After::Keep, &of_size(2048));
}

#[test]
fn max_head_of_a_target() {
    let gate = Gate::new(&["--max-head", "2k"]);
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(2048));
    gate.refuses(request, 414, Reject::TargetTooLong);
}

#[test]
fn max_fields() {
    let fields = |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
    let gate = Gate::new(&["--max-fields", "10"]);
    gate.refuses(fields(10), 431, Reject::TooManyFields);
    let gate = Gate::new(&["--max-fields", "10"]);
    gate.passes(fields(9), After::Keep, &fields(9));
}
