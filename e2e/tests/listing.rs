//! Our transactions against our text: what `nft -f` makes of the text is what we write by netlink, to the byte.

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use portolan_core::{
    addr::{Family, Protocol},
    desired::{DesiredPort, PortChange, PortId},
    name::{ServiceName, ServicePortName},
    object::{Syncer, Tracker},
};
use portolan_e2e::{
    daemon::{Rules as _, lone, test},
    diff,
    harness::{self, Failure},
    host::Host,
    product::Portolan,
    scenario::Scenario,
};
use portolan_netlink::{
    Connection,
    wire::{Chain, Rule, Set, Table},
};
use portolan_nftables::{
    Nft, Nftables, TABLE,
    testing::{policy, port},
    text,
};

fn main() -> ExitCode {
    let tests = vec![
        test("our transaction is what nft makes of our text", our_transaction_is_what_nft_makes_of_our_text),
        test("every scenario lists as its text", every_scenario_lists_as_its_text),
        test("nft lists what it loads", nft_lists_what_it_loads),
    ];
    harness::run(|| Ok::<_, Failure>(tests), || ())
}

/// Every number of endpoints in both families, with NodePorts, and a name that is too long for a comment.
fn ports() -> Vec<DesiredPort> {
    let counts = (0..9).flat_map(|number| Family::ALL.map(|family| port(number, family, number % 8)));
    let mut ports: Vec<_> = counts.collect();
    let service = ServiceName { namespace: "n".repeat(63).into(), name: "s".repeat(63).into() };
    let name = ServicePortName { service, port: "p".repeat(15).into(), protocol: Protocol::Tcp };
    ports.extend(Family::ALL.map(|family| DesiredPort { name: name.clone(), ..port(20, family, 2) }));
    ports.extend(Family::ALL.map(|family| DesiredPort { name: name.clone(), ..port(22, family, 0) }));
    ports
}

fn our_transaction_is_what_nft_makes_of_our_text() -> Result<()> {
    let (ours, nfts) = (lone()?, lone()?);
    program(&ours, ports())?;
    nfts.nft(&rendered())?;
    let (by_us, by_nft) = (dump(&ours)?, dump(&nfts)?);
    ensure!(by_us.elements.values().map(Vec::len).sum::<usize>() > 150, "the dump shows too little");
    ensure!(by_us.text() == by_nft.text(), "nft (-), we (+):\n{}", diff::lines(&by_nft.text(), &by_us.text()));
    same_listing(&ours, &nfts)
}

fn program(node: &Host, ports: Vec<DesiredPort>) -> Result<()> {
    node.enter(|| {
        let mut syncer = Syncer::new(Nftables::open()?);
        syncer.set_policy(&policy());
        for desired in ports {
            // A Service in both families has two ids; here the number of endpoints makes two of the long name as well.
            let id = PortId { name: desired.name.clone().into(), family: desired.family };
            let id = if desired.endpoints.is_empty() { other(&id) } else { id };
            syncer.update(&PortChange { id, desired: Some(desired), loopback: None });
        }
        syncer.sync()?;
        Ok(())
    })?
}

fn other(id: &PortId) -> PortId {
    PortId { name: ServicePortName { port: "other".into(), ..(*id.name).clone() }.into(), family: id.family }
}

fn rendered() -> String {
    text(Tracker::rendered(&Nft, &policy(), &ports()).all_wanted())
}

fn same_listing(ours: &Host, nfts: &Host) -> Result<()> {
    let (by_us, by_nft) = (ours.listing()?, nfts.listing()?);
    ensure!(by_us == by_nft, "listed after nft -f (-), after our transaction (+):\n{}", diff::lines(&by_nft, &by_us));
    Ok(())
}

/// Everything in our tables as netlink tells it, but for handles.
#[derive(Debug, Default)]
struct Dump {
    tables: Vec<(Family, Table)>,
    chains: Vec<(Family, Chain)>,
    sets: Vec<(Family, Set)>,
    rules: Vec<(Family, Rule)>,
    /// As text, since a listed element borrows; sorted, since a hash table lists them in its own order.
    elements: BTreeMap<(Family, String), Vec<String>>,
}

impl Dump {
    fn text(&self) -> String {
        format!("{self:#?}")
    }
}

fn dump(node: &Host) -> Result<Dump> {
    node.enter(|| {
        let mut connection = Connection::open()?;
        let mut dump = Dump::default();
        for family in Family::ALL {
            // NFPROTO_IPV4 and NFPROTO_IPV6 of linux/netfilter.h.
            let number = if family == Family::V4 { 2 } else { 10 };
            dump.tables.extend(connection.tables(number)?.into_iter().map(|table| (family, table)));
            dump.chains.extend(connection.chains(number, TABLE)?.into_iter().map(|chain| (family, chain)));
            let rules = connection.rules(number, TABLE)?.into_iter();
            dump.rules.extend(rules.map(|rule| (family, Rule { handle: None, ..rule })));
            for set in connection.sets(number, TABLE)? {
                let mut elements: Vec<String> =
                    connection.elements(number, TABLE, &set.name, |elements: &mut Vec<_>, element| {
                        elements.push(format!("{element:?}"));
                        Ok(())
                    })?;
                elements.sort();
                dump.elements.insert((family, set.name.clone()), elements);
                dump.sets.push((family, set));
            }
        }
        Ok(dump)
    })?
}

/// `portolan render` of each scenario is accepted by `nft -c`, and what `portolan run --once` leaves lists as what nft
/// loads from it.
fn every_scenario_lists_as_its_text() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/scenarios");
    let portolan = Portolan::find()?;
    for scenario in Scenario::load_all(&folder)? {
        let checked = || -> Result<()> {
            let (ours, nfts) = (lone()?, lone()?);
            let refused = scenario.steps.first().is_some_and(|step| step.rejected);
            let text = portolan.render(&scenario, &scenario.input(), refused, &ours)?;
            nfts.command("nft").args(["-c", "-f", "-"]).input(text.clone()).expect_exit(0)?;
            ensure!(nfts.listing()?.is_empty(), "nft -c changed something");
            nfts.nft(&text)?;
            portolan.run_once(&scenario, &ours)?;
            same_listing(&ours, &nfts)
        };
        checked().with_context(|| scenario.name.clone())?;
    }
    Ok(())
}

/// `nft list ruleset` of the whole layout ends well, and is itself a ruleset that lists the same.
fn nft_lists_what_it_loads() -> Result<()> {
    let (first, second) = (lone()?, lone()?);
    program(&first, ports())?;
    let listed = first.listing()?;
    second.nft(&listed)?;
    same_listing(&first, &second)?;
    for part in ["ns/svc-8:http", "goto pick-7", "numgen random mod 4", "jump masquerade-always", "no such port"] {
        ensure!(listed.contains(part), "{part:?} is not in {listed}");
    }
    Ok(())
}
