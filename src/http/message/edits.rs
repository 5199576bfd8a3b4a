//! What a head is to say besides what its sender wrote: a small list, whatever the next hop is and
//! whatever protocol it speaks.
//!
//! Fields that frame a message or belong to one connection cannot be edited: an [`EditName`] is none
//! of them, and a [`Value`] ends no line. The encoder alone writes those.

use std::fmt;

use super::authority::is_authority;
pub use super::edit_name::EditName;
use super::edit_value::Made;
pub use super::edit_value::Value;
use super::field::{self, Name};
use super::head::Fields;

/// Edits that need no allocation: more than a proxy makes by itself.
const INLINE_MAX: usize = 8;

/// Why a head is not edited as asked: the message would not be what it is, or not be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// It is no name, or that of a field which frames the message or belongs to the connection.
    Name,
    /// What it says would end its line.
    Value,
    /// It is neither a host nor a host with a port.
    Host,
    /// It is no path: that begins with a slash, and holds visible ASCII but `?` and `#`.
    Path,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => {
                "no header of this name can be set: it is not a name, or it frames the message"
            }
            Self::Value => "not a header's value: it holds a control character",
            Self::Host => "not a host, or a host and a port",
            Self::Path => "not a path of visible ASCII without ? and #",
        })
    }
}

impl std::error::Error for HeaderError {}

/// What an edit does with the fields of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Operation {
    /// One field says this, instead of all that the sender wrote.
    Set,
    /// One more field says this.
    Add,
    /// One field lists the members that the sender wrote, and then this.
    Append,
    /// There is none.
    Remove,
}

/// What is done with the fields of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Edit<'a> {
    pub(in crate::http) name: EditName<'a>,
    pub(in crate::http) operation: Operation,
    pub(in crate::http) value: Value<'a>,
}

/// What is changed about a head on its way. Of two edits of one name the later wins.
#[derive(Clone, Debug, Default)]
pub struct Edits<'a> {
    path: Option<[&'a [u8]; 2]>,
    host: Option<&'a [u8]>,
    /// A bit for each [`Name`] whose fields are all left out.
    withheld: u32,
    /// A bit for each [`Name`] whose fields are left out if an edit names them.
    withheld_by_name: u32,
    /// A bit for the length of each name that is left out like that, so that few names are compared.
    withheld_lengths: u32,
    /// A bit for each [`Name`] of which there is an edit.
    edited: u32,
    count: usize,
    few: [Option<Edit<'a>>; INLINE_MAX],
    more: Vec<Edit<'a>>,
    made: Made,
}

impl<'a> Edits<'a> {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// One header says this, instead of all that the sender wrote of that name. Host is refused, too: see
    /// [`Edits::rewrite_host`].
    pub fn set_header(&mut self, name: &'a str, value: &'a [u8]) -> Result<(), HeaderError> {
        let (name, value) = header(name, value)?;
        self.set(name, value);
        Ok(())
    }

    /// One more header says this.
    pub fn add_header(&mut self, name: &'a str, value: &'a [u8]) -> Result<(), HeaderError> {
        let (name, value) = header(name, value)?;
        self.add(name, value);
        Ok(())
    }

    /// No header of this name is left.
    pub fn remove_header(&mut self, name: &'a str) -> Result<(), HeaderError> {
        self.remove(EditName::new(name).ok_or(HeaderError::Name)?);
        Ok(())
    }

    /// The path of a request becomes `parts`, one after the other; its query stays.
    pub fn rewrite_path(&mut self, parts: [&'a [u8]; 2]) -> Result<(), HeaderError> {
        let mut bytes = parts.iter().copied().flatten();
        let is_fit = |byte: &u8| byte.is_ascii_graphic() && !b"?#".contains(byte);
        if bytes.next() != Some(&b'/') || !bytes.all(is_fit) {
            return Err(HeaderError::Path);
        }
        self.set_path(parts);
        Ok(())
    }

    /// Host, and `:authority` in HTTP/2, say this to the endpoint: a host, with or without a port.
    pub fn rewrite_host(&mut self, host: &'a [u8]) -> Result<(), HeaderError> {
        if host.is_empty() || !is_authority(host) {
            return Err(HeaderError::Host);
        }
        self.set_host(host);
        Ok(())
    }

    /// The path becomes `parts`, one after the other, and the query stays. Together they begin with
    /// a slash and are taken from what has been parsed.
    pub(crate) fn set_path(&mut self, parts: [&'a [u8]; 2]) {
        self.path = Some(parts);
    }

    /// Host says this: an authority ([`super::authority::is_authority`]).
    pub(crate) fn set_host(&mut self, host: &'a [u8]) {
        self.host = Some(host);
    }

    /// Host says this if nothing else is set: an authority.
    pub(crate) fn set_usual_host(&mut self, host: &'a [u8]) {
        self.host.get_or_insert(host);
    }

    /// One field says this, instead of all that the sender wrote.
    #[inline]
    pub fn set(&mut self, name: EditName<'a>, value: Value<'a>) {
        self.replace(Edit { name, operation: Operation::Set, value });
    }

    /// One field says what `make` writes, instead of all that the sender wrote. None does, if that is nothing or
    /// may not stand in a field. Returns whether there is one.
    pub fn set_made(&mut self, name: EditName<'a>, make: impl FnOnce(&mut Vec<u8>)) -> bool {
        let value = self.made.keep(make);
        let operation = if value.is_some() { Operation::Set } else { Operation::Remove };
        self.replace(Edit { name, operation, value: value.unwrap_or(Value::NOTHING) });
        value.is_some()
    }

    /// One more field says what `make` writes, unless that is nothing or may not stand in a field. Returns whether
    /// there is one.
    pub fn add_made(&mut self, name: EditName<'a>, make: impl FnOnce(&mut Vec<u8>)) -> bool {
        let value = self.made.keep(make);
        value.inspect(|value| self.add(name, *value)).is_some()
    }

    /// One more field says this.
    pub fn add(&mut self, name: EditName<'a>, value: Value<'a>) {
        self.push(Edit { name, operation: Operation::Add, value });
    }

    /// One field lists what the sender wrote, without its empty members, and then this.
    pub fn append(&mut self, name: EditName<'a>, value: Value<'a>) {
        self.replace(Edit { name, operation: Operation::Append, value });
    }

    /// No field of that name is left.
    pub fn remove(&mut self, name: EditName<'a>) {
        self.replace(Edit { name, operation: Operation::Remove, value: Value::NOTHING });
    }

    /// What the sender wrote in fields that mean this is left out.
    #[inline]
    pub fn withhold(&mut self, known: Name) {
        self.withheld |= known.bit();
    }

    #[inline]
    fn replace(&mut self, edit: Edit<'a>) {
        let bit = edit.name.meaning().bit();
        if edit.name.meaning().is_one_name() {
            self.withheld |= bit;
        } else {
            self.withheld_by_name |= bit;
            self.withheld_lengths |= length_bit(edit.name.text().as_bytes());
        }
        if self.edited & bit != 0 {
            self.forget(edit.name);
        }
        self.push(edit);
    }

    #[inline]
    fn push(&mut self, edit: Edit<'a>) {
        self.edited |= edit.name.meaning().bit();
        match self.few.get_mut(self.count) {
            Some(place) => {
                *place = Some(edit);
                self.count += 1;
            }
            None => self.more.push(edit),
        }
    }

    /// Drops the edits of that name.
    #[cold]
    fn forget(&mut self, name: EditName<'_>) {
        for place in &mut self.few {
            place.take_if(|edit| name.is(edit.name.meaning(), edit.name.text().as_bytes()));
        }
        self.more.retain(|edit| !name.is(edit.name.meaning(), edit.name.text().as_bytes()));
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.path.is_none() && self.host.is_none() && self.withheld == 0
    }

    pub(in crate::http) fn path(&self) -> Option<[&'a [u8]; 2]> {
        self.path
    }

    pub(in crate::http) fn host(&self) -> Option<&'a [u8]> {
        self.host
    }

    /// Whether a field of the sender's is left out.
    #[inline]
    pub(in crate::http) fn withholds(&self, known: Name, name: &[u8]) -> bool {
        // One test for nearly all fields: it is asked for each of every head.
        (self.withheld | self.withheld_by_name) & known.bit() != 0
            && (self.withheld & known.bit() != 0
                || self.withheld_lengths & length_bit(name) != 0
                    && self.withholds_by_name(known, name))
    }

    #[cold]
    fn withholds_by_name(&self, known: Name, name: &[u8]) -> bool {
        self.iter().any(|edit| edit.operation != Operation::Add && edit.name.is(known, name))
    }

    /// What a field of an edit says, if that is a text.
    #[inline]
    pub(in crate::http) fn text_of<'b>(&'b self, edit: &Edit<'b>) -> Option<&'b [u8]> {
        edit.value.text(&self.made)
    }

    /// Hands over what a field of an edit says, piece by piece.
    pub(in crate::http) fn write_value(&self, edit: &Edit<'_>, part: impl FnMut(&[u8])) {
        edit.value.write(&self.made, part);
    }

    /// Hands over, piece by piece, the list of an [`Operation::Append`]: the members in `fields`, and then
    /// its own value. Without any there is nothing.
    pub(in crate::http) fn write_list(
        &self,
        edit: &Edit<'_>,
        fields: &Fields<'_, '_>,
        mut part: impl FnMut(&[u8]),
    ) {
        let written = fields.iter().filter(|(known, name, _)| edit.name.is(*known, name));
        let mut separator: &[u8] = b"";
        for member in written.flat_map(|(.., value)| field::quoted_list(value)) {
            part(separator);
            part(member);
            separator = b", ";
        }
        self.write_value(edit, |piece| {
            part(std::mem::take(&mut separator));
            part(piece);
        });
    }

    /// In the order in which they were made.
    pub(in crate::http) fn iter(&self) -> impl Iterator<Item = &Edit<'a>> {
        self.few[..self.count].iter().flatten().chain(&self.more)
    }
}

/// A bit for the length of a name.
#[inline]
fn length_bit(name: &[u8]) -> u32 {
    1 << (name.len() % 32)
}

fn header<'a>(name: &'a str, value: &'a [u8]) -> Result<(EditName<'a>, Value<'a>), HeaderError> {
    let name = EditName::new(name).ok_or(HeaderError::Name)?;
    Ok((name, Value::new(value).ok_or(HeaderError::Value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> EditName<'_> {
        EditName::new(text).unwrap()
    }

    fn value(text: &str) -> Value<'_> {
        Value::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_later_edit_of_a_name_wins_and_of_others_none_is_lost() {
        let names: Vec<String> = (0..2 * INLINE_MAX).map(|at| format!("X-{at}")).collect();
        let mut edits = Edits::new();
        for text in &names {
            edits.set(name(text), value("1"));
        }
        edits.add(name("x-0"), value("2"));
        edits.remove(name("x-9"));
        edits.set(name("X-1"), value("3"));
        let left: Vec<_> =
            edits.iter().filter(|edit| edit.operation != Operation::Remove).collect();
        assert_eq!(left.len(), names.len());
        let of = |text| {
            let of_name = left
                .iter()
                .filter(|edit| name(text).is(edit.name.meaning(), edit.name.text().as_bytes()));
            let text = |edit| String::from_utf8_lossy(edits.text_of(edit).unwrap()).into_owned();
            of_name.map(|edit| text(edit)).collect::<Vec<_>>()
        };
        assert_eq!((of("X-0"), of("X-1")), (vec!["1".into(), "2".into()], vec!["3".into()]));
        assert_eq!(of("X-9"), [""; 0]);
    }

    #[test]
    fn what_is_edited_by_its_name_is_checked() {
        let mut edits = Edits::new();
        assert_eq!(edits.set_header("Host", b"a"), Err(HeaderError::Name));
        assert_eq!(edits.add_header("content-length", b"1"), Err(HeaderError::Name));
        assert_eq!(edits.remove_header("Transfer-Encoding"), Err(HeaderError::Name));
        assert_eq!(edits.set_header("X-A", b"a\r\nb: c"), Err(HeaderError::Value));
        for host in [&b""[..], b"a b", b"a\r\n", b"a/b", b"a@b"] {
            assert_eq!(edits.rewrite_host(host), Err(HeaderError::Host), "{}", host.escape_ascii());
        }
        for parts in [[&b""[..], b"a"], [b"/a", b" b"], [b"/a?", b""], [b"/", b"\n"], [b"", b""]] {
            assert_eq!(edits.rewrite_path(parts), Err(HeaderError::Path), "{parts:?}");
        }
        assert_eq!((edits.path(), edits.host(), edits.iter().count()), (None, None, 0));
        edits.rewrite_host(b"a.example:80").unwrap();
        edits.rewrite_path([b"", b"/a%20b"]).unwrap();
        edits.set_header("X-A", b"a").unwrap();
    }

    #[test]
    fn what_is_replaced_is_withheld_by_its_own_name_only() {
        let mut edits = Edits::new();
        edits.set(name("X-Real-IP"), value("1"));
        edits.remove(name("Server"));
        edits.add(name("X-B"), value("1"));
        edits.withhold(Name::ForwardedFor);
        let rows = [
            ("x-real-ip", true),
            ("X-Forwarded-Port", false),
            ("SERVER", true),
            ("Accept", false),
            ("X-B", false),
            ("X-Forwarded-For", true),
        ];
        for (text, withheld) in rows {
            let name = text.as_bytes();
            assert_eq!(edits.withholds(Name::of(name), name), withheld, "{text}");
        }
    }
}
