//! The command line.
//!
//! `run`, `render`, `diff` and `check-config` take the daemon's flags, in Go's spelling as in clap's: what is wrong with them is
//! found where the configuration file is judged too, in `portolan_config`. What other commands take is checked here.

mod arguments;
mod values;

use std::net::IpAddr;

use clap::{
    Arg, Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use portolan_config::{Flags, Mode};

pub use arguments::{parse, values};
pub use values::{Asked, ValueError};

use crate::backends;

/// Portolan programs Kubernetes Services into the Linux kernel, in the place of kube-proxy.
///
/// Called as `kube-proxy`, or without a command, it is the daemon: `portolan run`. Log lines go to stderr; where the environment
/// variable RUST_LOG is set it chooses them (error, warn, info, debug or trace), otherwise the daemon's flag -v does.
#[derive(Debug, Parser)]
#[command(name = "portolan", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Program the Services of the cluster, and keep them programmed: the daemon
    ///
    /// The flags are kube-proxy's, and so is the file that --config names. Services come from the API server, or with
    /// --manifests from files. Changes that other programs make to Portolan's rules are repaired. SIGTERM and SIGINT end it and
    /// leave the rules in place; the next start adopts them.
    #[command(after_help = "\
Exit codes: 0 ended by a signal, or with --once everything is programmed; 1 error; 3 with --once, something in the
manifests was refused and everything else is programmed.

Examples: portolan run --config=/var/lib/kube-proxy/config.conf --hostname-override=node-a
          portolan run --mode=nftables --manifests /etc/portolan/manifests --cluster-cidr 10.244.0.0/16")]
    Run(Box<Flags>),
    /// Print the rules for manifests, as the mode's own programs take them; the kernel is not asked
    ///
    /// In nftables mode that is nft. In ipvs mode there are three parts, each below the program that takes it: ip, ipvsadm and nft. It takes the flags and the file of `run`, and the mode that they say. What is refused is reported on stderr and left out.
    #[command(after_help = "\
Exit codes: 0 the rules were printed; 1 error; 3 something in the manifests was refused, the rules for everything else
were printed.

Example: portolan render --mode=nftables -f services.yaml | nft -c -f -")]
    Render(Box<Flags>),
    /// Compare the kernel with what manifests want; nothing is changed
    ///
    /// It takes the flags and the file of `run`, and the mode that they say.
    #[command(after_help = "\
Exit codes: 0 converged, the kernel holds what the manifests want; 2 drift, the differences are printed; 1 error.

Example: portolan diff -f /etc/portolan/manifests")]
    Diff(Box<Flags>),
    /// Say what is wrong with a command line of `run` and the file that it names, all of it; nothing is started
    ///
    /// Mistakes are told in the lines that `run` would log. What has no effect is listed too.
    #[command(after_help = "\
Exit codes: 0 `run` would start; 1 it would not.

Example: portolan check-config --config=/var/lib/kube-proxy/config.conf")]
    CheckConfig(Box<Flags>),
    /// Show the frontends and endpoints that the kernel holds, or what in manifests is refused
    ///
    /// Of virtual servers of IPVS it shows what `ipvsadm -Ln` does.
    #[command(after_help = "\
Exit codes: 0 listed; 1 error.

Examples: portolan list -o json
          portolan list --counters
          portolan list --rejected -f services.yaml")]
    List(List),
    /// Say what becomes of a packet, by the rules that the kernel holds; none is sent
    ///
    /// The packet is the first one of a connection. Where the kernel draws lots, every endpoint is listed with its exact
    /// chance. Where a virtual server of IPVS chooses, its scheduler is told; by connections or a hash it may choose each endpoint
    /// that is listed without a chance. Not asked are routes and the rules of other programs.
    #[command(after_help = "\
Exit codes: 0 an endpoint gets it, or no rule takes it; 2 it is rejected or dropped, or may be; 1 error.

Examples: portolan trace --from 10.244.1.11 --to 10.96.0.1:443/tcp
          portolan trace --from fd00::7 --outside --to [2001:db8::1]:53/udp -o json
          portolan trace --from 10.244.1.11 --to 10.96.0.1/icmp")]
    Trace(Trace),
    /// Remove everything of Portolan's from the kernel
    ///
    /// Services stop working on this node. Objects of other programs are not touched; those of kube-proxy are removed by
    /// the daemon's flag --cleanup, as kube-proxy has it.
    #[command(after_help = "\
Exit codes: 0 nothing of Portolan's is left, or with --dry-run it was listed; 1 error.

Examples: portolan cleanup
          portolan cleanup --mode nftables --dry-run")]
    Cleanup(Cleanup),
}

/// `portolan cleanup`
#[derive(Debug, Args)]
pub struct Cleanup {
    /// Only what this mode has put there [default: what any mode has]
    #[arg(long, value_name = "MODE", value_parser = modes())]
    pub mode: Option<Mode>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Those that there are.
fn modes() -> impl TypedValueParser<Value = Mode> {
    let names = backends::modes().map(Mode::name);
    PossibleValuesParser::new(names).try_map(|name| Mode::of(&name).ok_or("is no mode"))
}

/// The heading in the help of `list` over what goes with --rejected only.
const WITH_REJECTED: &str = "Options of --rejected";

/// `portolan list`
#[derive(Debug, Args)]
#[command(mut_args(needs_rejected))]
pub struct List {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: OutputFormat,
    /// Show how many connections came to each frontend, and how many were refused and why
    ///
    /// Connections are counted with `run --count-connections`, and in iptables mode always.
    /// A count begins anew when its frontend gets its first endpoint or loses its last one.
    #[arg(long, conflicts_with = "rejected")]
    pub counters: bool,
    /// Show what in the manifests is refused or served otherwise than written; the kernel is not asked
    #[arg(long, requires = "manifests")]
    pub rejected: bool,
    /// The manifests, and the node that they are for.
    #[command(flatten, next_help_heading = WITH_REJECTED)]
    pub flags: Box<Flags>,
}

/// The flags of the daemon say what the manifests are read for.
fn needs_rejected(argument: Arg) -> Arg {
    let is_of_list = ["output", "counters", "rejected", "help"].contains(&argument.get_id().as_str());
    if is_of_list { argument } else { argument.requires("rejected") }
}

/// `portolan trace`
#[derive(Debug, Args)]
pub struct Trace {
    /// The client's address
    #[arg(long, value_name = "IP")]
    pub from: IpAddr,
    /// What it asks: a port with its protocol (tcp, udp, sctp), or an address with `icmp` for an echo request
    #[arg(long, value_name = "IP:PORT/PROTOCOL")]
    pub to: Asked,
    /// The packet comes from a pod of this node, by a pod's interface
    ///
    /// Without one of these three it is guessed from the address, and the guess is shown.
    #[arg(long, group = "origin")]
    pub pod: bool,
    /// The packet comes from this node itself, or from a pod in its network
    #[arg(long, group = "origin")]
    pub node_local: bool,
    /// The packet comes from elsewhere
    #[arg(long, group = "origin")]
    pub outside: bool,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: OutputFormat,
}

/// How `list` and `trace` print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Columns for people
    Table,
    /// JSON for programs
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn answer(line: &str) -> Result<Cli, String> {
        parse(line.split(' ').map(Into::into)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bad_value_is_answered_with_the_flag_the_value_and_the_rule() {
        for (arguments, parts) in [
            ("list --rejected", ["--manifests", "<PATH>", "required"]),
            ("list -f x", ["--rejected", "not provided", "required"]),
            ("list --hostname-override a", ["--rejected", "not provided", "required"]),
            ("list --nodeport-addresses primary", ["--rejected", "not provided", "required"]),
            ("trace --from 10.0.0.1 --to 10.0.0.2:80", ["--to", "10.0.0.2:80", "10.96.0.1:443/tcp"]),
            ("trace --from 10.0.0.1 --to 10.0.0.2/icmp --pod --outside", ["--pod", "--outside", "cannot be used"]),
            ("list -o yaml", ["--output", "yaml", "table, json"]),
        ] {
            let message = answer(&format!("portolan {arguments}")).unwrap_err();
            for part in parts {
                assert!(message.contains(part), "{arguments}: {part:?} is not in {message}");
            }
        }
    }

    #[test]
    fn every_command_says_how_it_ends_and_gives_an_example() {
        for command in Cli::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Exit codes: 0") && help.contains("Example"), "{help}");
        }
    }
}
