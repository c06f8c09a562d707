//! Sockets that send datagrams for ever. Each is one flow, and IPVS asks no scheduler again while it goes on.

use std::{
    io,
    net::UdpSocket,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use portolan_core::addr::{Family, Protocol};

use super::world::{CLIENTS, PATIENCE, World, name, six};

/// How long a datagram is waited for, which is lost then.
const LOST: Duration = Duration::from_millis(200);

/// By then a flow has gone elsewhere, also if datagrams are lost on the way.
const MOVED: Duration = Duration::from_secs(2);

/// So many more answers show that it stays there.
const STEADY: usize = 50;

/// What became of a datagram: which server answered.
struct Heard {
    at: Instant,
    server: Option<String>,
}

/// Sends a datagram as soon as the last one is answered or lost, until nobody wants to know any more.
fn send_for_ever(socket: &UdpSocket, heard: &Sender<Heard>) {
    let ask = || -> io::Result<String> {
        let mut buffer = [0; 128];
        socket.send(b"?")?;
        let length = socket.recv(&mut buffer)?;
        let line = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        Ok(line.split(' ').next().unwrap_or_default().to_owned())
    };
    loop {
        let server = ask().ok();
        if heard.send(Heard { at: Instant::now(), server }).is_err() {
            return;
        }
    }
}

/// For how long a flow had no answer until `comes` answered, which took the place of `goes`.
fn moves(heard: &Receiver<Heard>, goes: &str, comes: &str) -> Result<Duration> {
    let mut last = None;
    loop {
        let Heard { at, server } = heard.recv_timeout(PATIENCE).context("the client has ended")?;
        let last = last.get_or_insert(at);
        match server {
            Some(server) if server == comes => return Ok(at - *last),
            Some(server) => {
                ensure!(server == goes, "{server} is neither {goes} nor {comes}");
                *last = at;
            }
            None => ensure!(at - *last < MOVED, "after {:?} the flow still leads to nobody", at - *last),
        }
    }
}

/// From now on `server` answers, and nobody else. How many datagrams are lost all the same.
fn stays(heard: &Receiver<Heard>, server: &str) -> Result<usize> {
    let (begun, mut answers, mut lost) = (Instant::now(), 0, 0);
    while answers < STEADY {
        ensure!(begun.elapsed() < PATIENCE, "{lost} datagrams were lost, and {answers} answered");
        match heard.recv_timeout(PATIENCE)?.server {
            Some(other) if other != server => anyhow::bail!("{other} is not {server}"),
            Some(_) => answers += 1,
            None => lost += 1,
        }
    }
    Ok(lost)
}

/// Each endpoint's server ends when another has taken its place. None of them comes back.
pub(crate) fn a_socket_that_sends_for_ever_goes_elsewhere(family: Family) -> Result<()> {
    let world = World::new(family, Protocol::Udp)?;
    let endpoints = six()?;
    let mut server = world.listen(endpoints[0])?;
    world.want(&endpoints[..1])?;
    thread::scope(|scope| {
        let clients = CLIENTS.map(|client| -> Result<_> {
            let socket = world.lab.host(client)?.datagrams(world.vip())?;
            socket.connect(world.vip())?;
            socket.set_read_timeout(Some(LOST))?;
            let (sender, heard) = channel();
            scope.spawn(move || send_for_ever(&socket, &sender));
            stays(&heard, &name(endpoints[0]))?;
            Ok((client, heard))
        });
        let clients = clients.into_iter().collect::<Result<Vec<_>>>()?;
        for pair in endpoints.windows(2) {
            let (goes, comes) = (pair[0], pair[1]);
            let next = world.listen(comes)?;
            world.want(&[comes])?;
            drop(std::mem::replace(&mut server, next));
            for (client, heard) in &clients {
                let silent = moves(heard, &name(goes), &name(comes)).context(*client)?;
                let lost = stays(heard, &name(comes)).context(*client)?;
                println!("{client} goes to {} after {silent:.0?}, and loses {lost} datagrams then", name(comes));
            }
        }
        Ok(())
    })
}
