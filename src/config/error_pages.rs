//! The files of what error answers say.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mistake::Place;
use super::rule_entries::NamedTexts;
use super::sources::{At, Sources};
use crate::http::rules::error_pages::{ErrorPage, ErrorPages, ErrorStatus};

/// The pages that have been read, each once, however many routes have it.
#[derive(Default)]
pub(super) struct PageFiles(HashMap<PathBuf, Result<Arc<ErrorPage>, String>>);

impl PageFiles {
    /// Reads the pages that are written.
    pub(super) fn read(&mut self, said: &NamedTexts, at: &mut At<'_>) -> ErrorPages {
        let mut pages: Vec<(ErrorStatus, Arc<ErrorPage>)> = Vec::new();
        for (status, name) in &said.0 {
            let place = at.file.place(status.referenced);
            let read =
                status.value.parse().map_err(|error| format!("{:?} is {error}", status.value));
            let status = match read {
                Ok(status) if pages.iter().any(|(known, _)| *known == status) => {
                    Err(format!("{status} is given twice: leave one out"))
                }
                read => read,
            };
            let status: Option<ErrorStatus> = at.mistakes.take(&place, status);
            let place = at.file.place(name.referenced);
            let page = at.mistakes.take(&place, self.page(&name.value, &place));
            pages.extend(status.zip(page));
        }
        ErrorPages::new(pages)
    }

    fn page(&mut self, name: &str, place: &Place) -> Result<Arc<ErrorPage>, String> {
        if name.is_empty() {
            return Err("\"\" does not name a file".to_owned());
        }
        if name.contains(['<', '\n', ' ']) {
            let shown: String = name.chars().take(20).collect();
            return Err(format!(
                "{shown:?} is a text: put it into a file and name that, as in {{503: maintenance.html}}"
            ));
        }
        let path = Sources::path(place, name);
        let read = || {
            let bytes = read(&path).map_err(|error| format!("{name}: {error}"))?;
            let page = ErrorPage::new(name, bytes).map_err(|error| format!("{name}: {error}"));
            page.map(Arc::new)
        };
        self.0.entry(path.clone()).or_insert_with(read).clone()
    }
}

/// One byte more than a page may have is enough to know.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(ErrorPage::BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
