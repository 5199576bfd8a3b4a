//! What is changed about the headers of requests and responses.

use super::spanned::Spanned;

use super::rule_entries::{HeadEditsEntry, NamedTexts};
use super::sources::At;
use super::templates;
use crate::http::rules::head_edits::{EditedHead, FieldEditError, HeadEdits};

/// Reads what is written, on top of what holds everywhere.
pub(super) fn read(
    entry: &Spanned<HeadEditsEntry>,
    head: EditedHead,
    base: &HeadEdits,
    at: &mut At<'_>,
) -> HeadEdits {
    let place = at.file.place(entry.referenced);
    let HeadEditsEntry::Full(fields) = &entry.value else {
        let what =
            "write what is changed, as in {set: {X-Real-IP: \"{client}\"}, remove: [Server]}";
        at.mistakes.add(&place, what);
        return HeadEdits::default();
    };
    let mut edits = HeadEdits::default();
    // What is removed may be added again: fields of ours take the place of others.
    for said in fields.remove.iter().flat_map(|list| &list.value) {
        let removed = edits.remove(&said.value);
        let removed = removed.map_err(|error| told(&said.value, &error));
        at.mistakes.take(&at.file.place(said.referenced), removed);
    }
    if let Some(set) = &fields.set {
        each(set, at, |name, text| edits.set(name, text, head));
    }
    if let Some(add) = &fields.add {
        each(add, at, |name, text| edits.add(name, text, head));
    }
    let all = edits.over(base).map_err(|error| error.to_string());
    at.mistakes.note(&place, all, HeadEdits::default())
}

/// Makes an edit of each of these headers; where one is a mistake is where its name or its value is.
pub(super) fn each(
    said: &Spanned<NamedTexts>,
    at: &mut At<'_>,
    mut edit: impl FnMut(&str, &str) -> Result<(), FieldEditError>,
) {
    for (name, text) in &said.value.0 {
        let template = at.file.template(text);
        templates::look(text, template, at);
        if let Err(error) = edit(&name.value, template) {
            let is_of_text =
                matches!(error, FieldEditError::Template(_) | FieldEditError::Location(_));
            let place = if is_of_text { text.referenced } else { name.referenced };
            at.mistakes.add(&at.file.place(place), told(&name.value, &error));
        }
    }
}

fn told(name: &str, error: &FieldEditError) -> String {
    if name.is_empty() { format!("\"\" is {error}") } else { format!("{name}: {error}") }
}
