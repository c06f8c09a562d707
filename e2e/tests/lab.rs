//! The lab without Portolan: before any rule, every host reaches every other with its own address.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use portolan_core::addr::{Family, Protocol};
use portolan_e2e::{
    Error, Lab, Options,
    cast::{CAST, Target},
    harness::{self, Failure, Test},
    probe::Outcome,
};

const PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let test =
        |name: &str, work: fn() -> Result<(), Trouble>| Test::new(name, move || work().map_err(|trouble| trouble.0));
    let tests = vec![
        test("everybody reaches everybody", everybody_reaches_everybody),
        test("a port without a server is refused", a_port_without_a_server_is_refused),
        test("an address that nobody has is silence", an_address_that_nobody_has_is_silence),
        test("nodes have a default route or not", nodes_have_a_default_route_or_not),
        test("rules of one lab are not in another", rules_of_one_lab_are_not_in_another),
    ];
    harness::run(|| Ok::<_, Failure>(tests), || ())
}

/// What a test says when it fails.
struct Trouble(Failure);

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self(error.chain())
    }
}

fn expect(what: &str, outcome: &Outcome, expected: &Outcome) -> Result<(), Trouble> {
    if outcome == expected { Ok(()) } else { Err(Trouble(format!("{what}: {outcome:?}, expected {expected:?}"))) }
}

fn everybody_reaches_everybody() -> Result<(), Trouble> {
    let lab = Lab::new(Options::default())?;
    let protocols = [Protocol::Tcp, Protocol::Udp];
    let targets =
        CAST.iter().flat_map(|member| protocols.map(|protocol| Target { host: member.name, port: PORT, protocol }));
    let _servers = lab.serve(targets.clone())?;
    for client in lab.hosts() {
        for target in targets.clone().filter(|target| target.host != client.name()) {
            for family in Family::ALL {
                let to = SocketAddr::new(lab.host(target.host)?.member().address(family), PORT);
                let what = format!("{} -> {target} ({family}, {})", client.name(), target.protocol);
                match client.connect(target.protocol, to, PATIENCE)? {
                    Outcome::Answered(answer)
                        if answer.server == target.to_string()
                            && answer.source.ip() == client.member().address(family) => {}
                    other => return Err(Trouble(format!("{what}: {other:?}"))),
                }
            }
        }
    }
    Ok(())
}

fn a_port_without_a_server_is_refused() -> Result<(), Trouble> {
    let lab = Lab::new(Options::default())?;
    let client = lab.host("outside")?;
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for host in ["node-a", "pod-b1"] {
            for family in Family::ALL {
                let to = SocketAddr::new(lab.host(host)?.member().address(family), PORT);
                // More often than the kernel's limit of ICMP errors allows, which the lab lifts.
                for outcome in client.connections(protocol, to, PATIENCE, 20)? {
                    expect(&format!("{to}/{protocol}"), &outcome, &Outcome::Refused)?;
                }
            }
        }
    }
    Ok(())
}

fn an_address_that_nobody_has_is_silence() -> Result<(), Trouble> {
    let lab = Lab::new(Options::default())?;
    for client in ["pod-a1", "outside"] {
        for to in ["10.96.0.77:80", "203.0.113.77:80", "[fd00:10:96::77]:80", "[2001:db8:113::77]:80"] {
            let to: SocketAddr = to.parse().map_err(|_| Trouble(to.to_owned()))?;
            let outcome = lab.host(client)?.connect(Protocol::Tcp, to, Duration::from_millis(300))?;
            expect(&format!("{client} -> {to}"), &outcome, &Outcome::Silent)?;
        }
    }
    Ok(())
}

fn nodes_have_a_default_route_or_not() -> Result<(), Trouble> {
    let to = SocketAddr::from(([203, 0, 113, 77], 80));
    for (default_routes, expected) in [(true, Outcome::Silent), (false, Outcome::Unreachable)] {
        let lab = Lab::new(Options { default_routes })?;
        let outcome = lab.host("node-a")?.connect(Protocol::Tcp, to, Duration::from_millis(300))?;
        expect(&format!("default routes: {default_routes}"), &outcome, &expected)?;
    }
    Ok(())
}

fn rules_of_one_lab_are_not_in_another() -> Result<(), Trouble> {
    let closed = Lab::new(Options::default())?;
    let open = Lab::new(Options::default())?;
    let rules = "table ip t { chain c { type filter hook forward priority 0; policy drop; }; }";
    closed.host("node-a")?.command("nft").args(["-f", "-"]).input(rules).expect_exit(0)?;
    for (lab, expected) in [(&closed, Outcome::Silent), (&open, Outcome::Refused)] {
        let to = SocketAddr::new(lab.host("pod-b1")?.member().address(Family::V4), PORT);
        let outcome = lab.host("pod-a1")?.connect(Protocol::Tcp, to, Duration::from_millis(300))?;
        expect("pod-a1 -> pod-b1", &outcome, &expected)?;
    }
    Ok(())
}
