//! Connections that last longer than their endpoint.

use std::{
    io::ErrorKind,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::{
    libc::linger,
    sys::{
        signal::Signal,
        socket::{setsockopt, sockopt::Linger},
    },
};
use portolan_core::addr::{Family, Protocol};
use portolan_e2e::{
    daemon::until,
    probe::{Outcome, still_echoes},
};

use super::world::{Endpoint, World, six};

/// Longer than between two questions whether a destination is empty.
const ASKED: Duration = Duration::from_secs(5);

/// They are alive all the time in which a destination is asked about.
fn go_on(connections: &[TcpStream]) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < ASKED {
        connections.iter().try_for_each(still_echoes)?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Ends a connection by a reset, which IPVS forgets within 10 s; after an orderly end it takes 2 minutes.
fn reset(connection: TcpStream) -> Result<()> {
    setsockopt(&connection, Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    drop(connection);
    Ok(())
}

/// Of its destination, if it has one.
fn weight(world: &World, endpoint: Endpoint) -> Result<Option<u32>> {
    Ok(world.destinations()?.get(&world.socket(endpoint)).map(|destination| destination.weight))
}

/// Its destination goes once the connections to an endpoint have ended.
fn goes_with_its_connections(world: &World, gone: Endpoint, connections: Vec<TcpStream>) -> Result<()> {
    let mut connections = connections.into_iter();
    let last = connections.next();
    connections.try_for_each(reset)?;
    go_on(last.as_slice())?;
    ensure!(weight(world, gone)? == Some(0));
    last.into_iter().try_for_each(reset)?;
    until("the destination to go", || Ok(weight(world, gone)?.is_none().then_some(())))
}

pub(crate) fn a_connection_goes_on_to_its_end(family: Family) -> Result<()> {
    let world = World::new(family, Protocol::Tcp)?;
    let [gone, stays, ..] = six()?;
    let _servers = [world.listen(gone)?, world.listen(stays)?];
    world.want(&[gone])?;
    let connections = world.connections()?;
    world.want(&[stays])?;
    ensure!(weight(&world, gone)? == Some(0));
    world.meets(&[stays])?;
    go_on(&connections)?;
    world.meets(&[stays])?;
    goes_with_its_connections(&world, gone, connections)?;
    ensure!(world.destinations()?.len() == 1);
    world.meets(&[stays])
}

/// However it ends.
pub(crate) fn a_connection_goes_on_across_a_restart(family: Family) -> Result<()> {
    let mut world = World::new(family, Protocol::Tcp)?;
    let [gone, stays, ..] = six()?;
    let _servers = [world.listen(gone)?, world.listen(stays)?];
    world.want(&[gone])?;
    let connections = world.connections()?;
    world.want(&[stays])?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        world.restart(signal)?;
        go_on(&connections)?;
        ensure!(weight(&world, gone)? == Some(0));
        world.meets(&[stays])?;
    }
    goes_with_its_connections(&world, gone, connections)
}

pub(crate) fn a_connection_goes_on_when_its_service_is_deleted(family: Family) -> Result<()> {
    let mut world = World::new(family, Protocol::Tcp)?;
    let [one, other, ..] = six()?;
    let _servers = [world.listen(one)?, world.listen(other)?];
    world.want(&[one])?;
    let connections = world.connections()?;
    world.want(&[other])?;
    world.delete_service()?;
    until("the Service to take no connection", || {
        Ok::<_, anyhow::Error>((weight(&world, other)? != Some(1)).then_some(()))
    })?;
    for _ in 0..2 {
        let outcomes = world.outcomes()?;
        // IPVS itself refuses what the node sends, before any rule that drops it: in IPv4 alone, where it has a way to say so.
        let of_the_node = if family == Family::V4 { Outcome::Refused } else { Outcome::Silent };
        ensure!(outcomes == [Outcome::Silent, Outcome::Silent, of_the_node], "{outcomes:?}");
        go_on(&connections)?;
        ensure!(world.is_served()? == (true, true));
        // Whoever comes next goes on with it.
        world.restart(Signal::SIGKILL)?;
    }
    connections.into_iter().try_for_each(reset)?;
    until("server and address to go", || Ok((world.is_served()? == (false, false)).then_some(())))
}

pub(crate) fn an_endpoint_that_comes_back_takes_connections_again(family: Family) -> Result<()> {
    let world = World::new(family, Protocol::Tcp)?;
    let [returns, stays, ..] = six()?;
    let _servers = [world.listen(returns)?, world.listen(stays)?];
    world.want(&[returns])?;
    let connections = world.connections()?;
    for _ in 0..3 {
        world.want(&[stays])?;
        world.meets(&[stays])?;
        world.want(&[returns, stays])?;
        world.meets(&[returns, stays])?;
    }
    let destination = world.destinations()?.get(&world.socket(returns)).copied();
    ensure!(destination.is_some_and(|known| known.connections >= 3), "it is another destination: {destination:?}");
    go_on(&connections)
}

/// What comes of it then is for nobody.
pub(crate) fn an_idle_connection_is_forgotten_after_the_timeout_of_ipvs(family: Family) -> Result<()> {
    let world = World::new(family, Protocol::Tcp)?;
    let [endpoint, ..] = six()?;
    let _server = world.listen(endpoint)?;
    world.want(&[endpoint])?;
    world.node()?.command("ipvsadm").args(["--set", "1", "0", "0"]).expect_exit(0)?;
    let connections = world.connections()?;
    until("IPVS to forget them", || {
        Ok::<_, anyhow::Error>(world.destinations()?.values().all(|known| known.connections == 0).then_some(()))
    })?;
    let ended = connections.iter().map(|connection| still_echoes(connection).map_err(|error| error.kind()));
    let ended: Vec<_> = ended.collect();
    ensure!(ended.iter().all(|ended| *ended == Err(ErrorKind::ConnectionReset)), "{ended:?}");
    Ok(())
}
