//! The fuzz target of what is read in one pass; see CONTRIBUTING.md.

use super::file::options;
use super::one_pass;
use super::tree;
use super::wording::VALUES_MAX;

/// Takes a configuration file. What is read of it in one pass must be what the library reads, places included.
///
/// # Panics
///
/// Panics if it is not.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(read) = one_pass::read(text, VALUES_MAX) else { return };
    match tree::read(text, options()) {
        Ok(expected) => assert_eq!(read, expected),
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_their_mutants() {
        crate::corpus::replay("configuration", 3000, configuration);
    }

    #[test]
    fn what_is_usual_is_read_and_what_is_odd_is_left_to_the_library() {
        let usual = [
            "routes: [{prefix: /, endpoints: ['127.0.0.1:3000']}]",
            "# First\nlisten: :8080\nroutes:\n- prefix: /a # one\n  headers: {X-A: \"*\"}\n\n- path: /b\n",
            "a:\n  - b\n  -\n    c: d\n  - - e\n",
            "error_pages: {503: a, 4xx: b, \"é\": c}",
            "{\n\"a\":\"b\\n\",\n\"c\": [1,\n2,],\n}",
            "a: \"b\\tc\\\\d\\\"e\\nf\"\nb: 'c''d'\n",
        ];
        for text in usual {
            assert!(one_pass::read(text, VALUES_MAX).is_some(), "{text}");
            configuration(text.as_bytes());
        }
        let odd = [
            "",
            "a:",
            "a: b\n c",
            "a: b\n c: d",
            "a: b\na: c",
            "a: &b c",
            "a: |\n  b",
            "a: [b\n, c]",
            "a: [b: c]",
            "a: {b}",
            "a: \"b\n  c\"",
            "a: b: c",
            "a:\tb",
            "? a\n: b",
            "---\na: b",
            "0x1: a",
            "a: ~",
            "a: .inf",
        ];
        for text in odd {
            assert!(one_pass::read(text, VALUES_MAX).is_none(), "{text}");
        }
    }

    #[test]
    fn values_and_depth_are_limited() {
        let read = |text: &str, values_max| one_pass::read(text, values_max).is_some();
        assert!(read("a: [b, {c: d}]", 7) && !read("a: [b, {c: d}]", 6));
        let nested = |depth| format!("{}a{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(24), VALUES_MAX) && !read(&nested(25), VALUES_MAX));
        let blocks = |depth| format!("{}a", "- ".repeat(depth));
        assert!(read(&blocks(24), VALUES_MAX) && !read(&blocks(100_000), VALUES_MAX));
    }
}
