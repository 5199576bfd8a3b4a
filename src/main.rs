//! The binary: parse, configure, run, map to an exit code.
//!
//! 0: ended as asked. 1: could not start, such as a port in use. 2: a mistake in the flags.

use std::env::VarError;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use evener::address::Address;
use evener::config::admin::Token;
use evener::config::cli::{Cli, DemoFlags, ExplainFlags, Job, OriginFlags};
use evener::config::describe::summary;
use evener::config::explain::{AskedRequest, explain};
use evener::config::loader::Loader;
use evener::config::mistake::{Mistake, Place};
use evener::config::sources::{Sources, Unreadable};
use evener::config::{self, Config, value};
use evener::control::process::{Background, Identity, enter_background, raise_file_limit};
use evener::control::signals::Signals;
use evener::control::{self, RunOptions, StartError, Upgrade, worker_main};
use evener::demo;
use evener::demo::certificate::{self, DemoCertificate};
use evener::demo::origin;
use evener::discovery;
use evener::filters::rules::Rules;
use evener::log::error_log::ErrorLog;
use evener::net::interfaces::LocalAddresses;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long what was said last may take to be written.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Why nothing runs.
enum CliError {
    Words(clap::Error),
    Mistakes(Vec<Mistake>),
    Start(StartError),
    Print(io::Error),
}

impl From<Unreadable> for CliError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Words(error) => Self::Words(error),
            Unreadable::Mistakes(mistakes) => Self::Mistakes(mistakes),
        }
    }
}

fn main() -> ExitCode {
    // Before anything else: from here on no signal is lost, and none ends a process that starts.
    let signals = Signals::take();
    match words().and_then(|words| run(&words, &Sources::read(&words, &environment)?, signals)) {
        Ok(code) => code,
        Err(CliError::Words(help)) if help.exit_code() == 0 => {
            // Help or the version; a reader that is gone is no failure.
            let _ = help.print();
            ExitCode::SUCCESS
        }
        Err(CliError::Words(error)) => {
            eprintln!("evener: {}", in_a_line(&error.to_string()));
            ExitCode::from(2)
        }
        Err(CliError::Start(error)) => {
            eprintln!("evener: {error}");
            ExitCode::from(1)
        }
        Err(CliError::Print(error)) => {
            eprintln!("evener: standard output: {error}");
            ExitCode::from(1)
        }
        Err(CliError::Mistakes(mistakes)) => {
            for mistake in mistakes {
                eprintln!("evener: {mistake}");
            }
            ExitCode::from(2)
        }
    }
}

/// What the configuration file refers to as `${NAME}`.
fn environment(name: &str) -> Result<String, VarError> {
    std::env::var(name)
}

/// The command line. A word that is no UTF-8 names nothing that a configuration could.
fn words() -> Result<Vec<String>, CliError> {
    let told = |word: OsString| {
        let what = format!("{:?} is no UTF-8", word.to_string_lossy());
        CliError::Mistakes(vec![Mistake { place: Place::Argument("command line"), what }])
    };
    std::env::args_os().map(|word| word.into_string().map_err(told)).collect()
}

/// What clap says in a paragraph: the error, and its tip if it has one.
fn in_a_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let error = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let tip = lines.find_map(|line| line.strip_prefix("tip: ")).unwrap_or("see evener --help");
    format!("{error}; {tip}")
}

fn run(
    words: &[String],
    (cli, sources): &(Cli, Sources),
    signals: io::Result<Signals>,
) -> Result<ExitCode, CliError> {
    let thread = |error| CliError::Start(StartError::Thread(error));
    let signals = signals.map_err(thread)?;
    match &cli.job {
        None => balance(words, sources, signals),
        Some(Job::Demo(flags)) => run_demo(flags, &signals),
        Some(Job::Explain(flags)) => {
            signals.give_back().map_err(thread)?;
            run_explain(flags, sources)
        }
        Some(Job::Origin(flags)) => {
            signals.give_back().map_err(thread)?;
            run_origin(flags)
        }
    }
}

fn balance(words: &[String], sources: &Sources, signals: Signals) -> Result<ExitCode, CliError> {
    let (user, group) = (sources.flags.user.as_deref(), sources.flags.group.as_deref());
    let identity = Identity::find(user, group);
    let flag = if user.is_some() { "user" } else { "group" };
    let wrong = |what| CliError::Mistakes(vec![Mistake { place: sources.place(flag), what }]);
    let identity = identity.map_err(wrong)?;
    let mut config = configure(sources)?;
    let files = config.plan.tls.as_ref().map_or_else(Vec::new, |tls| tls.files());
    config.warnings.extend(identity.warnings(files.iter().map(|file| &*file.path)));
    let token = token(&config, sources)?;
    if sources.flags.test {
        discovery::look_up(&mut config);
        for warning in &config.warnings {
            eprintln!("evener: warning: {warning}");
        }
        print(&summary(&config))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut daemon = None;
    if sources.flags.daemon {
        match enter_background().map_err(StartError::Thread).map_err(CliError::Start)? {
            Background::Starter(code) => return Ok(code),
            Background::Daemon(this) => daemon = Some(this),
        }
    }
    let error_log = log_to(config.error_log.as_deref(), config.log_level, identity)?;
    raise_file_limit();
    let loader = Loader { words: words.to_vec(), environment };
    let upgrade = if sources.flags.upgrade { Upgrade::TakeOver } else { Upgrade::Fresh };
    let identity = Some(identity);
    let error_lines = error_log.clone();
    let main = worker_main(Arc::new(Rules));
    let around = RunOptions {
        loader,
        identity,
        error_log: error_lines,
        daemon,
        token,
        upgrade,
        main,
        signals,
    };
    let ended = control::run(config, around).map_err(CliError::Start);
    error_log.flush(LAST_WORDS);
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// Read once: whom the process becomes need not be able to.
fn token(config: &Config, sources: &Sources) -> Result<Option<Token>, CliError> {
    let path = config.admin.as_ref().and_then(|admin| admin.token_file.as_ref());
    let place = || sources.place("admin-token-file");
    let wrong = |what| CliError::Mistakes(vec![Mistake { place: place(), what }]);
    path.map(|path| Token::read(path)).transpose().map_err(wrong)
}

fn run_explain(flags: &ExplainFlags, sources: &Sources) -> Result<ExitCode, CliError> {
    let in_header = |what| CliError::Mistakes(vec![Mistake::in_flag("header", what)]);
    flags.header.iter().try_for_each(|text| value::header(text)).map_err(in_header)?;
    let mut config = configure(sources)?;
    // What a source does not answer belongs to the explanation; all else is for `--test`.
    let others = config.warnings.len();
    discovery::look_up(&mut config);
    for warning in &config.warnings[others..] {
        eprintln!("evener: warning: {warning}");
    }
    let place = Place::Argument("PATH");
    let mistake = |what| CliError::Mistakes(vec![Mistake { place, what }]);
    let client = flags.client.as_deref().map(value::ip).transpose();
    let in_client = |what| CliError::Mistakes(vec![Mistake::in_flag("client", what)]);
    let client = client.map_err(in_client)?;
    let headers = &flags.header;
    let in_method = |what| CliError::Mistakes(vec![Mistake::in_flag("method", what)]);
    let method = value::method(&flags.method).map_err(in_method)?;
    let asked = AskedRequest { method, host: &flags.host, target: &flags.path, headers, client };
    let explained = explain(&config, asked).map_err(mistake)?;
    print(&explained.text)?;
    Ok(ExitCode::from(u8::from(!explained.is_routed)))
}

fn run_demo(flags: &DemoFlags, signals: &Signals) -> Result<ExitCode, CliError> {
    log_to_stderr(log::LevelFilter::Warn)?;
    let mistake = |what| CliError::Mistakes(vec![Mistake::in_flag("listen", what)]);
    let port = if flags.tls { 8443 } else { 8080 };
    let listen = flags.listen.clone().unwrap_or_else(|| format!("127.0.0.1:{port}"));
    let addresses = value::addresses(&listen, &value::resolve).map_err(mistake)?;
    let Some(Address::Tcp(first)) = addresses.first() else {
        return Err(mistake(format!("{listen:?}: the demo needs ip:port")));
    };
    let routes = demo::origins().map_err(CliError::Start)?;
    // Each thread takes turns of its own; with one, curl sees them.
    let mut words = ["evener", "--threads", "1"].map(str::to_owned).to_vec();
    words.extend(routes.iter().map(|route| format!("--route={route}")));
    let certificate = flags.tls.then(|| DemoCertificate::new(first.ip())).transpose();
    let certificate = certificate.map_err(|error| CliError::Start(StartError::Thread(error)))?;
    match &certificate {
        None => words.push(format!("--listen={listen}")),
        Some(made) => {
            words.extend([format!("--listen-tls={listen}"), format!("--cert={}", made.path())]);
        }
    }
    let (_, sources) = Sources::read(&words, &environment)?;
    let config = configure(&sources)?;
    demo::run(config, &routes, flags.tls, signals).map_err(CliError::Start)?;
    Ok(ExitCode::SUCCESS)
}

fn run_origin(flags: &OriginFlags) -> Result<ExitCode, CliError> {
    log_to_stderr(log::LevelFilter::Info)?;
    let mistake = |flag| move |what| CliError::Mistakes(vec![Mistake::in_flag(flag, what)]);
    let threads = config::threads(&flags.threads).map_err(mistake("threads"))?;
    let addresses = value::addresses(&flags.listen, &value::resolve).map_err(mistake("listen"))?;
    if flags.key.is_some() && flags.cert.is_none() {
        return Err(mistake("key")("requires --cert FILE: what it is the key of".to_owned()));
    }
    let tls = flags.cert.as_deref().map(|cert| certificate::load(cert, flags.key.as_deref()));
    let tls = tls.transpose().map_err(mistake("cert"))?;
    for address in addresses {
        let bound = origin::start(&address, &flags.name, threads, tls.as_ref())
            .map_err(|error| CliError::Start(StartError::Bind(address, error)))?;
        log::info!("origin {} listening on {bound}, {threads} threads", flags.name);
    }
    loop {
        std::thread::park();
    }
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
    let local = LocalAddresses::default();
    Config::new(sources, &value::resolve, &|ip| local.contains(ip)).map_err(CliError::Mistakes)
}

fn log_to_stderr(level: log::LevelFilter) -> Result<(), CliError> {
    log_to(None, level, Identity::default()).map(drop)
}

/// Opens the error log as whom the process is to become. What a reload may change is left to
/// `log::set_max_level`, unless `RUST_LOG` has the say.
fn log_to(
    path: Option<&Path>,
    level: log::LevelFilter,
    identity: Identity,
) -> Result<ErrorLog, CliError> {
    let opened = identity.open(|| ErrorLog::open(path)).map_err(|error| {
        let path = path.unwrap_or(Path::new("standard error"));
        CliError::Start(StartError::File(path.to_owned(), error))
    })?;
    let mut builder = env_logger::Builder::new();
    builder.filter_level(log::LevelFilter::Debug).parse_default_env();
    builder.target(env_logger::Target::Pipe(Box::new(opened.clone())));
    builder.init();
    if std::env::var_os("RUST_LOG").is_none() {
        log::set_max_level(level);
    }
    Ok(opened)
}
