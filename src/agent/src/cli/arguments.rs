//! From what the process was given to a command: Go's spelling, and the daemon without its name.
//!
//! A DaemonSet of kube-proxy's must go on with nothing but another image: there the program is called `kube-proxy` and
//! has flags, but no command.

use std::{ffi::OsString, path::Path};

use clap::{Command, CommandFactory as _, Parser as _};
use portolan_config::{flag_values, go_arguments};

use super::{Cli, Command as Chosen};

/// The commands that take the daemon's flags.
const WITH_FLAGS: [&str; 4] = ["run", "render", "diff", "check-config"];

/// Reads the arguments of the process, the program's own name first. What is wrong with flags of the daemon stays with
/// them, to be told with what is wrong with their values and with the file; who asks for help gets it all the same.
///
/// # Errors
/// The first that is wrong with another command. Asking for help or the version comes here too.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let Some((command, flags)) = with_flags(&arguments) else { return Cli::try_parse_from(arguments) };
    let (flags, mistakes) = go_arguments(&definition(command), flags.iter().cloned());
    let mut cli = Cli::try_parse_from(["portolan".into(), command.into()].into_iter().chain(flags))?;
    if let Chosen::Run(flags) | Chosen::Render(flags) | Chosen::Diff(flags) | Chosen::CheckConfig(flags) =
        &mut cli.command
    {
        flags.mistakes = mistakes;
    }
    Ok(cli)
}

/// Every flag of the daemon with its value, for a command line that [`parse`] has taken.
#[must_use]
pub fn values(arguments: impl IntoIterator<Item = OsString>) -> Vec<(String, String)> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let Some((command, flags)) = with_flags(&arguments) else { return Vec::new() };
    let command = definition(command);
    flag_values(&command, &go_arguments(&command, flags.iter().cloned()).0)
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
    use portolan_config::resolve;

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
    fn every_mistake_is_told_at_once_and_nothing_is_done() {
        let line = "kube-proxy --confg=x --masquerade-al --version --cleanup --conntrack-min=many";
        let Command::Run(flags) = command(line) else { panic!("{line}") };
        assert_eq!((flags.asked_version(), flags.asks_cleanup()), (None, false));
        let told = resolve(&flags, None).unwrap_err().to_string();
        let lines: Vec<_> = told.lines().collect();
        let [first, second, third] = lines[..] else { panic!("{told}") };
        assert!(first.contains("--confg") && first.contains("--config"), "{first}");
        assert!(second.contains("--masquerade-al`") && second.contains("--masquerade-all"), "{second}");
        assert!(third.contains("--conntrack-min"), "{third}");
    }
}
