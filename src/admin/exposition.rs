//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

/// The type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Only increases during the life of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

/// A label and its value.
pub(crate) type LabelPair<'a> = (&'a str, &'a str);

/// The text written so far.
#[derive(Default)]
pub(crate) struct Exposition {
    pub(crate) text: String,
}

impl Exposition {
    /// Starts a metric family; its samples must follow immediately.
    pub(crate) fn family(&mut self, name: &str, of: Type, help: &str) {
        let kind = match of {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Writes a sample of the current family.
    pub(crate) fn sample(&mut self, name: &str, labels: &[LabelPair<'_>], value: impl Display) {
        self.text.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    /// Writes a family with a single sample.
    pub(crate) fn one(&mut self, name: &str, of: Type, help: &str, value: impl Display) {
        self.family(name, of, help);
        self.sample(name, &[], value);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped() {
        let mut out = Exposition::default();
        out.family("a_total", Type::Counter, "All.");
        out.sample("a_total", &[("x", "\"\\\n"), ("y", "é{}=,")], 1);
        let expected = "# HELP a_total All.\n# TYPE a_total counter\n\
                        a_total{x=\"\\\"\\\\\\n\",y=\"é{}=,\"} 1\n";
        assert_eq!(out.text, expected);
    }
}
