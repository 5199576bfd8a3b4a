//! A minimal reader of Rust source: tells code from comments and literals, and finds items.

/// A Rust file, and its text with parts blanked out; offsets are the same in all of them.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    /// Without literals.
    pub(super) remarked: String,
    /// Without literals and comments.
    pub(super) code: String,
    /// Without literals, comments and `#[cfg(test)]` items.
    pub(super) shipped: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let remarked = keep(text, &[Kind::Code, Kind::Comment]);
        let code = keep(text, &[Kind::Code]);
        let shipped = without_tests(&code);
        Self { path: path.into(), text: text.into(), remarked, code, shipped }
    }

    pub(super) fn at(&self, offset: usize, breach: &str) -> String {
        format!("{}:{}: {breach}", self.path, line_of(&self.text, offset))
    }

    pub(super) fn each(&self, part: &str, words: &[&str]) -> Vec<String> {
        let places = words.iter().flat_map(|word| find_words(part, word).map(move |at| (at, word)));
        places.map(|(at, word)| self.at(at, &format!("`{word}`"))).collect()
    }
}

// Reading items.

/// The offset, name and number of lines of each named function.
pub(super) fn functions(code: &str) -> Vec<(usize, &str, usize)> {
    let named = find_words(code, "fn").map(|at| (at, leading_word(&code[at + 2..])));
    let functions = named.filter(|(_, name)| !name.is_empty());
    functions
        .map(|(at, name)| (at, name, line_of(&code[at..], extent(&code[at..], ";}"))))
        .collect()
}

/// The length of the attributes and white space at the start of `code`.
pub(super) fn attributes_len(code: &str) -> usize {
    let mut rest = code.trim_start();
    while rest.starts_with('#') {
        rest = rest[extent(rest, "]")..].trim_start();
    }
    code.len() - rest.len()
}

/// The comma-separated parts of the braces at the start of `code`, with their offsets.
pub(super) fn branches(code: &str) -> Vec<(usize, &str)> {
    pieces(code, ',')
}

/// The parts of the braces at the start of `code`, each ending with `end`, with their offsets.
pub(super) fn pieces(code: &str, end: char) -> Vec<(usize, &str)> {
    let inside = &code[..extent(code, "}") - 1];
    let ends = end.to_string();
    let mut pieces = Vec::new();
    let mut at = 1;
    while at < inside.len() {
        let end_at = at + extent(&inside[at..], &ends);
        let piece = inside[at..end_at].trim_start();
        pieces.push((end_at - piece.len(), piece.trim_end_matches(end)));
        at = end_at;
    }
    pieces.retain(|(_, piece)| !piece.is_empty());
    pieces
}

/// The length of `code` up to and including the first of `ends` outside all brackets.
pub(super) fn extent(code: &str, ends: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return at,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && ends.contains(c) {
            return at + 1;
        }
    }
    code.len()
}

fn without_tests(code: &str) -> String {
    let mut shipped = code.to_string();
    for (start, _) in code.match_indices("#[cfg(test)]") {
        let end = start + extent(&code[start..], ";}");
        shipped.replace_range(start..end, &blank(&code[start..end]));
    }
    shipped
}

// Reading words.

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(super) fn leading_word(text: &str) -> &str {
    text.trim_start().split(|c| !is_word(c)).next().unwrap_or_default()
}

/// The offsets of `word` in `text` where it is not part of a longer word.
pub(super) fn find_words(text: &str, word: &str) -> impl Iterator<Item = usize> {
    let joined = move |at| text[..at].ends_with(is_word) && text[at..].starts_with(is_word);
    let places = text.match_indices(word).map(|(at, _)| at);
    places.filter(move |&at| !joined(at) && !joined(at + word.len()))
}

pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

// Distinguishing code, comments and literals.

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Code,
    Comment,
    Literal,
}

/// `text` with all other kinds blanked out, so that lines and offsets are unchanged.
pub(super) fn keep(text: &str, kinds: &[Kind]) -> String {
    let mut kept = String::with_capacity(text.len());
    while kept.len() < text.len() {
        let rest = &text[kept.len()..];
        let (kind, len) = next_token(rest);
        let token = &rest[..len];
        kept += &if kinds.contains(&kind) { token.to_string() } else { blank(token) };
    }
    kept
}

fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

fn next_token(rest: &str) -> (Kind, usize) {
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment_len(rest));
    }
    if let Some(len) = literal_len(rest) {
        return (Kind::Literal, len);
    }
    // A word is consumed whole, so that its last letter is never read as the prefix of a literal.
    let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    (Kind::Code, word.max(rest.chars().next().map_or(0, char::len_utf8)))
}

fn block_comment_len(rest: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let Some(close) = rest[at..].find("*/") else { return rest.len() };
        let open = rest[at..at + close].find("/*");
        at += open.unwrap_or(close) + 2;
        depth = if open.is_some() { depth + 1 } else { depth - 1 };
    }
    at
}

fn literal_len(rest: &str) -> Option<usize> {
    let prefix =
        ["br", "cr", "b", "c", "r", ""].iter().find(|prefix| rest.starts_with(**prefix))?;
    let body = &rest[prefix.len()..];
    let len = match body.chars().next()? {
        '"' | '#' if prefix.ends_with('r') => raw_string_len(body),
        '"' => Some(quoted_len(body, '"')),
        '\'' => char_len(body),
        _ => None,
    };
    Some(prefix.len() + len?)
}

fn raw_string_len(body: &str) -> Option<usize> {
    let hashes = body.find(|c| c != '#')?;
    let text = body[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(text.find(&close).map_or(body.len(), |end| hashes + 1 + end + close.len()))
}

/// A char literal ends after one character or escape; anything else is a lifetime.
fn char_len(body: &str) -> Option<usize> {
    let mut chars = body.chars().skip(1);
    match chars.next()? {
        '\\' => Some(quoted_len(body, '\'')),
        c => (chars.next()? == '\'').then_some(c.len_utf8() + 2),
    }
}

fn quoted_len(body: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = body[1..].find(|c| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    end.map_or(body.len(), |at| at + 2)
}
