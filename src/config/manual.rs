//! The manual pages and the completions of shells, made from the command line itself.

use std::io;

use clap::CommandFactory;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;
use clap_mangen::Man;

use super::cli::Cli;
use super::log_level::LOG_LEVELS;
use crate::upstream::settings::Policy;

/// What the page about the balancer says besides what the command line knows.
const SECTIONS: &str = include_str!("manual.roff");

/// Where pages of subcommands lead.
const SEE_ALSO: &str = ".SH \"SEE ALSO\"\n.BR evener (1)\n";

/// Why there is no page.
#[derive(Debug)]
pub enum ManualError {
    /// There is no such subcommand; these are.
    Unknown(Vec<String>),
    /// It could not be written.
    Io(io::Error),
}

/// The manual page of a subcommand, or of the balancer, in roff.
pub fn page(command: Option<&str>) -> Result<String, ManualError> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    let Some(name) = command else {
        // All flags in one paragraph would help nobody.
        let cli = cli.override_usage("evener [FLAGS]\nevener COMMAND [FLAGS]");
        return render(cli, SECTIONS).map_err(ManualError::Io);
    };
    let Some(found) = cli.find_subcommand(name) else {
        let names = cli.get_subcommands().map(|command| command.get_name().to_owned());
        return Err(ManualError::Unknown(names.collect()));
    };
    render(found.clone(), SEE_ALSO).map_err(ManualError::Io)
}

fn render(command: clap::Command, sections: &str) -> io::Result<String> {
    let has_subcommands = command.has_subcommands();
    let version = concat!("Evener ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).source(version).manual("Evener");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend_from_slice(sections.as_bytes());
    String::from_utf8(page).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The script that has a shell complete the command line.
pub fn completions(shell: Shell) -> String {
    let policies = Policy::ALL.map(Policy::name);
    let of = |names: &[&'static str]| PossibleValuesParser::new(names.iter().copied());
    // Only here: what is wrong with a value is said in our own words.
    let mut command = Cli::command()
        .mut_arg("policy", |arg| arg.value_parser(of(&policies)))
        .mut_arg("log_level", |arg| arg.value_parser(of(&LOG_LEVELS)))
        .mut_arg("access_log_format", |arg| arg.value_parser(of(&["combined", "json"])));
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "evener", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_flag_and_leads_to_the_pages_of_subcommands() {
        let page = page(None).expect("a page");
        let command = Cli::command();
        for long in command.get_arguments().filter_map(|arg| arg.get_long()) {
            let escaped = long.replace('-', "\\-");
            assert!(page.contains(&format!("\\fB\\-\\-{escaped}\\fR")), "{long}");
        }
        for name in command.get_subcommands().map(clap::Command::get_name) {
            assert!(page.contains(&format!("evener\\-{name}(1)")), "{name}");
        }
    }

    #[test]
    fn each_subcommand_has_its_page() {
        for name in Cli::command().get_subcommands().map(clap::Command::get_name) {
            let page = page(Some(name)).expect("a page");
            assert!(page.contains(&format!(".TH evener-{name} 1")), "{page}");
        }
        assert!(
            matches!(page(Some("balance")), Err(ManualError::Unknown(names)) if names.len() > 3)
        );
    }

    #[test]
    fn each_shell_completes_flags_and_subcommands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completions(shell);
            let words = ["max-requests", "explain", "least_requests", "debug", "combined"];
            for word in words {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
