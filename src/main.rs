//! The binary: parse, configure, run, map to an exit code.
//!
//! 0: ended as asked. 1: could not start, or could not for `-t`, such as a port in use. 2: a mistake in the flags.

use std::env::VarError;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use evener::address::Address;
use evener::admin::probe::{Probe, ProbeError, probe};
use evener::config::cli::{Cli, ExplainFlags, Job, OriginFlags};
use evener::config::describe::summary;
use evener::config::explain::{AskedRequest, AskedUrl, explain};
use evener::config::loader::Loader;
use evener::config::manual::{self, ManualError};
use evener::config::mistake::{Mistake, Place};
use evener::config::sources::{Sources, Unreadable};
use evener::config::tool_flags::{DemoFlags, HealthFlags, ManFlags, TopFlags};
use evener::config::{self, value};
use evener::control::error_logging::log_to;
use evener::control::process::Identity;
use evener::control::signals::Signals;
use evener::demo::certificate::{self, DemoCertificate};
use evener::demo::origin;
use evener::demo::{self, DemoOptions};
use evener::discovery;
use evener::http::message::hop::ClientScheme;
use evener::top::{self, TopError, TopOptions};
use evener::{Config, ConfigErrors, Evener, RunError, StartError};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why nothing runs.
enum CliError {
    /// Help or the version is asked for.
    Words(clap::Error),
    Config(ConfigErrors),
    Run(RunError),
    Print(io::Error),
    Top(TopError),
}

impl From<Unreadable> for CliError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Words(error) => Self::Words(error),
            Unreadable::Mistakes(mistakes) => Self::Config(mistakes.into()),
        }
    }
}

fn main() -> ExitCode {
    // Before anything else: from here on no signal is lost, and none ends a process that starts.
    let signals = Signals::take();
    match words().and_then(|words| run(&words, Sources::read(&words, &environment)?, signals)) {
        Ok(code) => code,
        Err(CliError::Words(help)) => {
            // Help or the version; a reader that is gone is no failure.
            let _ = help.print();
            ExitCode::SUCCESS
        }
        // It has said why.
        Err(CliError::Run(RunError::Background(code))) => ExitCode::from(code),
        Err(CliError::Run(RunError::Start(error))) => {
            eprintln!("evener: {error}");
            ExitCode::from(1)
        }
        Err(CliError::Print(error)) => {
            eprintln!("evener: standard output: {error}");
            ExitCode::from(1)
        }
        Err(CliError::Top(error)) => {
            eprintln!("evener: {error}");
            ExitCode::from(1)
        }
        Err(CliError::Config(errors) | CliError::Run(RunError::Config(errors))) => {
            for line in errors.lines() {
                eprintln!("evener: {line}");
            }
            ExitCode::from(2)
        }
    }
}

fn mistaken(place: Place, what: String) -> CliError {
    CliError::Config(vec![Mistake { place, what }].into())
}

/// What the configuration file refers to as `${NAME}`.
fn environment(name: &str) -> Result<String, VarError> {
    std::env::var(name)
}

/// The command line. A word that is no UTF-8 names nothing that a configuration could.
fn words() -> Result<Vec<String>, CliError> {
    let told = |word: OsString| {
        let what = format!("{:?} is no UTF-8", word.to_string_lossy());
        mistaken(Place::Argument("command line"), what)
    };
    std::env::args_os().map(|word| word.into_string().map_err(told)).collect()
}

fn run(
    words: &[String],
    (cli, sources): (Cli, Sources),
    signals: io::Result<Signals>,
) -> Result<ExitCode, CliError> {
    let thread = |error| start(StartError::Thread(error));
    let signals = signals.map_err(thread)?;
    if cli.job.is_some() && sources.flags.test {
        let what = "does nothing with a subcommand: leave one of them out";
        return Err(mistaken(Place::Flag("test".into()), what.to_owned()));
    }
    match &cli.job {
        None => balance(words, sources, signals),
        Some(Job::Demo(flags)) => run_demo(flags, signals),
        Some(Job::Explain(flags)) => {
            signals.give_back().map_err(thread)?;
            run_explain(flags, &sources)
        }
        Some(Job::Top(flags)) => run_top(flags, signals),
        Some(Job::Origin(flags)) => {
            signals.give_back().map_err(thread)?;
            run_origin(flags)
        }
        Some(Job::Health(flags)) => {
            signals.give_back().map_err(thread)?;
            run_health(flags)
        }
        Some(Job::Completions(flags)) => {
            print(&manual::completions(flags.shell)).map(|()| ExitCode::SUCCESS)
        }
        Some(Job::Man(flags)) => run_man(flags),
    }
}

fn balance(words: &[String], sources: Sources, signals: Signals) -> Result<ExitCode, CliError> {
    let mut config = configure(&sources)?;
    let is_test = sources.flags.test;
    // What is written takes as much room as what is in force, and a reload reads it again.
    drop(sources);
    config.loader = Some(Arc::new(Loader { words: words.to_vec(), environment }));
    let evener = Evener::new(config).signals(signals);
    if !is_test {
        return evener.run().map(|()| ExitCode::SUCCESS).map_err(CliError::Run);
    }
    let (mut config, refusals) = evener.check().map_err(CliError::Config)?;
    discovery::look_up(&mut config);
    for warning in &config.warnings {
        eprintln!("evener: warning: {warning}");
    }
    for refusal in &refusals {
        eprintln!("evener: {refusal}");
    }
    print(&summary(&config))?;
    Ok(ExitCode::from(u8::from(!refusals.is_empty())))
}

fn run_explain(flags: &ExplainFlags, sources: &Sources) -> Result<ExitCode, CliError> {
    let in_header = |what| mistaken(Place::Flag("header".into()), what);
    flags.header.iter().try_for_each(|text| value::header(text)).map_err(in_header)?;
    let mut config = configure(sources)?;
    // What a source does not answer belongs to the explanation; all else is for `--test`.
    let others = config.warnings.len();
    discovery::look_up(&mut config);
    for warning in &config.warnings[others..] {
        eprintln!("evener: warning: {warning}");
    }
    let mistake = |what| mistaken(Place::Argument("PATH"), what);
    let client = flags.client.as_deref().map(value::ip).transpose();
    let in_client = |what| mistaken(Place::Flag("client".into()), what);
    let client = client.map_err(in_client)?;
    let headers = &flags.header;
    let in_method = |what| mistaken(Place::Flag("method".into()), what);
    let method = value::method(&flags.method).map_err(in_method)?;
    let url = AskedUrl::read(&flags.path, &flags.query).map_err(mistake)?;
    let host = match (&flags.host, &url.host) {
        (Some(_), Some(host)) => {
            let what = format!("there is one in PATH, too: {host:?}: leave one of them out");
            return Err(mistaken(Place::Flag("host".into()), what));
        }
        (said, of_url) => said.as_deref().or(of_url.as_deref()).unwrap_or("localhost"),
    };
    let of_flag = if flags.https { ClientScheme::Https } else { ClientScheme::Http };
    let scheme = url.scheme.unwrap_or(of_flag);
    let asked = AskedRequest { method, host, scheme, target: &url.target, headers, client };
    let explained = explain(&config, asked).map_err(mistake)?;
    print(&explained.text)?;
    Ok(ExitCode::from(u8::from(!explained.is_routed)))
}

fn run_demo(flags: &DemoFlags, signals: Signals) -> Result<ExitCode, CliError> {
    log_to_stderr(log::LevelFilter::Warn)?;
    let mistake = |what| mistaken(Place::Flag("listen".into()), what);
    let port = if flags.tls { 8443 } else { 8080 };
    let listen = flags.listen.clone().unwrap_or_else(|| format!("127.0.0.1:{port}"));
    let addresses = value::addresses(&listen, &value::resolve).map_err(mistake)?;
    let Some(Address::Tcp(first)) = addresses.first() else {
        return Err(mistake(format!("{listen:?}: the demo needs ip:port")));
    };
    let routes = demo::origins().map_err(start)?;
    // Each thread takes turns of its own; with one, curl sees them.
    let mut words = ["evener", "--threads", "1"].map(str::to_owned).to_vec();
    words.extend(routes.iter().map(|route| format!("--route={route}")));
    let admin = flags.admin.as_deref().unwrap_or_else(|| demo::page_address());
    words.push(format!("--admin={admin}"));
    let certificate = flags.tls.then(|| DemoCertificate::new(first.ip())).transpose();
    let certificate = certificate.map_err(|error| start(StartError::Thread(error)))?;
    match &certificate {
        None => words.push(format!("--listen={listen}")),
        Some(made) => {
            words.extend([format!("--listen-tls={listen}"), format!("--cert={}", made.path())]);
        }
    }
    let (_, sources) = Sources::read(&words, &environment)?;
    let config = configure(&sources)?;
    let options = DemoOptions { is_tls: flags.tls, rate: flags.rate };
    demo::run(config, &routes, options, signals).map_err(start)?;
    Ok(ExitCode::SUCCESS)
}

fn run_top(flags: &TopFlags, signals: Signals) -> Result<ExitCode, CliError> {
    let token_file = flags.admin_token_file.as_deref().map(Path::new);
    let options = TopOptions::new(&flags.admin, token_file, &flags.interval)
        .map_err(|(flag, what)| mistaken(Place::Flag(flag.into()), what))?;
    let snapshot = top::run(options.once(flags.once), signals).map_err(CliError::Top)?;
    snapshot.map_or(Ok(()), |text| print(&text))?;
    Ok(ExitCode::SUCCESS)
}

fn run_origin(flags: &OriginFlags) -> Result<ExitCode, CliError> {
    log_to_stderr(log::LevelFilter::Info)?;
    let mistake = |flag: &'static str| move |what| mistaken(Place::Flag(flag.into()), what);
    let threads = config::threads(&flags.threads).map_err(mistake("threads"))?;
    let addresses = value::addresses(&flags.listen, &value::resolve).map_err(mistake("listen"))?;
    if flags.key.is_some() && flags.cert.is_none() {
        return Err(mistake("key")("requires --cert FILE: what it is the key of".to_owned()));
    }
    let tls = flags.cert.as_deref().map(|cert| certificate::load(cert, flags.key.as_deref()));
    let tls = tls.transpose().map_err(mistake("cert"))?;
    for address in addresses {
        let bound = origin::start(&address, &flags.name, threads, tls.as_ref())
            .map_err(|error| start(StartError::binding(&address, error)))?;
        log::info!("origin {} listening on {bound}, {threads} threads", flags.name);
    }
    loop {
        std::thread::park();
    }
}

fn run_health(flags: &HealthFlags) -> Result<ExitCode, CliError> {
    let mistake = |flag: &'static str| move |what| mistaken(Place::Flag(flag.into()), what);
    let timeout = value::duration(&flags.timeout).map_err(mistake("timeout"))?;
    let asked = if flags.live { Probe::Liveness } else { Probe::Readiness };
    match probe(&flags.admin, asked, timeout) {
        Ok(said) => print(&format!("{said}\n")).map(|()| ExitCode::SUCCESS),
        Err(ProbeError::Address(what)) => Err(mistake("admin")(what)),
        Err(error) => {
            eprintln!("evener: {}: {error}", flags.admin);
            Ok(ExitCode::from(1))
        }
    }
}

fn run_man(flags: &ManFlags) -> Result<ExitCode, CliError> {
    let page = manual::page(flags.command.as_deref()).map_err(|error| match error {
        ManualError::Io(error) => CliError::Print(error),
        ManualError::Unknown(names) => {
            let asked = flags.command.as_deref().unwrap_or_default();
            let what = format!("{asked:?} is no subcommand: those are {}", names.join(", "));
            mistaken(Place::Argument("COMMAND"), what)
        }
    })?;
    print(&page).map(|()| ExitCode::SUCCESS)
}

/// Prints what was asked for. A reader that has gone has seen enough.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Print(error)),
        _ => Ok(()),
    }
}

fn configure(sources: &Sources) -> Result<Config, CliError> {
    Config::of(sources).map_err(CliError::Config)
}

fn log_to_stderr(level: log::LevelFilter) -> Result<(), CliError> {
    log_to(None, level, Identity::default()).map(drop).map_err(start)
}

fn start(error: StartError) -> CliError {
    CliError::Run(RunError::Start(error))
}
