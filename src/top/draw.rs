//! Draws the screen, whatever the size of the terminal: what matters least goes first.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Sparkline, Wrap};

use super::grid::{Fitted, Grid, Tone, padded};
use super::keys::Screen;
use super::plain;
use super::rows::View;
use super::text::{age, rate, shown};

/// From this height on there is a graph, and from this one on all lines of the head.
const GRAPH_FROM: u16 = 20;
const HEAD_FROM: u16 = 14;

/// The rows of the graph.
const GRAPH_ROWS: u16 = 3;

const QUIET: Style = Style::new().add_modifier(Modifier::DIM);
const LOUD: Style = Style::new().add_modifier(Modifier::BOLD);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);
const ALARM: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

/// The keys, those first that are needed most.
const KEYS: [(&str, &str); 9] = [
    ("q", "quit"),
    ("?", "help"),
    ("↑↓", "select"),
    ("Tab", "view"),
    ("s", "sort"),
    ("d", "drain"),
    ("r", "ready"),
    ("x", "down"),
    ("S", "reverse"),
];

const HELP: [(&str, &str); 12] = [
    ("d", "drain: no new requests, those in progress finish"),
    ("r", "ready: undoes drain and down"),
    ("x", "down: as drain, and it counts as unhealthy; asks first"),
    ("↑ ↓", "select an endpoint; also j, k, PgUp, PgDn, Home, End"),
    ("Tab", "endpoints, upstreams, routes; also 1, 2, 3"),
    ("s", "sort by the next column; ← → as well"),
    ("S", "reverse the order"),
    ("q", "quit; Ctrl-C as well"),
    ("", ""),
    ("REQ/S", "per second, over the last interval"),
    ("P50 P99", "latency that half, 99 % of requests stay below"),
    ("FAIL/S", "attempts per second that an endpoint failed"),
];

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &mut Screen) {
    let area = frame.area();
    let head = head(screen, area);
    let has_graph = area.height >= GRAPH_FROM && screen.history.len() > 1;
    let notes = if area.height >= HEAD_FROM { 2 } else { 1 };
    let [above, graph, tabs, titles, rows, note, footer] = Layout::vertical([
        Constraint::Length(u16::try_from(head.len()).unwrap_or(u16::MAX)),
        Constraint::Length(if has_graph { GRAPH_ROWS } else { 0 }),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(notes),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head), above);
    if has_graph {
        draw_graph(frame, &screen.history, graph);
    }
    frame.render_widget(self::tabs(screen), tabs);
    screen.scroll(rows.height.into());
    draw_rows(frame, screen, titles, rows);
    frame.render_widget(self::note(screen), note);
    frame.render_widget(self::footer(screen, footer.width.into()), footer);
    if screen.is_help {
        draw_help(frame, area);
    }
}

fn head(screen: &Screen, area: Rect) -> Vec<Line<'static>> {
    let figures = &screen.figures;
    let mut lines = vec![Line::styled(plain::title(figures, &screen.address), LOUD)];
    if let Some((why, seconds)) = &screen.lost {
        lines.push(Line::styled(
            format!("no answer for {}, trying again: {why}", age(*seconds)),
            ALARM,
        ));
    }
    lines.extend(
        plain::warnings(figures).into_iter().map(|line| Line::styled(format!("! {line}"), ALARM)),
    );
    let room = match area.height {
        0..8 => 0,
        8..HEAD_FROM => 2,
        _ => 4,
    };
    // Latency rather than responses where there is no room for both.
    let order = if room == 2 { [0, 2, 1, 3] } else { [0, 1, 2, 3] };
    let head = plain::head(figures);
    for place in order.into_iter().take(room) {
        let (name, values) = &head[place];
        lines.push(Line::from(vec![
            Span::styled(format!("{name:<10} "), QUIET),
            Span::raw(values.clone()),
        ]));
    }
    lines
}

fn draw_graph(frame: &mut Frame<'_>, history: &[f64], area: Rect) {
    let [label, graph] =
        Layout::horizontal([Constraint::Length(11), Constraint::Min(1)]).areas(area);
    let shown = &history[history.len().saturating_sub(graph.width.into())..];
    let most = shown.iter().copied().filter(|rate| rate.is_finite()).fold(0.0, f64::max);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate, in thousandths"
    )]
    let bars = shown.iter().map(|rate| (rate.max(0.0) * 1000.0) as u64);
    let bars: Vec<u64> = bars.collect();
    let words = vec![Line::from("requests/s"), Line::from(format!("max {}", rate(most)))];
    frame.render_widget(Paragraph::new(words).style(QUIET), label);
    let place =
        Rect { width: graph.width.min(u16::try_from(bars.len()).unwrap_or(u16::MAX)), ..graph };
    frame.render_widget(Sparkline::default().data(bars).style(Style::new().fg(Color::Cyan)), place);
}

fn tabs(screen: &Screen) -> Line<'static> {
    let mut spans = Vec::new();
    for view in View::ALL {
        let rows = screen.figures.grids[view as usize].rows.len();
        let style = if view == screen.view { CHOSEN } else { Style::new() };
        spans.extend([Span::styled(format!(" {} {rows} ", view.title()), style), Span::raw(" ")]);
    }
    Line::from(spans)
}

fn draw_rows(frame: &mut Frame<'_>, screen: &Screen, titles: Rect, area: Rect) {
    let (grid, sorting) = (screen.grid(), screen.sorting());
    let (fitted, space) = grid.fit(area.width.into());
    let title = |fitted: &Fitted| {
        let column = &grid.columns[fitted.index];
        let is_sorted = fitted.index == sorting.column;
        let mark = if sorting.is_reversed { "▲" } else { "▼" };
        let text = format!("{}{}", column.title, if is_sorted { mark } else { "" });
        let style = if is_sorted { LOUD } else { QUIET };
        Span::styled(padded(&text, column, fitted.width), style)
    };
    frame.render_widget(spaced(fitted.iter().map(title), space), titles);
    let page = usize::from(area.height);
    let visible = grid.rows.iter().enumerate().skip(screen.first).take(page);
    let lines =
        visible.map(|(place, _)| row(grid, (&fitted, space), place, place == screen.selected));
    let lines: Vec<Line<'static>> = lines.collect();
    let text = if lines.is_empty() { vec![Line::styled("none", QUIET)] } else { lines };
    frame.render_widget(Paragraph::new(text), area);
}

fn row(
    grid: &Grid,
    (fitted, space): (&[Fitted], usize),
    place: usize,
    is_selected: bool,
) -> Line<'static> {
    let row = &grid.rows[place];
    let cell = |fitted: &Fitted| {
        let column = &grid.columns[fitted.index];
        let text = row.cells.get(fitted.index).map_or("", |cell| cell.text.as_str());
        let style = if column.title == "STATE" { of_tone(row.tone) } else { Style::new() };
        Span::styled(padded(text, column, fitted.width), style)
    };
    let line = spaced(fitted.iter().map(cell), space);
    if is_selected { line.style(CHOSEN) } else { line }
}

/// With so much space between them.
fn spaced(spans: impl Iterator<Item = Span<'static>>, space: usize) -> Line<'static> {
    let mut all = Vec::new();
    for span in spans {
        if !all.is_empty() {
            all.push(Span::raw(" ".repeat(space)));
        }
        all.push(span);
    }
    Line::from(all)
}

const fn of_tone(tone: Tone) -> Style {
    match tone {
        Tone::Well => Style::new().fg(Color::Green),
        Tone::Idle => Style::new().fg(Color::Blue),
        Tone::Warning => Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD),
        Tone::Bad => ALARM,
    }
}

fn note(screen: &Screen) -> Paragraph<'static> {
    if let Some(message) = &screen.message {
        let style = if message.is_error { ALARM } else { LOUD };
        return Paragraph::new(message.text.clone()).style(style).wrap(Wrap { trim: true });
    }
    let note = screen.selected_row().map(|row| row.note.clone()).unwrap_or_default();
    Paragraph::new(note).style(QUIET).wrap(Wrap { trim: true })
}

fn footer(screen: &Screen, width: usize) -> Line<'static> {
    if let Some(wanted) = &screen.confirming {
        let (endpoint, upstream) = (shown(&wanted.endpoint), shown(&wanted.upstream));
        let text = format!("Take down {endpoint}? y: yes, other keys: no ({upstream})");
        return Line::styled(text, CHOSEN.fg(Color::Yellow));
    }
    let (mut spans, mut used) = (Vec::new(), 0);
    for (key, what) in KEYS {
        used += key.chars().count() + what.len() + 3;
        if used > width + 2 {
            break;
        }
        spans.extend([Span::styled(key, LOUD), Span::styled(format!(" {what}  "), QUIET)]);
    }
    Line::from(spans)
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let line = |(key, what): (&'static str, &'static str)| {
        Line::from(vec![Span::styled(format!("{key:<8} "), LOUD), Span::raw(what)])
    };
    let lines: Vec<Line<'static>> = HELP.into_iter().map(line).collect();
    let width = area.width.min(70);
    let height = area.height.min(u16::try_from(lines.len()).unwrap_or(u16::MAX) + 2);
    let [place] = Layout::horizontal([Constraint::Length(width)])
        .flex(ratatui::layout::Flex::Center)
        .areas(area);
    let [place] = Layout::vertical([Constraint::Length(height)])
        .flex(ratatui::layout::Flex::Center)
        .areas(place);
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(" Keys ").title_bottom(" any key closes this ");
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::keys::PressedKey;
    use super::super::rows::Figures;
    use super::super::samples::{reading, status};
    use super::*;

    fn screen() -> Screen {
        let (now, before) = (reading(&status(300)), reading(&status(100)));
        let mut screen = Screen::new("127.0.0.1:9901", Figures::of(&before, None));
        for _ in 0..5 {
            screen.take(Figures::of(&now, Some((&before, 2.0))), true);
        }
        screen
    }

    /// What is drawn, line by line.
    fn drawn(screen: &mut Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| draw(frame, screen)).expect("drawn");
        let buffer = terminal.backend().buffer();
        let line =
            |row| (0..width).map(|column| buffer[(column, row)].symbol()).collect::<String>();
        (0..height).map(|row| line(row).trim_end().to_owned()).collect()
    }

    #[test]
    fn everything_is_there_on_80_by_24() {
        let lines = drawn(&mut screen(), 80, 24);
        let expected = [
            "Evener 1.2.3 on 127.0.0.1:9901   serving   up 1 h 2 min   configuration 4",
            "requests   100/s   in flight 2",
            "responses  5xx 10/s   4xx 0/s   retries 0/s",
            "latency    p50 500 µs   p99 990 µs",
            "clients    12 of 9 801 open   new 0/s   sent 100 KiB/s   received 0 B/s",
            "requests/s █████",
        ];
        assert_eq!(lines[..6], expected);
        assert_eq!(lines[8], " Endpoints 2   Upstreams 1   Routes 2");
        let titles = "ENDPOINT    UPSTREAM     STATE▼  REQ/S  IN FLIGHT  FAIL/S  FAILURES  IDLE";
        assert_eq!(lines[9], titles);
        assert!(lines[10].starts_with("10.0.0.2:80 app (backup) down "), "{lines:?}");
        assert_eq!(
            lines[21],
            "b.example:80 · endpoint refused the connection (ECONNREFUSED) · for 1 min 1 s"
        );
        assert!(
            lines[23].starts_with("q quit  ? help ") && lines[23].ends_with("S reverse"),
            "{lines:?}"
        );
    }

    #[test]
    fn what_matters_most_is_there_on_40_by_10() {
        let lines = drawn(&mut screen(), 40, 10);
        assert!(lines[0].starts_with("Evener 1.2.3 on 127.0.0.1:9901"), "{lines:?}");
        assert_eq!(lines[1], "requests   100/s   in flight 2");
        assert!(
            lines.iter().any(|line| line.starts_with("10.0.0.2:80") && line.contains("down")),
            "{lines:?}"
        );
        assert_eq!(lines[9], "q quit  ? help  ↑↓ select  Tab view");
    }

    #[test]
    fn no_terminal_is_too_small() {
        for (width, height) in [(1, 1), (3, 2), (10, 4), (200, 1), (1, 60)] {
            let mut screen = screen();
            drawn(&mut screen, width, height);
            screen.is_help = true;
            screen.lose("connection refused", 3.0);
            drawn(&mut screen, width, height);
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let mut screen = screen();
        screen.lose("connection refused\u{1b}[2J", 61.0);
        let lines = drawn(&mut screen, 80, 24);
        assert_eq!(
            lines[1],
            "no answer for 1 min 1 s, trying again: connection refused\u{fffd}[2J"
        );
        let mut now = status(1);
        (now["unavailable"], now["config"]["refused"]) =
            (serde_json::json!(["app"]), "line 3: x".into());
        screen.take(Figures::of(&reading(&now), None), true);
        let lines = drawn(&mut screen, 80, 24);
        assert!(lines[0].contains("   impaired   "), "{lines:?}");
        assert_eq!(
            lines[1..3],
            ["! the last reload was refused: line 3: x", "! no endpoint left: app"]
        );
    }

    #[test]
    fn a_question_stands_in_the_bottom_line_until_it_is_answered() {
        let mut screen = screen();
        screen.press(PressedKey::Char('x'));
        assert_eq!(
            drawn(&mut screen, 80, 24)[23],
            "Take down 10.0.0.2:80? y: yes, other keys: no (app)"
        );
        screen.press(PressedKey::Escape);
        let lines = drawn(&mut screen, 80, 24);
        assert_eq!(lines[21], "nothing was done");
        assert!(lines[23].starts_with("q quit"));
    }

    #[test]
    fn help_lies_over_the_table_until_a_key_is_pressed() {
        let mut screen = screen();
        screen.press(PressedKey::Char('?'));
        let is_help = |screen: &mut Screen| {
            drawn(screen, 80, 24).iter().any(|line| line.contains("undoes drain and down"))
        };
        assert!(is_help(&mut screen));
        screen.press(PressedKey::Char('d'));
        assert!(!is_help(&mut screen));
    }
}
