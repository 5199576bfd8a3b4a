//! The binary: parse, configure, run, map to an exit code.
//!
//! 0: ended as asked. 1: could not start, such as a port in use. 2: a mistake in the flags.

use std::io;
use std::net::ToSocketAddrs;
use std::process::ExitCode;

use clap::Parser;
use evener::address::Address;
use evener::config::cli::{Cli, DemoFlags, Flags, Job, OriginFlags};
use evener::config::{self, Config, Mistake, value};
use evener::control::{self, StartError, demo, origin};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why nothing runs.
enum Failure {
    Words(clap::Error),
    Mistakes(Vec<Mistake>),
    Start(StartError),
}

fn main() -> ExitCode {
    match Cli::try_parse().map_err(Failure::Words).and_then(|cli| run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Words(help)) if help.exit_code() == 0 => {
            // Help or the version; a reader that is gone is no failure.
            let _ = help.print();
            ExitCode::SUCCESS
        }
        Err(Failure::Words(error)) => {
            eprintln!("evener: {}", in_a_line(&error.to_string()));
            ExitCode::from(2)
        }
        Err(Failure::Start(error)) => {
            eprintln!("evener: {error}");
            ExitCode::from(1)
        }
        Err(Failure::Mistakes(mistakes)) => {
            for mistake in mistakes {
                eprintln!("evener: {mistake}");
            }
            ExitCode::from(2)
        }
    }
}

/// What clap says in a paragraph: the error, and its tip if it has one.
fn in_a_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let error = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let tip = lines.find_map(|line| line.strip_prefix("tip: ")).unwrap_or("see evener --help");
    format!("{error}; {tip}")
}

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.job {
        None => balance(&cli.flags),
        Some(Job::Demo(flags)) => run_demo(flags),
        Some(Job::Origin(flags)) => run_origin(flags),
    }
}

fn balance(flags: &Flags) -> Result<(), Failure> {
    let config = configure(flags)?;
    log_to_stderr(config.log_level);
    control::run(&config).map_err(Failure::Start)
}

fn run_demo(flags: &DemoFlags) -> Result<(), Failure> {
    log_to_stderr(log::LevelFilter::Warn);
    let mistake = |what| Failure::Mistakes(vec![Mistake { flag: "listen", what }]);
    let addresses = value::addresses(&flags.listen, &resolve).map_err(mistake)?;
    if addresses.iter().any(|address| matches!(address, Address::Unix(_))) {
        return Err(mistake(format!("{:?}: the demo needs ip:port", flags.listen)));
    }
    let routes = demo::origins().map_err(Failure::Start)?;
    // Each thread takes turns of its own; with one, curl sees them.
    let words = ["evener", "--listen", &flags.listen, "--threads", "1"].map(str::to_owned);
    let words = words.into_iter().chain(routes.iter().map(|route| format!("--route={route}")));
    let cli = Cli::try_parse_from(words).map_err(Failure::Words)?;
    let config = configure(&cli.flags)?;
    demo::run(&config, &routes).map_err(Failure::Start)
}

fn run_origin(flags: &OriginFlags) -> Result<(), Failure> {
    log_to_stderr(log::LevelFilter::Info);
    let mistake = |flag| move |what| Failure::Mistakes(vec![Mistake { flag, what }]);
    let threads = config::threads(&flags.threads).map_err(mistake("threads"))?;
    let addresses = value::addresses(&flags.listen, &resolve).map_err(mistake("listen"))?;
    for address in addresses {
        let bound = origin::start(&address, &flags.name, threads)
            .map_err(|error| Failure::Start(StartError::Bind(address, error)))?;
        log::info!("origin {} listening on {bound}, {threads} threads", flags.name);
    }
    loop {
        std::thread::park();
    }
}

fn configure(flags: &Flags) -> Result<Config, Failure> {
    Config::new(flags, &resolve).map_err(Failure::Mistakes)
}

fn resolve(name: &str) -> io::Result<Vec<std::net::SocketAddr>> {
    name.to_socket_addrs().map(Iterator::collect)
}

fn log_to_stderr(level: log::LevelFilter) {
    env_logger::Builder::new().filter_level(level).parse_default_env().init();
}
