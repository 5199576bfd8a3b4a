//! What is changed about the fields of a head: some are set, some added, some removed.

use std::fmt;

use super::location::{HostNaming, LocationError, location};
use super::template::{Template, TemplateError, TextPosition, TooLong};
use super::variable::{VariableSet, Variables};
use crate::http::message::edits::{EditName, Edits, Value};
use crate::http::message::field::{Name, is_token};

/// The most changes of one head by all rules that hold for it; each field of the head is compared with them.
pub const EDITS_MAX: usize = 64;

/// What is done with the fields of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldChange {
    /// One field says this, instead of all that there were.
    Set(Template),
    /// One more field says this.
    Add(Template),
    /// There is none.
    Remove,
}

/// A change of the fields of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldEdit {
    /// A name that [`EditName::new`] takes, as it is written.
    name: Box<str>,
    /// What it means.
    meaning: Name,
    change: FieldChange,
}

impl FieldEdit {
    /// The name of the fields, as it is written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is done with them.
    pub fn change(&self) -> &FieldChange {
        &self.change
    }

    fn is_of(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Which heads are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditedHead {
    /// Those of requests, on their way to endpoints.
    Request,
    /// Those of responses to requests of a route that names its hosts like this.
    Response(HostNaming),
}

/// What is changed about a head, in the order in which it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadEdits {
    edits: Vec<FieldEdit>,
}

impl HeadEdits {
    /// Compiles a change of the fields of this name: to `text`, if they are set or added.
    pub fn set(&mut self, name: &str, text: &str, head: EditedHead) -> Result<(), FieldEditError> {
        self.push(name, |name| value(name, text, head).map(FieldChange::Set))
    }

    /// The same of one more field.
    pub fn add(&mut self, name: &str, text: &str, head: EditedHead) -> Result<(), FieldEditError> {
        self.push(name, |name| value(name, text, head).map(FieldChange::Add))
    }

    /// The same of fields that are removed.
    pub fn remove(&mut self, name: &str) -> Result<(), FieldEditError> {
        self.push(name, |_| Ok(FieldChange::Remove))
    }

    fn push(
        &mut self,
        name: &str,
        change: impl FnOnce(&str) -> Result<FieldChange, FieldEditError>,
    ) -> Result<(), FieldEditError> {
        let meaning = check_name(name)?;
        let change = change(name)?;
        let is_add = |change: &FieldChange| matches!(change, FieldChange::Add(_));
        let mut same = self.edits.iter().filter(|edit| edit.is_of(name));
        if !is_add(&change) && same.any(|edit| !is_add(&edit.change)) {
            return Err(FieldEditError::Twice);
        }
        self.edits.push(FieldEdit { name: name.into(), meaning, change });
        if self.edits.len() > EDITS_MAX { Err(FieldEditError::TooMany) } else { Ok(()) }
    }

    /// These on top of others: what is set or removed here undoes what they do to fields of that name.
    pub fn over(self, base: &Self) -> Result<Self, FieldEditError> {
        let is_undone = |below: &FieldEdit| {
            let mut same = self.edits.iter().filter(|edit| edit.is_of(&below.name));
            same.any(|edit| !matches!(edit.change, FieldChange::Add(_)))
        };
        let mut edits: Vec<_> =
            base.edits.iter().filter(|edit| !is_undone(edit)).cloned().collect();
        // Many routes have one edit each.
        edits.reserve_exact(self.edits.len());
        edits.extend(self.edits);
        if edits.len() > EDITS_MAX { Err(FieldEditError::TooMany) } else { Ok(Self { edits }) }
    }

    /// The variables in what is set and added.
    pub fn variables(&self) -> VariableSet {
        let templates = self.edits.iter().filter_map(|edit| match &edit.change {
            FieldChange::Set(value) | FieldChange::Add(value) => Some(value),
            FieldChange::Remove => None,
        });
        templates.flat_map(Template::variables).collect()
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Makes them for one request. Where a value would be too long, there is no field that was to be set, and
    /// no further one.
    pub fn apply<'a>(
        &'a self,
        edits: &mut Edits<'a>,
        values: &impl Variables,
    ) -> Result<(), TooLong> {
        let mut all = Ok(());
        for FieldEdit { name, meaning, change } in &self.edits {
            let name = EditName::taken(name, *meaning);
            let mut fits = Ok(());
            let mut make = |template: &Template, out: &mut Vec<u8>| {
                fits = template.append(values, out);
                if fits.is_err() {
                    // What may not stand in a field makes none.
                    out.push(0);
                }
            };
            match change {
                FieldChange::Remove => edits.remove(name),
                FieldChange::Set(template) => match ready(template, values) {
                    Some(value) => edits.set(name, value),
                    None => {
                        edits.set_made(name, |out| make(template, out));
                    }
                },
                FieldChange::Add(template) => match ready(template, values) {
                    Some(value) => edits.add(name, value),
                    None => {
                        edits.add_made(name, |out| make(template, out));
                    }
                },
            }
            all = all.and(fits);
        }
        all
    }

    /// The changes, in the order in which they are made.
    pub fn iter(&self) -> impl Iterator<Item = &FieldEdit> {
        self.edits.iter()
    }
}

/// What a template says that is there already: a text, or an address.
fn ready<'a>(template: &'a Template, values: &impl Variables) -> Option<Value<'a>> {
    if let Some(text) = template.as_text() {
        return Some(Value::checked(text));
    }
    template.as_variable().and_then(|variable| values.address(variable)).map(Value::address)
}

fn value(name: &str, text: &str, head: EditedHead) -> Result<Template, FieldEditError> {
    let position = match head {
        EditedHead::Request => TextPosition::RequestField,
        EditedHead::Response(hosts) if name.eq_ignore_ascii_case("location") => {
            return location(text, hosts).map_err(FieldEditError::Location);
        }
        EditedHead::Response(_) => TextPosition::ResponseField,
    };
    Template::parse(text, position).map_err(FieldEditError::Template)
}

/// What a name means.
fn check_name(name: &str) -> Result<Name, FieldEditError> {
    if !is_token(name.as_bytes()) {
        return Err(FieldEditError::NoName);
    }
    if let Some(name) = EditName::new(name) {
        return Ok(name.meaning());
    }
    Err(match Name::of(name.as_bytes()) {
        Name::Host => FieldEditError::Host,
        Name::Alias => FieldEditError::Alias,
        _ => FieldEditError::Framing,
    })
}

/// Why a field cannot be changed like this; the message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldEditError {
    /// It is no name of a header.
    NoName,
    /// Host is changed by another key.
    Host,
    /// The field frames the message, or belongs to one connection.
    Framing,
    /// What an endpoint may take for a field that frames a message or tells of a client.
    Alias,
    /// The media type of an answer is said by another key.
    ContentType,
    /// It is set or removed already.
    Twice,
    /// There are more changes than there may be.
    TooMany,
    /// The value is no template.
    Template(TemplateError),
    /// Clients cannot be sent there.
    Location(LocationError),
}

impl fmt::Display for FieldEditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str(
                "no name of a header: write letters, digits and hyphens, as in X-Real-IP",
            ),
            Self::Host => f.write_str("Host is changed by host_header: NAME, beside the upstream"),
            Self::Framing => f.write_str(
                "it frames the message or belongs to one connection, and cannot be changed: leave it out \
                 (nor can Content-Length, Transfer-Encoding, Connection, Keep-Alive, Upgrade, Trailer, TE, \
                 Expect and Host)",
            ),
            Self::Alias => f.write_str(
                "endpoints may take it for the header with - in place of other signs: write that one",
            ),
            Self::ContentType => f.write_str("write content_type: TYPE instead, beside body"),
            Self::Twice => {
                f.write_str("it is set or removed already: a header is either set or removed, once")
            }
            Self::TooMany => write!(
                f,
                "there are more than {EDITS_MAX} changes of one head, with those that hold everywhere: leave \
                 some out"
            ),
            Self::Template(error) => error.fmt(f),
            Self::Location(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FieldEditError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::edits::Edit;
    use crate::http::rules::template::VALUE_BYTES_MAX;
    use crate::http::rules::variable::Variable;

    const RESPONSE: EditedHead = EditedHead::Response(HostNaming::Any);

    fn shown(edits: &HeadEdits) -> Vec<String> {
        let one = |edit: &FieldEdit| match edit.change() {
            FieldChange::Set(value) => format!("{}={value}", edit.name()),
            FieldChange::Add(value) => format!("{}+{value}", edit.name()),
            FieldChange::Remove => format!("-{}", edit.name()),
        };
        edits.iter().map(one).collect()
    }

    #[test]
    fn what_frames_a_message_is_not_changed() {
        let mut edits = HeadEdits::default();
        let rows = [
            ("content-length", FieldEditError::Framing),
            ("Transfer-Encoding", FieldEditError::Framing),
            ("Connection", FieldEditError::Framing),
            ("Keep-Alive", FieldEditError::Framing),
            ("Upgrade", FieldEditError::Framing),
            ("Trailer", FieldEditError::Framing),
            ("TE", FieldEditError::Framing),
            ("Expect", FieldEditError::Framing),
            ("Host", FieldEditError::Host),
            ("Content_Length", FieldEditError::Alias),
            ("", FieldEditError::NoName),
            ("X A", FieldEditError::NoName),
            ("X-A:", FieldEditError::NoName),
            ("X-A\r\nX-B", FieldEditError::NoName),
            (":path", FieldEditError::NoName),
        ];
        for (name, error) in rows {
            assert_eq!(edits.set(name, "x", RESPONSE), Err(error.clone()), "{name}");
            assert_eq!(edits.add(name, "x", EditedHead::Request), Err(error.clone()), "{name}");
            assert_eq!(edits.remove(name), Err(error), "{name}");
        }
        assert!(edits.is_empty());
    }

    #[test]
    fn a_field_is_set_or_removed_once_and_added_as_often_as_one_likes() {
        let mut edits = HeadEdits::default();
        edits.remove("X-C").unwrap();
        edits.set("X-A", "1", RESPONSE).unwrap();
        edits.add("X-A", "2", RESPONSE).unwrap();
        edits.add("x-a", "3", RESPONSE).unwrap();
        edits.add("X-C", "4", RESPONSE).unwrap();
        assert_eq!(edits.set("x-A", "5", RESPONSE), Err(FieldEditError::Twice));
        assert_eq!(edits.remove("x-A"), Err(FieldEditError::Twice));
        assert_eq!(edits.remove("x-c"), Err(FieldEditError::Twice));
        assert_eq!(shown(&edits), ["-X-C", "X-A=1", "X-A+2", "x-a+3", "X-C+4"]);
    }

    #[test]
    fn those_of_a_route_come_on_top() {
        let mut base = HeadEdits::default();
        base.remove("Server").unwrap();
        base.set("X-A", "base", RESPONSE).unwrap();
        base.set("X-B", "base", RESPONSE).unwrap();
        base.add("X-C", "base", RESPONSE).unwrap();
        base.add("X-D", "base", RESPONSE).unwrap();
        let mut own = HeadEdits::default();
        own.remove("x-c").unwrap();
        own.set("server", "own", RESPONSE).unwrap();
        own.set("x-b", "own", RESPONSE).unwrap();
        own.add("X-A", "own", RESPONSE).unwrap();
        own.add("X-D", "own", RESPONSE).unwrap();
        let both = own.over(&base).unwrap();
        let expected =
            ["X-A=base", "X-D+base", "-x-c", "server=own", "x-b=own", "X-A+own", "X-D+own"];
        assert_eq!(shown(&both), expected);
    }

    /// The host says this, and nothing else anything.
    struct Host<'a>(&'a [u8]);

    impl Variables for Host<'_> {
        fn write(&self, variable: Variable, mut part: impl FnMut(&[u8])) {
            if variable == Variable::Host {
                part(self.0);
            }
        }
    }

    #[test]
    fn they_are_made_for_one_request_and_what_is_too_long_is_none() {
        let mut own = HeadEdits::default();
        own.remove("X-R").unwrap();
        own.set("X-A", "a", RESPONSE).unwrap();
        own.set("X-B", "b {host}", RESPONSE).unwrap();
        own.add("X-C", "c {host}", RESPONSE).unwrap();
        own.add("X-C", "c", RESPONSE).unwrap();
        let made = |host: &[u8]| {
            let mut edits = Edits::new();
            let fits = own.apply(&mut edits, &Host(host));
            let one = |edit: &Edit<'_>| {
                let mut said = format!("{:?} {}: ", edit.operation, edit.name.text()).into_bytes();
                edits.write_value(edit, |part| said.extend_from_slice(part));
                String::from_utf8(said).unwrap()
            };
            (fits, edits.iter().map(one).collect::<Vec<_>>())
        };
        let (fits, said) = made(b"h\r\nX: y");
        assert_eq!(fits, Ok(()));
        let expected = [
            "Remove X-R: ",
            "Set X-A: a",
            "Set X-B: b h  X: y",
            "Add X-C: c h  X: y",
            "Add X-C: c",
        ];
        assert_eq!(said, expected);
        let (fits, said) = made(&[b'h'; VALUE_BYTES_MAX]);
        assert_eq!(fits, Err(TooLong));
        assert_eq!(said, ["Remove X-R: ", "Set X-A: a", "Remove X-B: ", "Add X-C: c"]);
    }

    #[test]
    fn there_is_a_ceiling() {
        let mut edits = HeadEdits::default();
        for nth in 0..EDITS_MAX {
            edits.add(&format!("X-{nth}"), "x", RESPONSE).unwrap();
        }
        let mut one = HeadEdits::default();
        one.add("X-0", "x", RESPONSE).unwrap();
        assert_eq!(one.over(&edits), Err(FieldEditError::TooMany));
        assert_eq!(edits.add("X-0", "x", RESPONSE), Err(FieldEditError::TooMany));
    }

    #[test]
    fn a_location_that_a_rule_writes_leads_to_no_host_that_a_request_chooses() {
        let mut edits = HeadEdits::default();
        let named = EditedHead::Response(HostNaming::Names);
        assert!(matches!(
            edits.set("location", "{target}", named),
            Err(FieldEditError::Location(LocationError::Chosen(_)))
        ));
        assert!(edits.add("Location", "https://{host}{target}", RESPONSE).is_err());
        assert!(edits.add("Location", "https://{host}{target}", named).is_ok());
        assert!(edits.set("Location", "{target}", EditedHead::Request).is_ok());
    }

    #[test]
    fn the_endpoint_is_known_in_responses_only() {
        let mut edits = HeadEdits::default();
        let told = edits.set("X-Endpoint", "{endpoint}", EditedHead::Request);
        assert_eq!(told, Err(FieldEditError::Template(TemplateError::NoEndpoint)));
        assert_eq!(edits.set("X-Endpoint", "{endpoint}", RESPONSE), Ok(()));
    }
}
