//! Where connections are made: a network namespace in which all pods' addresses are local, and two of the pods live.
//!
//! ```text
//!   client 10.255.255.1 --TCP--> cluster IP --> a pod that is not there: refused at once
//!                                          \--> a pod that lives: accepted
//! ```
//!
//! So a Service that moves to the living pods is seen to have moved by the first connection that is not refused.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::cluster::POD_CIDR;

/// Pods that live, at port 8080.
const LIVING: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 255, 255, 2), Ipv4Addr::new(10, 255, 255, 3)];

/// From where connections come: the address of a pod, so that nothing is masqueraded.
const CLIENT: &str = "10.255.255.1";

/// The cluster IPs of [`portolan_scripted::service`].
const CLUSTER_IPS: &str = "10.96.0.0/16";

/// A packet that nobody translates goes round in circles until its time is over.
const A_TRY: Duration = Duration::from_millis(50);

/// Makes the caller's network namespace such a place.
pub(crate) fn make() -> anyhow::Result<()> {
    ip("link set lo up")?;
    ip(&format!("route add local {POD_CIDR} dev lo"))?;
    ip(&format!("route add {CLUSTER_IPS} dev lo src {CLIENT}"))?;
    for pod in LIVING {
        let listener = TcpListener::bind((pod, 8080))?;
        // It ends with the process.
        thread::spawn(move || listener.incoming().for_each(drop));
    }
    Ok(())
}

/// Runs ip of iproute2.
pub(crate) fn ip(arguments: &str) -> anyhow::Result<()> {
    let status = Command::new("ip").args(arguments.split(' ')).status().context("ip of iproute2")?;
    ensure!(status.success(), "ip {arguments}: {status}");
    Ok(())
}

/// The cluster IP and port of a Service.
pub(crate) fn front(service: &Value) -> anyhow::Result<SocketAddr> {
    let address = service.pointer("/spec/clusterIP").and_then(Value::as_str).context("a Service without an address")?;
    Ok(SocketAddr::new(address.parse()?, 80))
}

/// The slice when its Service has moved to the living pods.
pub(crate) fn moved(mut slice: Value) -> Value {
    let endpoints = slice.get_mut("endpoints").and_then(Value::as_array_mut);
    for (endpoint, pod) in endpoints.into_iter().flatten().zip(LIVING) {
        endpoint["addresses"] = json!([pod]);
    }
    slice
}

/// Nobody accepts connections there in time.
#[derive(Debug, thiserror::Error)]
#[error("nobody accepts connections to {0}")]
pub(crate) struct TooLate(SocketAddr);

/// Connects again and again until a connection is accepted, and says when that was.
///
/// The pauses between tries grow with the time that has passed, to within 3 % of it: who waits must not take the processor
/// from whom it waits for.
pub(crate) fn landed(to: SocketAddr, since: Instant, limit: Duration) -> anyhow::Result<Duration> {
    while TcpStream::connect_timeout(&to, A_TRY).is_err() {
        ensure!(since.elapsed() < limit, TooLate(to));
        thread::sleep((since.elapsed() / 32).max(Duration::from_micros(10)));
    }
    Ok(since.elapsed())
}
