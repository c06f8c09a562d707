//! The lab without Portolan: before any rule, every host reaches every other with its own address.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use portolan_core::addr::{Family, Protocol};
use portolan_e2e::{
    Error, Lab, Options,
    cast::{self, CAST, Target},
    destination::Destination,
    harness::{self, Failure, Test},
    probe::Outcome,
    scenario::AddressChange,
    server::Listener,
};

const PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let test =
        |name: &str, work: fn() -> Result<(), Trouble>| Test::new(name, move || work().map_err(|trouble| trouble.0));
    let tests = vec![
        test("everybody reaches everybody", everybody_reaches_everybody),
        test("pods on a bridge are known by its name", pods_on_a_bridge_are_known_by_its_name),
        test("who stands in for an address sees the client", who_stands_in_for_an_address_sees_the_client),
        test("addresses come and go", addresses_come_and_go),
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
    reaches_everybody(&Lab::new(&Options::default())?)
}

fn reaches_everybody(lab: &Lab) -> Result<(), Trouble> {
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

fn bridged() -> Result<Lab, Error> {
    Lab::new(&Options { pod_bridge: Some("cni0".to_owned()), ..Options::default() })
}

/// Also what goes back to the pod that it came from: as through a Service, but for iifname in the place of a detector.
fn pods_on_a_bridge_are_known_by_its_name() -> Result<(), Trouble> {
    let lab = bridged()?;
    reaches_everybody(&lab)?;
    let pods = ["pod-a1", "pod-a2"].map(|host| Target { host, port: PORT, protocol: Protocol::Tcp });
    let _servers = lab.serve(pods)?;
    let rules = "table ip t {
        chain d {
            type nat hook prerouting priority -100;
            iifname cni0 ip daddr 10.96.0.10 tcp dport { 1, 2 } dnat to tcp dport map { 1 : 10.244.1.11, 2 : 10.244.1.12 }:8080
        }
        chain s { type nat hook postrouting priority 100; ct status dnat ip saddr 10.244.1.11 ip daddr 10.244.1.11 masquerade; }
    }";
    let node = lab.host("node-a")?;
    node.command("nft").args(["-f", "-"]).input(rules).expect_exit(0)?;
    for (port, server, source) in [(1, "pod-a1:8080", node), (2, "pod-a2:8080", lab.host("pod-a1")?)] {
        let to = SocketAddr::from(([10, 96, 0, 10], port));
        match lab.host("pod-a1")?.connect(Protocol::Tcp, to, PATIENCE)? {
            Outcome::Answered(answer)
                if answer.server == server && answer.source.ip() == source.member().address(Family::V4) => {}
            other => return Err(Trouble(format!("{server}: {other:?}"))),
        }
    }
    Ok(())
}

fn who_stands_in_for_an_address_sees_the_client() -> Result<(), Trouble> {
    let lab = Lab::new(&Options::default())?;
    let addresses = ["10.96.0.77", "203.0.113.77", "fd00:10:96::77", "2001:db8:113::77"];
    let addresses: BTreeSet<IpAddr> = addresses.iter().filter_map(|text| text.parse().ok()).collect();
    lab.stand_in(&addresses)?;
    let protocols = [Protocol::Tcp, Protocol::Udp];
    let places = addresses.iter().map(|address| SocketAddr::new(*address, PORT));
    let places = places.flat_map(|at| protocols.map(|protocol| (protocol, at)));
    let _servers = lab.listen(places.clone().map(|(protocol, at)| Listener { host: cast::OUTSIDE, protocol, at }))?;
    // What `outside` sends itself goes by way of node-a, and is dropped there.
    let drop =
        "table inet t { chain c { type filter hook forward priority 0; iifname lan ip daddr 203.0.113.77 drop; }; }";
    lab.host("node-a")?.command("nft").args(["-f", "-"]).input(drop).expect_exit(0)?;
    for client in lab.hosts() {
        for (protocol, at) in places.clone() {
            let what = format!("{} -> {at}/{protocol}", client.name());
            if client.name() == cast::OUTSIDE && at.ip() == IpAddr::from([203, 0, 113, 77]) {
                expect(&what, &client.connect(protocol, at, Duration::from_millis(200))?, &Outcome::Silent)?;
                continue;
            }
            match client.connect(protocol, at, PATIENCE)? {
                Outcome::Answered(answer)
                    if answer.at == at && answer.source.ip() == client.member().address(Family::of(at.ip())) => {}
                other => return Err(Trouble(format!("{what}: {other:?}"))),
            }
            let echo = client.ask(None, Destination::Echo(at.ip()), PATIENCE)?;
            expect(&format!("{} -> {}/icmp", client.name(), at.ip()), &echo, &Outcome::Echoed)?;
        }
    }
    Ok(())
}

/// A client binds to an address that its host has, in every protocol, and to no other.
fn addresses_come_and_go() -> Result<(), Trouble> {
    let lab = Lab::new(&Options::default())?;
    let (host, address) = (lab.host("node-a")?, IpAddr::from([192, 168, 100, 77]));
    let change = |added| AddressChange { host: host.member(), address, prefix: 24, added };
    let at = SocketAddr::new(lab.host("node-b")?.member().address(Family::V4), PORT);
    let protocols = [Protocol::Tcp, Protocol::Udp];
    let _servers = lab.listen(protocols.map(|protocol| Listener { host: "node-b", protocol, at }))?;
    lab.change_addresses(&[change(true)])?;
    for protocol in protocols {
        match host.ask(Some(address), Destination::Port(protocol, at), PATIENCE)? {
            Outcome::Answered(answer) if answer.source.ip() == address => {}
            other => return Err(Trouble(format!("{protocol}: {other:?}"))),
        }
    }
    expect("an echo", &host.ask(Some(address), Destination::Echo(at.ip()), PATIENCE)?, &Outcome::Echoed)?;
    lab.change_addresses(&[change(false)])?;
    match host.ask(Some(address), Destination::Port(Protocol::Tcp, at), PATIENCE) {
        Err(Error::Client { .. }) => Ok(()),
        other => Err(Trouble(format!("{other:?}"))),
    }
}

fn a_port_without_a_server_is_refused() -> Result<(), Trouble> {
    let lab = Lab::new(&Options::default())?;
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
    let lab = Lab::new(&Options::default())?;
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
        let lab = Lab::new(&Options { default_routes, ..Options::default() })?;
        let outcome = lab.host("node-a")?.connect(Protocol::Tcp, to, Duration::from_millis(300))?;
        expect(&format!("default routes: {default_routes}"), &outcome, &expected)?;
    }
    Ok(())
}

fn rules_of_one_lab_are_not_in_another() -> Result<(), Trouble> {
    let closed = Lab::new(&Options::default())?;
    let open = Lab::new(&Options::default())?;
    let rules = "table ip t { chain c { type filter hook forward priority 0; policy drop; }; }";
    closed.host("node-a")?.command("nft").args(["-f", "-"]).input(rules).expect_exit(0)?;
    for (lab, expected) in [(&closed, Outcome::Silent), (&open, Outcome::Refused)] {
        let to = SocketAddr::new(lab.host("pod-b1")?.member().address(Family::V4), PORT);
        let outcome = lab.host("pod-a1")?.connect(Protocol::Tcp, to, Duration::from_millis(300))?;
        expect("pod-a1 -> pod-b1", &outcome, &expected)?;
    }
    Ok(())
}
