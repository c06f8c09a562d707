//! The command line.
//!
//! What is written here is checked here: a command gets values that are in range and of their final type
//! (`values.rs`).

mod node;
mod values;

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use node::NodeOptions;
pub use values::{Asked, ClusterCidr, Hostname, MasqueradeBit, NodePortList, ValueError};

/// Portolan programs Kubernetes Services into the Linux kernel, in the place of kube-proxy.
///
/// Log lines go to stderr; the environment variable RUST_LOG chooses them (error, warn, info, debug or trace; default
/// info).
#[derive(Debug, Parser)]
#[command(name = "portolan", version, propagate_version = true)]
pub struct Cli {
    /// How log lines are written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Program the Services of manifests and keep them programmed
    ///
    /// Changes of the manifests are picked up as they happen, and so are changes that other programs make to
    /// Portolan's rules: those are repaired. SIGTERM and SIGINT end it and leave the rules in place; the next start
    /// adopts them.
    #[command(after_help = "\
Exit codes: 0 ended by a signal, or with --once everything is programmed; 1 error; 3 with --once, something in the
manifests was refused and everything else is programmed.

Example: portolan run --mode=nftables --manifests /etc/portolan/manifests --cluster-cidr 10.244.0.0/16")]
    Run(Run),
    /// Print the rules for manifests as nft syntax; the kernel is not asked
    ///
    /// What is refused is reported on stderr and left out.
    #[command(after_help = "\
Exit codes: 0 the rules were printed; 1 error; 3 something in the manifests was refused, the rules for everything else
were printed.

Example: portolan render -f services.yaml | nft -c -f -")]
    Render(Desired),
    /// Compare the kernel with what manifests want; nothing is changed
    #[command(after_help = "\
Exit codes: 0 converged, the kernel holds what the manifests want; 2 drift, the differences are printed; 1 error.

Example: portolan diff -f /etc/portolan/manifests")]
    Diff(Desired),
    /// Show the frontends and endpoints that the kernel holds, or what in manifests is refused
    #[command(after_help = "\
Exit codes: 0 listed; 1 error.

Examples: portolan list -o json
          portolan list --counters
          portolan list --rejected -f services.yaml")]
    List(List),
    /// Say what becomes of a packet, by the rules that the kernel holds; none is sent
    ///
    /// The packet is the first one of a connection. Where the kernel draws lots, every endpoint is listed with its exact
    /// chance. Not asked are routes and the rules of other programs.
    #[command(after_help = "\
Exit codes: 0 an endpoint gets it, or no rule takes it; 2 it is rejected or dropped, or may be; 1 error.

Examples: portolan trace --from 10.244.1.11 --to 10.96.0.1:443/tcp
          portolan trace --from fd00::7 --outside --to [2001:db8::1]:53/udp -o json
          portolan trace --from 10.244.1.11 --to 10.96.0.1/icmp")]
    Trace(Trace),
    /// Remove everything of Portolan's from the kernel
    ///
    /// Services stop working on this node. Objects of other programs are not touched.
    #[command(after_help = "\
Exit codes: 0 nothing of Portolan's is left; 1 error.

Example: portolan cleanup")]
    Cleanup,
}

/// `portolan run`
#[derive(Debug, Args)]
pub struct Run {
    /// Which Services, for which node.
    #[command(flatten)]
    pub desired: Desired,
    /// Program the manifests as they are now, and end
    #[arg(long)]
    pub once: bool,
}

/// What is wanted: manifests, and the node that they are programmed for.
#[derive(Debug, Args)]
pub struct Desired {
    /// A file of Kubernetes YAML or JSON, or a folder of them (*.yaml, *.yml, *.json; not its subfolders)
    #[arg(short = 'f', long, value_name = "PATH")]
    pub manifests: PathBuf,
    /// Which part of the kernel is programmed
    #[arg(long, value_name = "MODE", default_value = "nftables")]
    pub mode: Mode,
    /// The node.
    #[command(flatten)]
    pub node: NodeOptions,
}

/// The heading in the help of `list` over what goes with --rejected only.
const WITH_REJECTED: &str = "Options of --rejected";

/// `portolan list`
#[derive(Debug, Args)]
#[command(mut_group("NodeOptions", |group| group.requires("rejected")))]
pub struct List {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: OutputFormat,
    /// Show how many connections came to each frontend, and how many were refused and why
    ///
    /// A count begins anew when its frontend gets its first endpoint or loses its last one.
    #[arg(long, conflicts_with = "rejected")]
    pub counters: bool,
    /// Show what in the manifests is refused or served otherwise than written; the kernel is not asked
    #[arg(long, requires = "manifests")]
    pub rejected: bool,
    /// A file of Kubernetes YAML or JSON, or a folder of them
    #[arg(short = 'f', long, value_name = "PATH", requires = "rejected", help_heading = WITH_REJECTED)]
    pub manifests: Option<PathBuf>,
    /// The node that they are for.
    #[command(flatten, next_help_heading = WITH_REJECTED)]
    pub node: NodeOptions,
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

/// Which part of the kernel is programmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Two tables of Portolan's own, for IPv4 and IPv6
    Nftables,
}

/// How `list` and `trace` print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Columns for people
    Table,
    /// JSON for programs
    Json,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use portolan_core::{
        addr::PerFamily,
        model::{DetectLocal, NodePortAddresses},
    };

    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn node_options_are_the_same_everywhere() {
        for command in ["run --mode=nftables --once --manifests x", "render --mode nftables -f x", "diff -f x"] {
            let line = format!(
                "portolan {command} --hostname-override Node-A --cluster-cidr 10.0.0.0/8,fd00::/48 --nodeport-addresses \
                 192.168.0.0/16"
            );
            let desired = match parse(&line).unwrap().command {
                Command::Run(Run { desired, .. }) | Command::Render(desired) | Command::Diff(desired) => desired,
                other => panic!("{other:?}"),
            };
            let config = desired.node.node_config().unwrap();
            assert_eq!(desired.manifests, PathBuf::from("x"));
            assert_eq!(config.hostname, "node-a");
            let cidrs = PerFamily { v4: Some("10.0.0.0/8".parse().unwrap()), v6: Some("fd00::/48".parse().unwrap()) };
            assert_eq!(config.detect_local, DetectLocal::ClusterCidr(cidrs));
            assert_eq!(config.nodeport_addresses, NodePortAddresses::Cidrs(vec!["192.168.0.0/16".parse().unwrap()]));
        }
        let line = "portolan list --rejected -f x --hostname-override Node-A --nodeport-addresses 10.0.0.0/8";
        let Command::List(list) = parse(line).unwrap().command else { panic!() };
        assert_eq!(list.node.node_config().unwrap().hostname, "node-a");
        let Command::Run(run) = parse("portolan run -f x").unwrap().command else { panic!() };
        assert_eq!(run.desired.node.node_config().unwrap().nodeport_addresses, NodePortAddresses::Primary);
        assert!(!run.once);
    }

    #[test]
    fn a_bad_value_is_answered_with_the_flag_the_value_and_the_rule() {
        for (arguments, parts) in [
            ("render -f x --cluster-cidr 10.0.0.0", ["--cluster-cidr", "10.0.0.0", "10.0.0.0/8"]),
            ("render -f x --cluster-cidr 10.0.0.0/8,11.0.0.0/8", ["--cluster-cidr", "11.0.0.0/8", "second IPv4"]),
            ("render -f x --cluster-cidr 0.0.0.0/0", ["--cluster-cidr", "0.0.0.0/0", "every address"]),
            ("render -f x --cluster-cidr 10.0.0.0/33", ["--cluster-cidr", "10.0.0.0/33", "CIDR"]),
            ("render -f x --nodeport-addresses primary,10.0.0.0/8", ["--nodeport-addresses", "primary", "alone"]),
            ("render -f x --nodeport-addresses ,", ["--nodeport-addresses", ",", "empty"]),
            ("render -f x --hostname-override ", ["--hostname-override", "''", "blank"]),
            ("render -f x --iptables-masquerade-bit 32", ["--iptables-masquerade-bit", "32", "0 to 31"]),
            ("render -f x --pod-bridge-interface a/b", ["--pod-bridge-interface", "a/b", "1 to 15"]),
            ("render -f x --detect-local-mode Pod", ["--detect-local-mode", "Pod", "ClusterCIDR, NodeCIDR"]),
            ("run -f x --mode ipvs", ["--mode", "ipvs", "nftables"]),
            ("list --rejected", ["--manifests", "<PATH>", "required"]),
            ("list -f x", ["--rejected", "not provided", "required"]),
            ("list --hostname-override a", ["--rejected", "not provided", "required"]),
            ("list --nodeport-addresses primary", ["--rejected", "not provided", "required"]),
            ("trace --from 10.0.0.1 --to 10.0.0.2:80", ["--to", "10.0.0.2:80", "10.96.0.1:443/tcp"]),
            ("trace --from 10.0.0.1 --to 10.0.0.2/icmp --pod --outside", ["--pod", "--outside", "cannot be used"]),
            ("list -o yaml", ["--output", "yaml", "table, json"]),
        ] {
            let message = parse(&format!("portolan {arguments}")).unwrap_err();
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
