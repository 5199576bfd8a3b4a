//! The terminal that keys come from.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::keys::PressedKey;

/// Where keys are read from: standard input, or the terminal of this process if that is something else.
pub(super) enum KeySource {
    Standard(io::Stdin),
    Terminal(OwnedFd),
}

/// What has come from a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Keys in their order, or none.
    Keys(Vec<PressedKey>),
    /// The terminal has gone: a connection was closed, or a window.
    HungUp,
}

impl KeySource {
    pub(super) fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Ok(Self::Standard(stdin));
        }
        Ok(Self::Terminal(File::open("/dev/tty")?.into()))
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Standard(stdin) => stdin.as_fd(),
            Self::Terminal(terminal) => terminal.as_fd(),
        }
    }

    /// Waits for keys, for up to `limit`. The terminal itself is asked first whether it is still there: the library that
    /// reads keys would read from one that has gone without end.
    pub(super) fn wait(&self, limit: Duration) -> io::Result<Input> {
        let limit = Timespec::try_from(limit).ok();
        let descriptor = self.descriptor();
        let mut asked = [PollFd::new(&descriptor, PollFlags::IN)];
        match poll(&mut asked, limit.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Input::Keys(Vec::new())),
            Err(error) => return Err(error.into()),
        }
        let found = asked[0].revents();
        if found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return Ok(Input::HungUp);
        }
        let mut keys = Vec::new();
        while found.contains(PollFlags::IN) && event::poll(Duration::ZERO)? {
            keys.extend(key(&event::read()?));
        }
        Ok(Input::Keys(keys))
    }
}

/// What an event of the terminal means; `None` if that is nothing.
fn key(event: &Event) -> Option<PressedKey> {
    let key = event.as_key_press_event()?;
    debug_assert_eq!(key.kind, KeyEventKind::Press);
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
            PressedKey::Interrupt
        }
        KeyCode::Char(_) if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
            return None;
        }
        KeyCode::Char(char) => PressedKey::Char(char),
        KeyCode::Up => PressedKey::Up,
        KeyCode::Down => PressedKey::Down,
        KeyCode::Left => PressedKey::Left,
        KeyCode::Right => PressedKey::Right,
        KeyCode::PageUp => PressedKey::PageUp,
        KeyCode::PageDown => PressedKey::PageDown,
        KeyCode::Home => PressedKey::Home,
        KeyCode::End => PressedKey::End,
        KeyCode::Tab => PressedKey::Tab,
        KeyCode::BackTab => PressedKey::BackTab,
        KeyCode::Enter => PressedKey::Enter,
        KeyCode::Esc => PressedKey::Escape,
        _ => return None,
    })
}
