//! What is on the screen, and what keys do to it. It is told of keys and figures, and asks for commands.

use super::grid::{Grid, GridRow, Sorting};
use super::rows::{Figures, View};
use super::text::shown;

/// How many rates of the past are kept for the graph, at most.
const HISTORY_MAX: usize = 600;

/// A key, as far as one is heeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PressedKey {
    Char(char),
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Tab,
    BackTab,
    Enter,
    Escape,
    /// Ctrl-C, as a key.
    Interrupt,
}

/// What is to be done with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndpointVerb {
    Drain,
    Ready,
    Down,
}

impl EndpointVerb {
    /// As in the path of its command.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Ready => "ready",
            Self::Down => "down",
        }
    }
}

/// A command about an endpoint; the names are as they were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedCommand {
    pub(super) upstream: String,
    pub(super) endpoint: String,
    pub(super) verb: EndpointVerb,
}

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing but to draw again.
    Nothing,
    /// To end.
    Quit,
    /// To tell the balancer something.
    Command(WantedCommand),
}

/// What has come of a command, in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopMessage {
    pub(super) text: String,
    pub(super) is_error: bool,
}

/// What is on the screen.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    /// Where the balancer is, safe to print.
    pub(super) address: String,
    pub(super) figures: Figures,
    /// Why there are no newer figures, and for how many seconds.
    pub(super) lost: Option<(String, f64)>,
    /// Requests per second so far, the newest last.
    pub(super) history: Vec<f64>,
    pub(super) view: View,
    /// The row that is selected, by its place among the rows as they are sorted.
    pub(super) selected: usize,
    /// The first row that is shown.
    pub(super) first: usize,
    /// How many rows there was room for.
    pub(super) page: usize,
    /// A command that waits to be confirmed.
    pub(super) confirming: Option<WantedCommand>,
    pub(super) is_help: bool,
    pub(super) message: Option<TopMessage>,
    sortings: [Sorting; View::ALL.len()],
    selected_key: Option<(String, String)>,
}

impl Screen {
    /// With the first figures, and what is wrong at the top.
    pub(super) fn new(address: &str, figures: Figures) -> Self {
        let sortings =
            View::ALL.map(|view| Sorting { column: view.state_column(), is_reversed: false });
        let mut screen = Self {
            address: shown(address),
            figures,
            lost: None,
            history: Vec::new(),
            view: View::Endpoints,
            selected: 0,
            first: 0,
            page: 1,
            confirming: None,
            is_help: false,
            message: None,
            sortings,
            selected_key: None,
        };
        screen.sort();
        screen
    }

    /// Newer figures have come, an interval later or not. The selected row stays the same, wherever it is now.
    pub(super) fn take(&mut self, figures: Figures, is_step: bool) {
        if is_step {
            self.history.push(figures.requests);
        }
        let over = self.history.len().saturating_sub(HISTORY_MAX);
        self.history.drain(..over);
        (self.figures, self.lost) = (figures, None);
        self.sort();
    }

    /// None have come.
    pub(super) fn lose(&mut self, why: &str, seconds: f64) {
        self.lost = Some((shown(why), seconds));
    }

    /// Says that something was not done.
    pub(super) fn refuse(&mut self, why: &str) {
        self.message = Some(TopMessage { text: why.to_owned(), is_error: true });
    }

    /// The table that is shown.
    pub(super) fn grid(&self) -> &Grid {
        &self.figures.grids[self.place()]
    }

    /// How it is sorted.
    pub(super) fn sorting(&self) -> Sorting {
        self.sortings[self.place()]
    }

    /// The row that is selected, if there is any.
    pub(super) fn selected_row(&self) -> Option<&GridRow> {
        self.grid().rows.get(self.selected)
    }

    /// Does what a key means.
    pub(super) fn press(&mut self, key: PressedKey) -> Asked {
        if key == PressedKey::Interrupt {
            return Asked::Quit;
        }
        if let Some(wanted) = self.confirming.take() {
            let is_confirmed = matches!(key, PressedKey::Char('y' | 'Y'));
            self.message = (!is_confirmed).then(|| said("nothing was done"));
            return if is_confirmed { Asked::Command(wanted) } else { Asked::Nothing };
        }
        if std::mem::take(&mut self.is_help) {
            return if key == PressedKey::Char('q') { Asked::Quit } else { Asked::Nothing };
        }
        self.message = None;
        match key {
            PressedKey::Char('q') => return Asked::Quit,
            PressedKey::Char('?' | 'h') => self.is_help = true,
            PressedKey::Char('d') => return self.ask_for(EndpointVerb::Drain),
            PressedKey::Char('r') => return self.ask_for(EndpointVerb::Ready),
            PressedKey::Char('x') => return self.ask_for(EndpointVerb::Down),
            PressedKey::Char('s') | PressedKey::Right => self.sort_by(1),
            PressedKey::Left => self.sort_by(-1),
            PressedKey::Char('S') => {
                let place = self.place();
                self.sortings[place].is_reversed ^= true;
                self.sort();
            }
            PressedKey::Tab => self.turn_to(1),
            PressedKey::BackTab => self.turn_to(View::ALL.len() - 1),
            PressedKey::Char(digit @ '1'..='3') => {
                self.show(View::ALL[digit as usize - '1' as usize]);
            }
            PressedKey::Up | PressedKey::Char('k') => self.select(self.selected.saturating_sub(1)),
            PressedKey::Down | PressedKey::Char('j') => self.select(self.selected + 1),
            PressedKey::PageUp => self.select(self.selected.saturating_sub(self.page)),
            PressedKey::PageDown => self.select(self.selected + self.page),
            PressedKey::Home => self.select(0),
            PressedKey::End => self.select(usize::MAX),
            _ => {}
        }
        Asked::Nothing
    }

    /// Scrolls so that the selected row is among the `page` rows that there is room for.
    pub(super) fn scroll(&mut self, page: usize) {
        let (page, rows) = (page.max(1), self.grid().rows.len());
        self.page = page;
        let least = (self.selected + 1).saturating_sub(page);
        self.first =
            self.first.clamp(least, self.selected.max(least)).min(rows.saturating_sub(page));
    }

    fn place(&self) -> usize {
        self.view as usize
    }

    fn ask_for(&mut self, verb: EndpointVerb) -> Asked {
        let row = self.selected_row().filter(|_| self.view == View::Endpoints);
        let Some((upstream, endpoint)) = row.map(|row| row.key.clone()) else {
            self.message = Some(said("select an endpoint: Tab shows them"));
            return Asked::Nothing;
        };
        let wanted = WantedCommand { upstream, endpoint, verb };
        if verb == EndpointVerb::Down {
            self.confirming = Some(wanted);
            return Asked::Nothing;
        }
        Asked::Command(wanted)
    }

    fn select(&mut self, place: usize) {
        self.selected = place.min(self.grid().rows.len().saturating_sub(1));
        self.selected_key = self.selected_row().map(|row| row.key.clone());
    }

    fn turn_to(&mut self, by: usize) {
        self.show(View::ALL[(self.place() + by) % View::ALL.len()]);
    }

    fn show(&mut self, view: View) {
        (self.view, self.selected_key, self.selected, self.first) = (view, None, 0, 0);
        self.sort();
    }

    fn sort_by(&mut self, by: isize) {
        let columns = self.view.columns().len();
        let place = self.place();
        let column = (self.sortings[place].column + columns).wrapping_add_signed(by) % columns;
        self.sortings[place] = Sorting { column, is_reversed: false };
        self.sort();
    }

    /// Sorts what is shown, and finds the selected row in it.
    fn sort(&mut self) {
        let (place, sorting) = (self.place(), self.sorting());
        self.figures.grids[place].sort(sorting);
        let rows = &self.figures.grids[place].rows;
        let key = self.selected_key.as_ref();
        let found = key.and_then(|key| rows.iter().position(|row| row.key == *key));
        self.selected = found.unwrap_or(self.selected).min(rows.len().saturating_sub(1));
    }
}

fn said(text: &str) -> TopMessage {
    TopMessage { text: text.to_owned(), is_error: false }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{reading, status};
    use super::*;

    fn screen() -> Screen {
        Screen::new("127.0.0.1:9901", Figures::of(&reading(&status(1)), None))
    }

    fn wanted(endpoint: &str, verb: EndpointVerb) -> Asked {
        Asked::Command(WantedCommand {
            upstream: "app".to_owned(),
            endpoint: endpoint.to_owned(),
            verb,
        })
    }

    #[test]
    fn commands_are_about_the_selected_endpoint_and_what_is_down_comes_first() {
        let mut screen = screen();
        assert_eq!(screen.press(PressedKey::Char('d')), wanted("10.0.0.2:80", EndpointVerb::Drain));
        screen.press(PressedKey::Down);
        assert_eq!(screen.press(PressedKey::Char('r')), wanted("10.0.0.1:80", EndpointVerb::Ready));
        screen.press(PressedKey::Down);
        assert_eq!(screen.press(PressedKey::Char('d')), wanted("10.0.0.1:80", EndpointVerb::Drain));
        screen.press(PressedKey::Home);
        assert_eq!(screen.press(PressedKey::Char('d')), wanted("10.0.0.2:80", EndpointVerb::Drain));
    }

    #[test]
    fn down_is_asked_for_only_once_it_is_confirmed() {
        let mut screen = screen();
        for other in [
            PressedKey::Char('n'),
            PressedKey::Escape,
            PressedKey::Enter,
            PressedKey::Char('x'),
            PressedKey::Char('q'),
        ] {
            assert_eq!(screen.press(PressedKey::Char('x')), Asked::Nothing);
            assert_eq!(screen.press(other), Asked::Nothing, "{other:?}");
        }
        screen.press(PressedKey::Char('x'));
        assert_eq!(screen.press(PressedKey::Char('y')), wanted("10.0.0.2:80", EndpointVerb::Down));
        assert_eq!(screen.press(PressedKey::Char('y')), Asked::Nothing);
    }

    #[test]
    fn what_was_to_be_confirmed_stays_the_same_whatever_comes_meanwhile() {
        let mut screen = screen();
        screen.press(PressedKey::Char('x'));
        let mut now = status(2);
        now["upstreams"][0]["endpoints"][0]["state"] = "down".into();
        screen.take(Figures::of(&reading(&now), None), true);
        assert_eq!(screen.press(PressedKey::Char('y')), wanted("10.0.0.2:80", EndpointVerb::Down));
    }

    #[test]
    fn the_selected_row_stays_selected_wherever_it_goes() {
        let mut screen = screen();
        screen.press(PressedKey::Down);
        let mut now = status(2);
        now["upstreams"][0]["endpoints"][1]["state"] = "up".into();
        now["upstreams"][0]["endpoints"][0]["state"] = "ejected".into();
        screen.take(Figures::of(&reading(&now), None), true);
        assert_eq!(
            (screen.selected, screen.press(PressedKey::Char('d'))),
            (0, wanted("10.0.0.1:80", EndpointVerb::Drain))
        );
    }

    #[test]
    fn rows_are_sorted_by_the_next_column_and_in_reverse() {
        let mut screen = screen();
        let first = |screen: &Screen| screen.grid().rows[0].cells[0].text.clone();
        assert_eq!((screen.sorting().column, first(&screen)), (2, "10.0.0.2:80".to_owned()));
        screen.press(PressedKey::Char('S'));
        assert_eq!(first(&screen), "10.0.0.1:80");
        for _ in 0..View::Endpoints.columns().len() - 2 {
            screen.press(PressedKey::Char('s'));
        }
        assert_eq!((screen.sorting().column, first(&screen)), (0, "10.0.0.1:80".to_owned()));
        screen.press(PressedKey::Left);
        assert_eq!(screen.sorting(), Sorting { column: 8, is_reversed: false });
        assert_eq!(first(&screen), "10.0.0.2:80");
    }

    #[test]
    fn only_endpoints_are_drained() {
        let mut screen = screen();
        for view in [View::Upstreams, View::Routes] {
            screen.press(PressedKey::Tab);
            assert_eq!((screen.view, screen.press(PressedKey::Char('d'))), (view, Asked::Nothing));
            assert!(screen.message.is_some());
        }
        screen.press(PressedKey::Tab);
        assert_eq!(screen.view, View::Endpoints);
        screen.press(PressedKey::BackTab);
        assert_eq!(screen.view, View::Routes);
        screen.press(PressedKey::Char('1'));
        assert_eq!(screen.press(PressedKey::Char('d')), wanted("10.0.0.2:80", EndpointVerb::Drain));
    }

    #[test]
    fn the_selected_row_is_always_among_those_that_are_shown() {
        let mut now = status(1);
        let endpoint = now["upstreams"][0]["endpoints"][0].clone();
        for number in 0..18 {
            let mut another = endpoint.clone();
            another["address"] = format!("10.0.1.{number}:80").into();
            now["upstreams"][0]["endpoints"].as_array_mut().expect("a list").push(another);
        }
        let mut screen = Screen::new("x", Figures::of(&reading(&now), None));
        let mut at = |keys: &[PressedKey], page: usize| {
            for key in keys {
                screen.press(*key);
            }
            screen.scroll(page);
            (screen.first, screen.selected)
        };
        assert_eq!(at(&[], 5), (0, 0));
        assert_eq!(at(&[PressedKey::Down; 5], 5), (1, 5));
        assert_eq!(at(&[PressedKey::PageDown], 5), (6, 10));
        assert_eq!(at(&[PressedKey::Up], 5), (6, 9));
        assert_eq!(at(&[PressedKey::End], 5), (15, 19));
        assert_eq!(at(&[], 30), (0, 19));
        assert_eq!(at(&[PressedKey::Home], 0), (0, 0));
    }

    #[test]
    fn the_graph_has_a_rate_for_each_interval_and_not_for_ever() {
        let mut screen = screen();
        for step in 0..=HISTORY_MAX {
            screen.take(Figures::of(&reading(&status(1)), None), step % 2 == 0);
        }
        assert_eq!(screen.history.len(), HISTORY_MAX / 2 + 1);
        for _ in 0..HISTORY_MAX {
            screen.take(Figures::of(&reading(&status(1)), None), true);
        }
        assert_eq!(screen.history.len(), HISTORY_MAX);
    }
}
