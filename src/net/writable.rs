//! Whether a file could be written, without opening or creating it (access(2)).

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// Whether a file could be appended to, or created if there is none.
pub fn file(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => permitted(path, Access::WRITE_OK),
        Err(error) if error.kind() == io::ErrorKind::NotFound => directory_of(path),
        Err(error) => Err(error),
    }
}

/// Whether a file could take the place of what is at this path: of a regular file, or of nothing.
pub fn place(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => Err(io::Error::other("it is not a regular file")),
        _ => directory_of(path),
    }
}

/// Whether a file could be created in the directory of this path.
pub fn directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    if !fs::metadata(parent)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    permitted(parent, Access::WRITE_OK | Access::EXEC_OK)
}

/// By whom this process acts as.
fn permitted(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}
