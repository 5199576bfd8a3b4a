//! What a process is to its machine: its limits, its user, its place in the background.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::net::upgrade_socket::Owner;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Group, Uid, User, getgroups, setegid, seteuid, setgid, setgroups, setuid};

/// Set in the environment of a process that is to go on in the background.
const DAEMON: &str = "EVENER_DAEMON";

/// What a process in the background says to the one that started it.
const READY: &str = "ready";

/// Raises the number of descriptors this process may have to what it is allowed, and says how many
/// those are (getrlimit(2), `RLIMIT_NOFILE`).
pub fn raise_file_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            log::warn!("descriptors stay limited to {soft}: {error}");
            soft
        }
    }
}

/// Whom a process becomes once it has bound its addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    user: Option<Uid>,
    group: Option<Gid>,
}

impl Identity {
    /// By the names of a user and a group; the group of the user, if only that is named.
    pub fn find(user: Option<&str>, group: Option<&str>) -> Result<Self, String> {
        let user = user.map(|name| match User::from_name(name) {
            Ok(Some(user)) => Ok(user),
            Ok(None) => Err(format!("there is no user {name:?}")),
            Err(error) => Err(format!("user {name:?} cannot be looked up: {error}")),
        });
        let group = group.map(|name| match Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid),
            Ok(None) => Err(format!("there is no group {name:?}")),
            Err(error) => Err(format!("group {name:?} cannot be looked up: {error}")),
        });
        let user = user.transpose()?;
        let group = group.transpose()?.or(user.as_ref().map(|user| user.gid));
        Ok(Self { user: user.map(|user| user.uid), group })
    }

    /// The ids of the user and the group.
    pub fn owner(self) -> Owner {
        (self.user.map(Uid::as_raw), self.group.map(Gid::as_raw))
    }

    /// Opens a file as this identity, before the process changes to it: a file that could not be
    /// reopened later fails now, and no symbolic link is followed to a file that only root may write.
    pub fn open<T>(self, open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self == Self::default() || !Uid::effective().is_root() {
            return open();
        }
        let (user, group, groups) = (Uid::effective(), Gid::effective(), getgroups()?);
        let opened = self.assume_for_now().and_then(|()| open());
        seteuid(user)?;
        setegid(group)?;
        setgroups(&groups)?;
        opened
    }

    /// Which of these files it could not read again, and what to do about it: a reload reads them as whom
    /// the process has become.
    pub fn warnings<'a>(self, files: impl Iterator<Item = &'a Path>) -> Vec<String> {
        let is_refused = |path: &&Path| {
            let opened = self.open(|| fs::File::open(path));
            opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        };
        let warning = |path: &Path| {
            format!(
                "{}: --user cannot read this file, so a reload will be refused: give it the group of \
                 that user (chgrp) and mode 640",
                path.display()
            )
        };
        files.filter(is_refused).map(warning).collect()
    }

    fn assume_for_now(self) -> io::Result<()> {
        if let Some(group) = self.group {
            setgroups(&[group])?;
            setegid(group)?;
        }
        if let Some(user) = self.user {
            seteuid(user)?;
        }
        Ok(())
    }

    /// Becomes it: for good, and for every thread of this process.
    pub fn assume(self) -> io::Result<()> {
        if let Some(group) = self.group {
            if Uid::effective().is_root() {
                setgroups(&[group])?;
            }
            setgid(group)?;
        }
        if let Some(user) = self.user {
            setuid(user)?;
        }
        Ok(())
    }
}

/// Which side of the start in the background a process is on.
pub enum Background {
    /// It has started the other, which runs or has ended with this code.
    Starter(u8),
    /// It is the one to go on.
    Daemon(Daemon),
}

/// A process that goes on in the background, and has not said so yet.
pub struct Daemon(());

/// Goes on in the background: starts this program again as the leader of a session of its own, and
/// waits until that says it is ready, or ends.
pub fn enter_background() -> io::Result<Background> {
    if std::env::var_os(DAEMON).is_some() {
        nix::unistd::setsid()?;
        return Ok(Background::Daemon(Daemon(())));
    }
    let program = std::env::current_exe()?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(DAEMON, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let said = child.stdout.take().map(BufReader::new);
    let mut lines = said.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
    if lines.any(|line| line == READY) {
        return Ok(Background::Starter(0));
    }
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(Background::Starter(code.unwrap_or(1)))
}

impl Daemon {
    /// Says that it runs, and lets go of what it was started with: standard error, too, unless that
    /// is where it logs.
    pub fn ready(self, errors: Errors) -> io::Result<()> {
        let mut out = io::stdout().lock();
        // The process that started it may have gone; that is no reason to end.
        let _ = writeln!(out, "{READY}").and_then(|()| out.flush());
        let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        if errors == Errors::Elsewhere {
            rustix::stdio::dup2_stderr(&null)?;
        }
        Ok(())
    }
}

/// Where a process logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    /// To standard error.
    Standard,
    /// To a file.
    Elsewhere,
}
