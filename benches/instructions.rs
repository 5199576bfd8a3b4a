//! Counts instructions: runs this program under valgrind, once with few repetitions and once with many,
//! and divides the difference.

use std::process::Command;

/// The environment variable that tells the program under valgrind how often to repeat its case.
const REPETITIONS: &str = "EVENER_BENCH_REPETITIONS";

const FEW_AND_MANY: [u64; 2] = [10, 1010];

/// The number of repetitions, if this is the program under valgrind.
pub fn repetitions() -> Option<u64> {
    std::env::var(REPETITIONS).ok()?.parse().ok()
}

/// Repeats the case called `name`.
pub fn repeat(name: &str, repetitions: u64) {
    for mut case in super::cases(name).into_iter().filter(|case| case.name == name) {
        (0..repetitions).for_each(|_| (case.run)());
    }
}

/// Prints the number of instructions of each case whose name contains `wanted`.
pub fn report(wanted: &str) -> Result<(), String> {
    let names = super::heads::CASES
        .iter()
        .chain(super::blocks::CASES)
        .chain(super::routes::CASES)
        .chain(super::picks::CASES)
        .map(|(name, _)| *name);
    for name in names.filter(|name| name.contains(wanted)) {
        let [less, more] = FEW_AND_MANY;
        let [few, many] = [count(name, less)?, count(name, more)?];
        println!("{name:<40} {:>7} instructions", (many - few) / (more - less));
    }
    Ok(())
}

fn count(name: &str, repetitions: u64) -> Result<u64, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .arg(name)
        .env(REPETITIONS, repetitions.to_string())
        .output()
        .map_err(|error| {
            format!("cannot start valgrind, which counts the instructions: {error}")
        })?;
    let output = String::from_utf8_lossy(&run.stderr);
    let collected = output.lines().find_map(|line| line.split_once("Collected : "));
    let number = collected.and_then(|(_, number)| number.trim().parse().ok());
    number.ok_or_else(|| format!("no instruction count in valgrind's output: {output}"))
}
