//! `evener top`: a balancer at work, in a terminal, fed by `/status` of its admin listener.

mod draw;
mod feed;
mod grid;
mod keys;
mod plain;
mod quantile;
mod reading;
mod rows;
#[cfg(test)]
mod samples;
mod terminal;
mod text;

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use crate::admin_client::AdminClient;
use crate::config::admin::Token;
use crate::config::value;
use crate::control::signals::Signals;
use feed::News;
use keys::{Asked, Screen};
use reading::StatusReading;
use rows::Figures;
use terminal::{Input, KeySource};
use text::shown;

/// How often signals and news are looked for while no key is pressed.
const TURN: Duration = Duration::from_millis(50);

/// How often the balancer may be asked.
const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct TopOptions {
    client: AdminClient,
    /// As it was typed.
    address: String,
    interval: Duration,
    is_once: bool,
}

/// Why there is nothing to see.
#[derive(Debug)]
pub enum TopError {
    /// The balancer does not answer, or not as it should; a sentence.
    Silent(String),
    /// The terminal, or what is read from it.
    Terminal(io::Error),
}

impl fmt::Display for TopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(why) => f.write_str(why),
            Self::Terminal(error) => write!(f, "terminal: {error}"),
        }
    }
}

impl TopOptions {
    /// Reads the values of the flags `--admin`, `--admin-token-file` and `--interval`; a mistake comes with the name
    /// of its flag.
    pub fn new(
        address: &str,
        token_file: Option<&Path>,
        interval: &str,
    ) -> Result<Self, (&'static str, String)> {
        let token = token_file.map(Token::read).transpose();
        let token = token.map_err(|what| ("admin-token-file", what))?;
        let client = AdminClient::new(address, token, &value::resolve);
        let client = client.map_err(|what| ("admin", what))?;
        let interval = value::duration_within(interval, &INTERVALS);
        let interval = interval.map_err(|what| ("interval", what))?;
        Ok(Self { client, address: address.to_owned(), interval, is_once: false })
    }

    /// Whether one snapshot is printed, which is all that there is without a terminal.
    #[must_use]
    pub fn once(self, is_once: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { is_once: is_once || is_dumb || !io::stdout().is_terminal(), ..self }
    }
}

/// Shows it until the user or a signal ends it; returns the text to print if it is a snapshot.
pub fn run(options: TopOptions, signals: Signals) -> Result<Option<String>, TopError> {
    if options.is_once {
        signals.give_back().map_err(TopError::Terminal)?;
        return once(&options).map(Some);
    }
    let first = feed::read(&options.client, &shown(&options.address)).map_err(TopError::Silent)?;
    signals.attend();
    watch(options, first, &signals).map(|()| None)
}

/// Two readings, an interval apart: rates are of now, and not since the start.
fn once(options: &TopOptions) -> Result<String, TopError> {
    let address = shown(&options.address);
    let first = feed::read(&options.client, &address).map_err(TopError::Silent)?;
    let began = Instant::now();
    thread::sleep(options.interval);
    let second = feed::read(&options.client, &address).map_err(TopError::Silent)?;
    let figures = Figures::of(&second, Some((&first, began.elapsed().as_secs_f64())));
    Ok(plain::snapshot(&figures, &address))
}

/// A terminal that is given back however this ends; after a panic, ratatui's hook does so before the message.
struct TerminalGuard(ratatui::DefaultTerminal);

impl TerminalGuard {
    /// Leaves a terminal that has gone as it is: ratatui would tell it that its cursor cannot be shown, and panic.
    fn abandon(self) {
        std::mem::forget(self);
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        // There is nothing else to be done about a terminal that has gone.
        let _ = ratatui::try_restore();
    }
}

fn watch(options: TopOptions, first: StatusReading, signals: &Signals) -> Result<(), TopError> {
    let TopOptions { client, address, interval, is_once: _ } = options;
    let mut screen = Screen::new(&address, Figures::of(&first, None));
    let last = Heard { reading: first, at: Instant::now() };
    let mut history = History { base: None, last, interval };
    let (commands, news) =
        feed::start(client, screen.address.clone(), interval).map_err(TopError::Terminal)?;
    let source = KeySource::open().map_err(TopError::Terminal)?;
    let mut terminal = TerminalGuard(ratatui::try_init().map_err(TopError::Terminal)?);
    let mut drawn_for = None;
    loop {
        let size = terminal.0.size().ok();
        if drawn_for.is_none() || drawn_for != size {
            drawn_for = size;
            let drawn = terminal.0.draw(|frame| draw::draw(frame, &mut screen));
            if let Err(error) = drawn {
                // Nobody is left to be told.
                let has_gone = matches!(source.wait(Duration::ZERO), Ok(Input::HungUp));
                if has_gone {
                    terminal.abandon();
                    return Ok(());
                }
                return Err(TopError::Terminal(error));
            }
        }
        // Any signal ends it: its own meanings are those of a balancer.
        if signals.came() {
            return Ok(());
        }
        if hear(&news, &mut history, &mut screen)? {
            drawn_for = None;
        }
        let Input::Keys(keys) = source.wait(TURN).map_err(TopError::Terminal)? else {
            terminal.abandon();
            return Ok(());
        };
        for key in keys {
            drawn_for = None;
            match screen.press(key) {
                Asked::Nothing => {}
                Asked::Quit => return Ok(()),
                Asked::Command(wanted) => {
                    if commands.try_send(wanted).is_err() {
                        screen.refuse("still busy with the commands before");
                    }
                }
            }
        }
    }
}

/// A reading, and when it came.
struct Heard {
    reading: StatusReading,
    at: Instant,
}

/// What the next reading is compared with.
struct History {
    /// The one before the last.
    base: Option<Heard>,
    last: Heard,
    interval: Duration,
}

impl History {
    /// What is shown of a further reading, and whether an interval has passed since the last. One that comes right
    /// after a command is compared with the one before: rates over a few milliseconds would say nothing.
    fn add(&mut self, reading: StatusReading, at: Instant) -> (Figures, bool) {
        let is_step = at.saturating_duration_since(self.last.at) >= self.interval / 2;
        let last = std::mem::replace(&mut self.last, Heard { reading, at });
        if is_step || self.base.is_none() {
            self.base = Some(last);
        }
        let base = self.base.as_ref();
        let since = |base: &Heard| at.saturating_duration_since(base.at).as_secs_f64();
        (Figures::of(&self.last.reading, base.map(|base| (&base.reading, since(base)))), is_step)
    }
}

/// Takes in what has been learnt meanwhile; whether there was anything.
fn hear(
    news: &Receiver<News>,
    history: &mut History,
    screen: &mut Screen,
) -> Result<bool, TopError> {
    let mut is_new = false;
    loop {
        match news.try_recv() {
            Ok(News::Status(reading, at)) => {
                let (figures, is_step) = history.add(*reading, at);
                screen.take(figures, is_step);
            }
            Ok(News::Lost(why)) => screen.lose(&why, history.last.at.elapsed().as_secs_f64()),
            Ok(News::Done(message)) => screen.message = Some(message),
            Err(TryRecvError::Empty) => return Ok(is_new),
            Err(TryRecvError::Disconnected) => {
                return Err(TopError::Silent("what asks the balancer has ended".to_owned()));
            }
        }
        is_new = true;
    }
}
