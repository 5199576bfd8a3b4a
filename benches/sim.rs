//! Shows what the policies make of a cluster on a virtual clock; see tools/sim.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, clippy::print_stdout)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "shares and times, far from any bound"
)]
#![allow(dead_code, reason = "tests/cluster uses the rest")]

#[path = "../tests/cluster/attempts.rs"]
mod attempts;
#[path = "../tests/cluster/history.rs"]
mod history;
#[path = "../tests/cluster/invariants.rs"]
mod invariants;
#[path = "../tests/cluster/ledger.rs"]
mod ledger;
#[path = "../tests/cluster/plans.rs"]
mod plans;
#[path = "../tests/cluster/random.rs"]
mod random;
#[path = "../tests/cluster/run.rs"]
mod run;
#[path = "../tests/cluster/scenario.rs"]
mod scenario;
#[path = "../tests/cluster/servers.rs"]
mod servers;
#[path = "../tests/cluster/world.rs"]
mod world;

use evener::upstream::Upstream;
use evener::upstream::endpoint_set::EndpointSet;
use evener::upstream::settings::Policy;

use history::quantile;
use scenario::{S, SCENARIOS, Scenario};
use world::{History, World};

/// The seed of what is shown; another can be given.
const SEED: u64 = 1;

/// The height of a bar, in eighths.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Columns of a plot over time.
const COLUMNS: u64 = 64;

fn main() -> Result<(), String> {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let seed = words.get(1).map_or(Ok(SEED), |word| word.parse());
    let seed = seed.map_err(|_| format!("{:?} is no seed: write a number", words[1]))?;
    let found = words.first().and_then(|wanted| SCENARIOS.iter().find(|known| known.0 == wanted));
    match (found, words.first().map(String::as_str)) {
        (Some(scenario), _) => show(scenario, seed),
        (None, Some("all")) => SCENARIOS.iter().for_each(|scenario| show(scenario, seed)),
        (None, wanted) => {
            let listed = SCENARIOS.iter().map(|(name, what, _)| format!("  {name:10} {what}\n"));
            let listed: String = listed.collect();
            let unknown = wanted.map(|wanted| format!("there is no scenario {wanted:?}\n"));
            return Err(format!("{}write one of\n{listed}  all", unknown.unwrap_or_default()));
        }
    }
    Ok(())
}

/// Shows one scenario under each policy.
fn show((name, what, make): &Scenario, seed: u64) {
    println!("\n{name}: {what}\n");
    println!(
        "{:15}{:>9}{:>9}{:>9}{:>9}   shares of the endpoints",
        "", "p50", "p99", "p99.9", "failed"
    );
    let lived: Vec<_> = Policy::ALL
        .into_iter()
        .map(|policy| {
            let world = make(Upstream { policy, ..Upstream::sample(EndpointSet::new([])) });
            let history = world.run(seed);
            println!("{}", row(policy, &world, &history));
            (policy, history)
        })
        .collect();
    plot("p99 over time, each column scaled to the worst of the scenario", &lived, p99s);
    plot("share of the first endpoint over time (full: twice its weight's share)", &lived, shares);
}

fn row(policy: Policy, world: &World, history: &History) -> String {
    let millis = |share| format!("{:.1} ms", history.quantile(share) as f64 / 1000.0);
    let shares = history.shares();
    let shown: Vec<_> = if shares.len() > 10 {
        let (least, most) = shares
            .iter()
            .fold((1.0_f64, 0.0_f64), |(least, most), &share| (least.min(share), most.max(share)));
        let even = 1.0 / world.machines.len() as f64;
        vec![format!("{:.2} to {:.2} of an even share", least / even, most / even)]
    } else {
        shares.iter().map(|share| format!("{:4.1} %", share * 100.0)).collect()
    };
    let failed = format!("{:.2} %", history.failed() * 100.0);
    let times = [millis(0.5), millis(0.99), millis(0.999)];
    format!(
        "{:15}{:>9}{:>9}{:>9}{failed:>9}   {}",
        policy.name(),
        times[0],
        times[1],
        times[2],
        shown.join("  ")
    )
}

/// Draws a line of bars for each policy.
fn plot(what: &str, lived: &[(Policy, History)], of: fn(&History) -> Vec<f64>) {
    println!("\n  {what}");
    let drawn: Vec<_> = lived.iter().map(|(policy, history)| (policy, of(history))).collect();
    let most =
        drawn.iter().flat_map(|(_, values)| values).fold(0.0_f64, |most, &value| most.max(value));
    for (policy, values) in drawn {
        let bar = |value: &f64| BARS[((value / most.max(1e-9) * 8.0).ceil() as usize).min(8)];
        println!("  {:15}{}", policy.name(), values.iter().map(bar).collect::<String>());
    }
}

/// The p99 within each column.
fn p99s(history: &History) -> Vec<f64> {
    columns(history).map(|ended| quantile(&ended, 0.99) as f64).collect()
}

/// The share of the first endpoint among the answers of each column.
fn shares(history: &History) -> Vec<f64> {
    columns(history)
        .map(|ended| {
            let own = ended.iter().filter(|ended| ended.endpoint == Some(0)).count();
            own as f64 / ended.len().max(1) as f64
        })
        .collect()
}

fn columns(history: &History) -> impl Iterator<Item = Vec<world::Ended>> {
    let end = history.ended.last().map_or(S, |ended| ended.at + 1);
    let step = end.div_ceil(COLUMNS).max(1);
    (0..COLUMNS).map(move |column| history.within(column * step, (column + 1) * step))
}
