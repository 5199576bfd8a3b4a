//! Reads YAML that has nothing odd about it, in one pass: lists and keys in either style, texts on one line, comments.
//!
//! `None` says only that somebody has to look more closely: the library, by [`super::tree`], reads all of YAML and
//! says what is wrong. What is read here it reads the same way, places included; the fuzz target holds both to that.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::{memchr, memchr2, memchr3};

use super::scalar::ScalarText;
use super::spanned::{Location, Spanned};
use super::tree::{KeyText, Node, PlacedNode};

/// The most lists and keys within one another; the library takes more.
const DEPTH_MAX: usize = 24;

/// Up to so many keys, comparing each with all others is faster than a set.
const FEW_KEYS: usize = 16;

/// Reads a text of at most so many values.
pub(super) fn read(text: &str, values_max: usize) -> Option<PlacedNode<'_>> {
    let is_ascii = text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~'));
    if !is_ascii && !text.chars().all(is_usual) {
        return None;
    }
    let mut pass = OnePass {
        text,
        bytes: text.as_bytes(),
        is_ascii,
        at: 0,
        line: 1,
        line_start: 0,
        counted: (0, 1),
        indent: None,
        values_left: values_max,
        depth: 0,
        entries: Vec::new(),
        keys: Vec::new(),
    };
    pass.skip_blank();
    pass.begin_line()?;
    pass.indent?;
    let root = pass.block(None)?;
    pass.indent.is_none().then_some(root)
}

/// Whether YAML has no other meaning for a character than a letter's.
fn is_usual(char: char) -> bool {
    match char {
        '\n' | ' '..='~' => true,
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => false,
        _ => char > '\u{a0}',
    }
}

/// The style that a text stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum YamlStyle {
    /// By lines.
    Block,
    /// In brackets or braces.
    Flow,
}

struct OnePass<'a> {
    text: &'a str,
    bytes: &'a [u8],
    is_ascii: bool,
    /// Where the next byte is.
    at: usize,
    line: u32,
    line_start: usize,
    /// A place on this line, and its column. It only moves forward, so that long lines take no longer.
    counted: (usize, u32),
    /// How far the line that comes next begins from the left; none at the end. Known after a value in block style.
    indent: Option<usize>,
    values_left: usize,
    depth: usize,
    /// Those of the lists that have begun, so that each list is allocated once.
    entries: Vec<PlacedNode<'a>>,
    /// The same of keys.
    keys: Vec<(KeyText<'a>, PlacedNode<'a>)>,
}

impl<'a> OnePass<'a> {
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn column(&self) -> usize {
        self.at - self.line_start
    }

    fn location(&mut self) -> Location {
        let (from, column) = self.counted;
        let between = &self.text[from..self.at];
        let count = if self.is_ascii { between.len() } else { between.chars().count() };
        self.counted = (self.at, column + u32::try_from(count).unwrap_or(u32::MAX));
        Location::at(self.line, self.counted.1)
    }

    /// Skips spaces, ends of lines and comments. Returns whether another line has begun.
    fn skip_blank(&mut self) -> bool {
        let mut has_moved = false;
        while let Some(byte) = self.byte() {
            match byte {
                b' ' => self.at += 1,
                b'\n' => {
                    self.at += 1;
                    (self.line, self.line_start, self.counted) =
                        (self.line + 1, self.at, (self.at, 1));
                    has_moved = true;
                }
                b'#' if self.at == self.line_start || self.bytes[self.at - 1] == b' ' => {
                    let rest = &self.bytes[self.at..];
                    self.at += memchr(b'\n', rest).unwrap_or(rest.len());
                }
                _ => break,
            }
        }
        has_moved
    }

    /// Notes how far a line begins from the left; it may not begin or end a document.
    fn begin_line(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        let is_marked = rest.starts_with(b"---") || rest.starts_with(b"...");
        if self.column() == 0 && (is_marked || rest.starts_with(b"%")) {
            return None;
        }
        self.indent = (!rest.is_empty()).then(|| self.column());
        Some(())
    }

    /// Goes on to the next line after a value in a list or keys at column `parent`. What is further to the right would be
    /// part of the value.
    fn end_value(&mut self, parent: Option<usize>) -> Option<()> {
        let has_moved = self.skip_blank();
        if !has_moved && self.byte().is_some() {
            return None;
        }
        self.begin_line()?;
        self.indent.is_none_or(|indent| parent.is_some_and(|parent| indent <= parent)).then_some(())
    }

    fn count_value(&mut self) -> Option<()> {
        self.values_left = self.values_left.checked_sub(1)?;
        Some(())
    }

    fn enter(&mut self) -> Option<()> {
        self.depth += 1;
        self.count_value()?;
        (self.depth <= DEPTH_MAX).then_some(())
    }

    /// A value of a list or keys at column `parent` that begins here.
    fn block(&mut self, parent: Option<usize>) -> Option<PlacedNode<'a>> {
        if self.is_at_entry() {
            return self.block_list(parent);
        }
        if let Some(b'[' | b'{') = self.byte() {
            return self.flow_in_block(parent);
        }
        let column = self.column();
        let first = self.scalar(YamlStyle::Block)?;
        if self.is_at_colon() {
            return self.block_keys(column, first.key()?);
        }
        let value = first.value()?;
        self.end_value(parent)?;
        Some(value)
    }

    fn flow_in_block(&mut self, parent: Option<usize>) -> Option<PlacedNode<'a>> {
        let value = self.flow(parent)?;
        self.end_value(parent)?;
        Some(value)
    }

    /// Whether an entry of a list in block style begins here.
    fn is_at_entry(&self) -> bool {
        let next = self.bytes.get(self.at + 1);
        self.byte() == Some(b'-') && matches!(next, None | Some(b' ' | b'\n'))
    }

    /// Whether a key ends here.
    fn is_at_colon(&self) -> bool {
        let next = self.bytes.get(self.at + 1);
        self.byte() == Some(b':') && matches!(next, None | Some(b' ' | b'\n'))
    }

    /// A list in a list or keys at column `parent`. If that is its own column, it is said to be where its first entry is.
    fn block_list(&mut self, parent: Option<usize>) -> Option<PlacedNode<'a>> {
        self.enter()?;
        let (column, start, mut at) = (self.column(), self.entries.len(), self.location());
        loop {
            self.at += 1;
            let has_moved = self.skip_blank();
            let is_first_of_same = parent == Some(column) && self.entries.len() == start;
            if has_moved || self.byte().is_none() {
                self.begin_line()?;
                self.indent.filter(|indent| *indent > column && !is_first_of_same)?;
            }
            let entry = self.block(Some(column))?;
            if is_first_of_same {
                at = entry.referenced;
            }
            self.entries.push(entry);
            match self.indent {
                Some(indent) if indent > column => return None,
                Some(indent) if indent == column && self.is_at_entry() => {}
                _ => break,
            }
        }
        self.depth -= 1;
        Some(placed(at, Node::List(self.entries.drain(start..).collect())))
    }

    /// Keys that begin at a column, after the first of them.
    fn block_keys(&mut self, column: usize, first: KeyText<'a>) -> Option<PlacedNode<'a>> {
        self.enter()?;
        let (start, at, mut key) = (self.keys.len(), first.referenced, first);
        loop {
            self.at += 1;
            let value = self.value_in_block(column)?;
            self.keys.push((key, value));
            match self.indent {
                Some(indent) if indent > column => return None,
                Some(indent) if indent == column => {}
                _ => break,
            }
            key = self.scalar(YamlStyle::Block)?.key()?;
            if !self.is_at_colon() {
                return None;
            }
        }
        self.depth -= 1;
        self.keys_from(start, at)
    }

    /// What follows the colon of a key at a column.
    fn value_in_block(&mut self, column: usize) -> Option<PlacedNode<'a>> {
        let has_moved = self.skip_blank();
        if has_moved || self.byte().is_none() {
            self.begin_line()?;
            let indent = self.indent?;
            return match indent == column && self.is_at_entry() {
                true => self.block_list(Some(column)),
                false if indent > column => self.block(Some(column)),
                false => None,
            };
        }
        if let Some(b'[' | b'{') = self.byte() {
            return self.flow_in_block(Some(column));
        }
        let value = self.scalar(YamlStyle::Block)?.value()?;
        self.end_value(Some(column))?;
        Some(value)
    }

    /// The keys that have been read since there were so many, unless two are the same.
    fn keys_from(&mut self, start: usize, at: Location) -> Option<PlacedNode<'a>> {
        let keys = &self.keys[start..];
        let is_there = |nth: usize, key: &KeyText<'_>| {
            keys[..nth].iter().any(|(earlier, _)| earlier.value == key.value)
        };
        let are_unique = if keys.len() <= FEW_KEYS {
            !keys.iter().enumerate().any(|(nth, (key, _))| is_there(nth, key))
        } else {
            let mut seen = HashSet::with_capacity(keys.len());
            keys.iter().all(|(key, _)| seen.insert(&*key.value))
        };
        are_unique.then(|| placed(at, Node::Keys(self.keys.drain(start..).collect())))
    }

    /// A list in brackets, or keys in braces, within a list or keys in block style at column `parent`.
    fn flow(&mut self, parent: Option<usize>) -> Option<PlacedNode<'a>> {
        self.enter()?;
        let at = self.location();
        let value = match self.byte()? {
            b'[' => self.flow_list(parent, at),
            _ => self.flow_keys(parent, at),
        };
        self.depth -= 1;
        value
    }

    /// The same, or a text.
    fn flow_value(&mut self, parent: Option<usize>) -> Option<PlacedNode<'a>> {
        match self.byte()? {
            b'[' | b'{' => self.flow(parent),
            _ => self.scalar(YamlStyle::Flow)?.value(),
        }
    }

    /// Skips what is blank in brackets and braces; a line may begin as far to the left as what they are in only if that is
    /// nothing.
    fn flow_blank(&mut self, parent: Option<usize>) -> Option<u8> {
        if self.skip_blank() {
            self.begin_line()?;
            let indent = self.indent?;
            parent.is_none_or(|parent| indent > parent).then_some(())?;
        }
        self.byte()
    }

    fn flow_list(&mut self, parent: Option<usize>, at: Location) -> Option<PlacedNode<'a>> {
        let start = self.entries.len();
        self.at += 1;
        while self.flow_blank(parent)? != b']' {
            let entry = self.flow_value(parent)?;
            self.entries.push(entry);
            match self.flow_blank(parent)? {
                b',' => self.at += 1,
                b']' => {}
                _ => return None,
            }
        }
        self.at += 1;
        Some(placed(at, Node::List(self.entries.drain(start..).collect())))
    }

    fn flow_keys(&mut self, parent: Option<usize>, at: Location) -> Option<PlacedNode<'a>> {
        let start = self.keys.len();
        self.at += 1;
        while self.flow_blank(parent)? != b'}' {
            let text = self.scalar(YamlStyle::Flow)?;
            // As in JSON, a value may follow a key in quotes at once.
            let is_apart = !text.is_plain || self.bytes.get(self.at + 1) == Some(&b' ');
            if self.byte() != Some(b':') || !is_apart {
                return None;
            }
            self.at += 1;
            let key = text.key()?;
            if self.skip_blank() {
                return None;
            }
            let value = self.flow_value(parent)?;
            self.keys.push((key, value));
            match self.flow_blank(parent)? {
                b',' => self.at += 1,
                b'}' => {}
                _ => return None,
            }
        }
        self.at += 1;
        self.keys_from(start, at)
    }

    fn scalar(&mut self, style: YamlStyle) -> Option<ScalarText<'a>> {
        self.count_value()?;
        let (start, at, first) = (self.at, self.location(), self.byte()?);
        let text = match first {
            b'"' => self.double_quoted()?,
            b'\'' => self.single_quoted()?,
            _ => Cow::Borrowed(self.plain(style)?),
        };
        let is_plain = !matches!(first, b'"' | b'\'');
        Some(ScalarText { text, is_plain, at, bytes: start..self.at })
    }

    /// A text without quotes.
    fn plain(&mut self, style: YamlStyle) -> Option<&'a str> {
        let (start, is_flow) = (self.at, style == YamlStyle::Flow);
        let first = self.byte()?;
        let is_port = |next: &u8| next.is_ascii_digit() && !is_flow;
        match first {
            b'/' | b'_' | b'.' | b'$' | 0x80.. => {}
            b':' if self.bytes.get(start + 1).is_some_and(is_port) => {}
            first if first.is_ascii_alphanumeric() => {}
            _ => return None,
        }
        let mut end = start + 1;
        while let Some(byte) = self.bytes.get(end) {
            let next = self.bytes.get(end + 1);
            match byte {
                b'\n' => break,
                b' ' if next == Some(&b'#') => break,
                b':' if matches!(next, None | Some(b' ' | b'\n')) => break,
                b':' if is_flow && matches!(next, Some(b',' | b'[' | b']' | b'{' | b'}')) => {
                    return None;
                }
                b',' | b']' | b'}' if is_flow => break,
                b'[' | b'{' if is_flow => return None,
                _ => end += 1,
            }
        }
        let text = self.text[start..end].trim_end_matches(' ');
        self.at = start + text.len();
        Some(text)
    }

    fn double_quoted(&mut self) -> Option<Cow<'a, str>> {
        let mut from = self.at + 1;
        let mut whole = String::new();
        loop {
            let end = from + memchr3(b'"', b'\\', b'\n', &self.bytes[from..])?;
            let before = &self.text[from..end];
            let char = match (self.bytes[end], self.bytes.get(end + 1)) {
                (b'"', _) => {
                    self.at = end + 1;
                    return Some(if whole.is_empty() {
                        Cow::Borrowed(before)
                    } else {
                        Cow::Owned(whole + before)
                    });
                }
                (b'\\', Some(b'n')) => '\n',
                (b'\\', Some(b't')) => '\t',
                (b'\\', Some(b'"')) => '"',
                (b'\\', Some(b'\\')) => '\\',
                _ => return None,
            };
            whole.push_str(before);
            whole.push(char);
            from = end + 2;
        }
    }

    fn single_quoted(&mut self) -> Option<Cow<'a, str>> {
        let mut from = self.at + 1;
        let mut whole = String::new();
        loop {
            let end = from + memchr2(b'\'', b'\n', &self.bytes[from..])?;
            let before = &self.text[from..end];
            match (self.bytes[end], self.bytes.get(end + 1)) {
                (b'\'', Some(b'\'')) => {
                    whole.push_str(before);
                    whole.push('\'');
                    from = end + 2;
                }
                (b'\'', _) => {
                    self.at = end + 1;
                    return Some(if whole.is_empty() {
                        Cow::Borrowed(before)
                    } else {
                        Cow::Owned(whole + before)
                    });
                }
                _ => return None,
            }
        }
    }
}

fn placed(at: Location, value: Node<'_>) -> PlacedNode<'_> {
    Spanned { value, referenced: at, defined: at }
}
