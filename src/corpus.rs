//! Replays and mutates the corpora of the fuzz targets in `cargo test`, without a fuzzer.

use std::fs;
use std::path::PathBuf;

use crate::random::Random;

/// Byte strings that tend to break parsers.
const TOKENS: [&[u8]; 18] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b":",
    b" ",
    b"\t",
    b";",
    b",",
    b"\x7f",
    b"\xe9",
    b"0",
    b"\r\n\r\n",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\xffP",
    b"\xffR",
    b"\xffS",
];

/// One of `seeds` with one to four random changes.
fn mutant(random: &mut Random, seeds: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].1.clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                let other = &seeds[random.below(seeds.len())].1;
                bytes.truncate(at);
                bytes.extend(&other[random.below(other.len())..]);
            }
            _ => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
        }
    }
    bytes
}

/// Runs `target` on every seed and regression in the corpus `name`, then on `mutants` mutations of them.
///
/// # Panics
///
/// Panics if the target does, or if there are no seeds.
pub(crate) fn replay(name: &str, mutants: usize, target: fn(&[u8])) {
    let mut inputs = read("seeds", name);
    assert!(!inputs.is_empty(), "fuzz/seeds/{name} is empty");
    inputs.extend(read("regressions", name));
    for (path, bytes) in &inputs {
        run(path, bytes, target);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..mutants {
        let mutant = mutant(&mut random, &inputs);
        run(&format!("mutant {number}: {}", mutant.escape_ascii()), &mutant, target);
    }
}

fn run(what: &str, bytes: &[u8], target: fn(&[u8])) {
    // The panic itself has reported what went wrong.
    assert!(std::panic::catch_unwind(|| target(bytes)).is_ok(), "with {what}");
}

fn read(kind: &str, name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(name);
    if !folder.exists() {
        return Vec::new();
    }
    let entries = fs::read_dir(&folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut inputs: Vec<_> = paths
        .map(|path| (path.display().to_string(), fs::read(&path).expect("an input")))
        .collect();
    inputs.sort();
    inputs
}
