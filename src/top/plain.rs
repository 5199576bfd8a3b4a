//! A snapshot as plain text, for scripts and terminals that cannot do more.

use std::fmt::Write as _;

use super::grid::{Grid, Sorting, cut, padded};
use super::quantile::Quantile;
use super::rows::{Figures, View};
use super::text::{age, bytes, count, rate};

/// The widest column of a snapshot, in characters.
const COLUMN_MAX: usize = 60;

/// The head of a view: a name and its values, for each line.
pub(super) fn head(figures: &Figures) -> [(&'static str, String); 4] {
    let [client_errors, server_errors] = figures.errors.map(rate);
    let [up, down] = figures.bytes.map(bytes);
    let [median, slow] = figures.quantiles.map(Quantile::text);
    [
        (
            "requests",
            format!("{}/s   in flight {}", rate(figures.requests), count(figures.in_flight)),
        ),
        (
            "responses",
            format!(
                "5xx {server_errors}/s   4xx {client_errors}/s   retries {}/s",
                rate(figures.retries)
            ),
        ),
        ("latency", format!("p50 {median}   p99 {slow}")),
        (
            "clients",
            format!(
                "{} of {} open   new {}/s   sent {down}/s   received {up}/s",
                count(figures.connections),
                count(figures.connections_max),
                rate(figures.accepted)
            ),
        ),
    ]
}

/// What is to be known first, in a line.
pub(super) fn title(figures: &Figures, address: &str) -> String {
    let Figures { version, state, uptime, generation, .. } = figures;
    let word = if figures.unavailable.is_empty() { state } else { "impaired" };
    format!(
        "Evener {version} on {address}   {word}   up {}   configuration {generation}",
        age(*uptime)
    )
}

/// What is wrong as a whole, a line each.
pub(super) fn warnings(figures: &Figures) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(why) = &figures.refused {
        lines.push(format!("the last reload was refused: {why}"));
    }
    if !figures.unavailable.is_empty() {
        lines.push(format!("no endpoint left: {}", figures.unavailable.join(", ")));
    }
    lines
}

/// All of it.
pub(super) fn snapshot(figures: &Figures, address: &str) -> String {
    let mut text = title(figures, address) + "\n";
    for (name, values) in head(figures) {
        let _ = writeln!(text, "{name:<10} {values}");
    }
    for line in warnings(figures) {
        let _ = writeln!(text, "! {line}");
    }
    for view in View::ALL {
        let mut grid = figures.grids[view as usize].clone();
        if grid.rows.is_empty() {
            continue;
        }
        grid.sort(Sorting { column: view.state_column(), is_reversed: false });
        text += "\n";
        text += &table(&grid);
    }
    text
}

fn table(grid: &Grid) -> String {
    let mut text = String::new();
    let titles = grid.columns.iter().map(|column| column.title.to_owned()).collect();
    let rows = grid
        .rows
        .iter()
        .map(|row| row.cells.iter().map(|cell| cut(&cell.text, COLUMN_MAX)).collect());
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(rows).collect();
    let width = |index: usize| {
        lines.iter().filter_map(|line| line.get(index)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> =
        (0..grid.columns.len()).map(|index| width(index).unwrap_or(0)).collect();
    for line in &lines {
        let cells = line.iter().zip(grid.columns).zip(&widths);
        let cells = cells.map(|((cell, column), width)| padded(cell, column, *width));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text += "\n";
    }
    text
}
