//! A table that can be sorted by any column, and that fits a terminal of any width.

use std::cmp::Ordering;

/// The least width of a column of text that is cut, in characters.
const TEXT_MIN: usize = 10;

/// The width of a text for which columns of [`DETAIL_RANK`] and above make room: that of an IPv4 address with its port.
const TEXT_WELL: usize = 21;

/// From this rank on a column is left out before a text is cut.
const DETAIL_RANK: u8 = 5;

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// In capital letters.
    pub(super) title: &'static str,
    /// Texts are left-aligned, may be cut, and are sorted from A to Z; numbers from the highest.
    pub(super) is_text: bool,
    /// Where there is no room, columns of a higher number go first.
    pub(super) rank: u8,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    /// Safe to print.
    pub(super) text: String,
    /// What it is sorted by, if not by its text; NaN comes last.
    pub(super) number: Option<f64>,
}

/// How much a row is to be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Well,
    /// Taken out by hand.
    Idle,
    /// It may pass.
    Warning,
    /// Nobody is served.
    Bad,
}

/// One endpoint, upstream or route.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct GridRow {
    /// The names of its upstream and endpoint, as they were sent; what it is recognised by.
    pub(super) key: (String, String),
    /// One for each column.
    pub(super) cells: Vec<Cell>,
    pub(super) tone: Tone,
    /// More about it, in a line; safe to print.
    pub(super) note: String,
}

/// By which column rows are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sorting {
    pub(super) column: usize,
    pub(super) is_reversed: bool,
}

/// The columns and their rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<GridRow>,
}

/// A column that is shown, with its width in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fitted {
    pub(super) index: usize,
    pub(super) width: usize,
}

impl Cell {
    /// A text, safe to print.
    pub(super) fn text(text: String) -> Self {
        Self { text, number: None }
    }

    /// A number, and how it is shown.
    pub(super) fn number(number: f64, text: String) -> Self {
        Self { text, number: Some(number) }
    }
}

impl Grid {
    /// Sorts the rows; those that are equal keep their order.
    pub(super) fn sort(&mut self, sorting: Sorting) {
        let compare = |a: &GridRow, b: &GridRow| {
            let (Some(a), Some(b)) = (a.cells.get(sorting.column), b.cells.get(sorting.column))
            else {
                return Ordering::Equal;
            };
            compare(a, b, sorting.is_reversed)
        };
        self.rows.sort_by(compare);
    }

    /// The columns that fit into a width, and the space between them.
    pub(super) fn fit(&self, width: usize) -> (Vec<Fitted>, usize) {
        let natural: Vec<Fitted> =
            (0..self.columns.len()).map(|index| self.natural(index)).collect();
        let whole = natural.iter().map(|fitted| fitted.width + 2).sum::<usize>();
        if whole <= width + 2 {
            return (natural, 2);
        }
        let mut shown = natural;
        self.drop_until(&mut shown, (width, TEXT_WELL), DETAIL_RANK);
        self.drop_until(&mut shown, (width, TEXT_MIN), 0);
        // What is over goes to the texts, the narrowest first, so that only long ones are cut.
        let mut room = (width + 1).saturating_sub(self.needed(&shown, TEXT_MIN));
        let is_text = |place: &usize| self.columns[shown[*place].index].is_text;
        let mut texts: Vec<usize> = (0..shown.len()).filter(is_text).collect();
        texts.sort_by_key(|place| shown[*place].width);
        let mut left = texts.len();
        for place in texts {
            let fitted = &mut shown[place];
            let start = fitted.width.min(TEXT_MIN);
            let more = (fitted.width - start).min(room / left);
            (fitted.width, room, left) = (start + more, room - more, left - 1);
        }
        if let [only] = shown.as_mut_slice() {
            only.width = only.width.min(width);
        }
        (shown, 1)
    }

    /// Leaves out columns of this rank or a higher one, the highest first, until the others fit if no text gets more than so
    /// much of the width.
    fn drop_until(&self, shown: &mut Vec<Fitted>, (width, text): (usize, usize), rank: u8) {
        while self.needed(shown, text) > width + 1 && shown.len() > 1 {
            let ranks = shown.iter().map(|fitted| (self.columns[fitted.index].rank, fitted.index));
            let Some((_, index)) = ranks.max().filter(|(highest, _)| *highest >= rank) else {
                return;
            };
            shown.retain(|fitted| fitted.index != index);
        }
    }

    /// The width of these columns, with a space after each, if no text gets more than so much.
    fn needed(&self, shown: &[Fitted], text: usize) -> usize {
        let least = |fitted: &Fitted| {
            let is_text = self.columns[fitted.index].is_text;
            1 + if is_text { fitted.width.min(text) } else { fitted.width }
        };
        shown.iter().map(least).sum()
    }

    fn natural(&self, index: usize) -> Fitted {
        let cells = self.rows.iter().filter_map(|row| row.cells.get(index));
        let widths = cells.map(|cell| cell.text.chars().count());
        let title = self.columns[index].title.len() + 1; // with the mark of the sorted column
        Fitted { index, width: widths.max().unwrap_or_default().max(title) }
    }
}

fn compare(a: &Cell, b: &Cell, is_reversed: bool) -> Ordering {
    let order = match (a.number, b.number) {
        (Some(a), Some(b)) => match (a.is_nan(), b.is_nan()) {
            (false, false) => b.total_cmp(&a),
            // What is not known stays last, whichever way the others go.
            (a, b) => return a.cmp(&b),
        },
        _ => a.text.cmp(&b.text),
    };
    if is_reversed { order.reverse() } else { order }
}

/// A text, cut to a width.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// A cell of a column, padded to its width.
pub(super) fn padded(text: &str, column: &Column, width: usize) -> String {
    let text = cut(text, width);
    if column.is_text { format!("{text:<width$}") } else { format!("{text:>width$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { title: "NAME", is_text: true, rank: 0 },
        Column { title: "RATE", is_text: false, rank: 1 },
        Column { title: "IDLE", is_text: false, rank: 5 },
    ];

    fn grid(rows: &[(&str, f64)]) -> Grid {
        let row = |(name, rate): &(&str, f64)| GridRow {
            key: ((*name).to_owned(), String::new()),
            cells: vec![
                Cell::text((*name).to_owned()),
                Cell::number(*rate, format!("{rate:.0}")),
                Cell::number(1.0, "1".to_owned()),
            ],
            tone: Tone::Well,
            note: String::new(),
        };
        Grid { columns: &COLUMNS, rows: rows.iter().map(row).collect() }
    }

    fn sorted(column: usize, is_reversed: bool) -> Vec<String> {
        let mut grid = grid(&[("b", 2.0), ("c", f64::NAN), ("a", 10.0), ("d", 2.0)]);
        grid.sort(Sorting { column, is_reversed });
        grid.rows.into_iter().map(|row| row.key.0).collect()
    }

    #[test]
    fn numbers_are_sorted_from_the_highest_and_texts_from_a() {
        assert_eq!(sorted(0, false), ["a", "b", "c", "d"]);
        assert_eq!(sorted(0, true), ["d", "c", "b", "a"]);
        assert_eq!(sorted(1, false), ["a", "b", "d", "c"]);
        assert_eq!(sorted(1, true), ["b", "d", "a", "c"]);
        assert_eq!(sorted(7, false), ["b", "c", "a", "d"]);
    }

    #[test]
    fn columns_go_and_texts_are_cut_where_there_is_no_room() {
        let grid = grid(&[("a name of 24 characters.", 1.0)]);
        let fit = |width| {
            let (fitted, space) = grid.fit(width);
            let fitted = fitted.iter().map(|fitted| (fitted.index, fitted.width));
            (fitted.collect::<Vec<_>>(), space)
        };
        assert_eq!(fit(38), (vec![(0, 24), (1, 5), (2, 5)], 2));
        assert_eq!(fit(37), (vec![(0, 24), (1, 5), (2, 5)], 1));
        assert_eq!(fit(35), (vec![(0, 23), (1, 5), (2, 5)], 1));
        assert_eq!(fit(33), (vec![(0, 21), (1, 5), (2, 5)], 1));
        assert_eq!(fit(32), (vec![(0, 24), (1, 5)], 1));
        assert_eq!(fit(16), (vec![(0, 10), (1, 5)], 1));
        assert_eq!(fit(15), (vec![(0, 15)], 1));
        assert_eq!(fit(3), (vec![(0, 3)], 1));
    }

    #[test]
    fn a_text_is_cut_where_it_is_too_long() {
        assert_eq!(
            (cut("äbc", 3), cut("äbcd", 3), cut("a", 0)),
            ("äbc".into(), "äb…".into(), String::new())
        );
        assert_eq!(padded("ab", &COLUMNS[0], 4), "ab  ");
        assert_eq!(padded("12", &COLUMNS[1], 4), "  12");
    }
}
