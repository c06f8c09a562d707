//! From what the process was given to a command: Go's spelling, and the daemon without its name.
//!
//! A DaemonSet of kube-proxy's must go on with nothing but another image: there the program is called `kube-proxy` and
//! has flags, but no command.

use std::{ffi::OsString, path::Path};

use clap::{Command, CommandFactory as _, Parser as _};
use portolan_config::{Problems, flag_values, go_arguments};

use super::Cli;

/// The commands that take the daemon's flags.
const WITH_FLAGS: [&str; 4] = ["run", "render", "diff", "check-config"];

/// The command line cannot be followed, or asks for help.
#[derive(Debug, thiserror::Error)]
pub enum CommandLineError {
    /// Flags of the daemon.
    #[error(transparent)]
    Flags(#[from] Problems),
    /// Anything else; the help and the version come here too.
    #[error(transparent)]
    Other(#[from] clap::Error),
}

/// Reads the arguments of the process, the program's own name first.
///
/// # Errors
/// All that is wrong with flags of the daemon, or the first that is wrong with another command.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, CommandLineError> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let Some((command, flags)) = with_flags(&arguments) else { return Ok(Cli::try_parse_from(arguments)?) };
    let flags = go_arguments(&definition(command), flags.iter().cloned())?;
    Ok(Cli::try_parse_from(["portolan".into(), command.into()].into_iter().chain(flags))?)
}

/// Every flag of the daemon with its value, for a command line that [`parse`] has taken.
#[must_use]
pub fn values(arguments: impl IntoIterator<Item = OsString>) -> Vec<(String, String)> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let Some((command, flags)) = with_flags(&arguments) else { return Vec::new() };
    let command = definition(command);
    flag_values(&command, &go_arguments(&command, flags.iter().cloned()).unwrap_or_default())
}

/// The command, and what stands behind it; none for a command of another kind.
fn with_flags(arguments: &[OsString]) -> Option<(&'static str, &[OsString])> {
    let (program, rest) = arguments.split_first()?;
    if Path::new(program).file_name().is_some_and(|name| name == "kube-proxy") {
        return Some(("run", rest));
    }
    let first = rest.first().and_then(|first| first.to_str());
    if let Some(command) = WITH_FLAGS.into_iter().find(|command| first == Some(*command)) {
        return Some((command, rest.get(1..).unwrap_or_default()));
    }
    let is_daemon = first.is_none_or(|first| first.starts_with('-') && !["-h", "--help", "-V"].contains(&first));
    is_daemon.then_some(("run", rest))
}

/// What a command takes.
fn definition(name: &str) -> Command {
    let mut cli = Cli::command();
    cli.build();
    cli.find_subcommand(name).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;

    fn command(line: &str) -> Command {
        parse(line.split_whitespace().map(Into::into)).unwrap().command
    }

    #[test]
    fn kube_proxys_command_lines_are_the_daemons() {
        for line in [
            "/usr/local/bin/kube-proxy --config=/var/lib/kube-proxy/config.conf --hostname-override=node-a",
            "portolan --config=/var/lib/kube-proxy/config.conf --hostname-override=node-a",
            "portolan run --config /var/lib/kube-proxy/config.conf --hostname_override node-a",
            "kube-proxy --config=x --config=/var/lib/kube-proxy/config.conf --hostname-override=node-a -v=2",
        ] {
            let Command::Run(flags) = command(line) else { panic!("{line}") };
            assert_eq!(flags.config(), Some("/var/lib/kube-proxy/config.conf"), "{line}");
            assert_eq!(flags.hostname_override.as_deref(), Some("node-a"), "{line}");
        }
        assert!(matches!(command("portolan"), Command::Run(_)));
        assert!(matches!(command("kube-proxy --v=2"), Command::Run(_)));
        assert!(matches!(command("portolan diff -f x"), Command::Diff(_)));
        assert!(matches!(command("portolan check-config --config=x"), Command::CheckConfig(_)));
        assert!(matches!(command("portolan list -o json"), Command::List(_)));
    }

    #[test]
    fn every_unknown_flag_is_told_at_once() {
        let error = parse(["kube-proxy", "--confg=x", "--masquerade-al"].map(Into::into)).unwrap_err().to_string();
        assert!(error.contains("confg") && error.contains("config"), "{error}");
        assert!(error.contains("masquerade-al") && error.contains("masquerade-all"), "{error}");
    }
}
