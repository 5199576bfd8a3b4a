//! Benchmarks of the pure parts of a request, one by one.
//!
//! `cargo bench` measures time; `cargo bench -- --instructions` counts instructions under valgrind
//! instead, which gives the same result on any machine, however busy. Another word selects cases by
//! name: `-- route`.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod blocks;
mod heads;
mod instructions;
mod picks;
mod routes;

use std::time::Duration;

use criterion::Criterion;

/// One measured operation.
pub struct Case {
    pub name: String,
    /// Runs it once.
    pub run: Box<dyn FnMut()>,
}

impl Case {
    pub fn new(name: impl Into<String>, run: impl FnMut() + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// The cases whose names contain `wanted`. Others are not created, since a table of 100 000 routes takes
/// a while.
fn cases(wanted: &str) -> Vec<Case> {
    let all = heads::CASES.iter().chain(blocks::CASES).chain(routes::CASES).chain(picks::CASES);
    all.filter(|(name, _)| name.contains(wanted)).map(|(name, make)| make(name)).collect()
}

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|given| given == word);
    let wanted = words.iter().find(|word| !word.starts_with("--")).map_or("", String::as_str);
    if has("--instructions") {
        return instructions::report(wanted);
    }
    if let Some(repetitions) = instructions::repetitions() {
        instructions::repeat(wanted, repetitions);
        return Ok(());
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for mut case in cases(wanted) {
        criterion.bench_function(&case.name, |bencher| bencher.iter(|| (case.run)()));
    }
    criterion.final_summary();
    Ok(())
}
