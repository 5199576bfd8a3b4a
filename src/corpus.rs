//! Replays and mutates the corpora of the fuzz targets in `cargo test`, without a fuzzer.

use std::fs;
use std::path::PathBuf;

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

/// Xorshift64: the same numbers in every run.
pub(crate) struct Random(u64);

impl Random {
    /// Those of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.below(1);
        random
    }

    /// One below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound.max(1)
    }

    /// One of `seeds` with one to four random changes.
    fn mutant(&mut self, seeds: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].1.clone();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => {
                    let other = &seeds[self.below(seeds.len())].1;
                    bytes.truncate(at);
                    bytes.extend(&other[self.below(other.len())..]);
                }
                _ => drop(bytes.splice(at..at, TOKENS[self.below(TOKENS.len())].iter().copied())),
            }
        }
        bytes
    }
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
        let mutant = random.mutant(&inputs);
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
