//! How much is logged.

use super::hints;

/// The names of log levels.
pub(super) const LOG_LEVELS: [&str; 5] = ["off", "error", "warn", "info", "debug"];

/// Parses a log level.
pub(super) fn read(text: &str) -> Result<log::LevelFilter, String> {
    let level = text.parse().ok().filter(|_| LOG_LEVELS.contains(&text));
    level.ok_or_else(|| {
        let others = [("warning", "warn"), ("trace", "debug"), ("none", "off"), ("notice", "info")];
        let hint = hints::choice(text, &LOG_LEVELS, &others);
        format!("invalid value {text:?}: expected off, error, warn, info or debug{hint}")
    })
}
