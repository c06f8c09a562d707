//! Where a control plane runs: in the network namespace of the test binary, or on a host of a lab.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Command,
};

use super::{ADDRESS, Component, Error};
use crate::host::Host;

/// Of a control plane in the namespace of the test binary, for the Service `kubernetes` in a lab: nobody listens there.
const NOBODY: Ipv4Addr = Ipv4Addr::new(192, 168, 100, 11);

/// A network namespace, and the address by which the API server is known in it.
#[derive(Debug)]
pub(super) struct Place(Option<Host>);

impl Place {
    /// The namespace of the test binary, which has no link but its loopback, and that is down at first.
    pub(super) fn here() -> Result<Self, Error> {
        let status = Command::new("ip").args(["link", "set", "lo", "up"]).status().map_err(Error::system("ip"))?;
        if !status.success() {
            return Err(Error::Ended { component: "ip link".into(), log: String::new() });
        }
        Ok(Self(None))
    }

    pub(super) fn host(host: &Host) -> Self {
        Self(Some(host.clone()))
    }

    /// Where clients find the API server.
    pub(super) fn address(&self) -> String {
        self.0.as_ref().map_or_else(|| ADDRESS.to_owned(), |host| format!("{}:6443", host.member().v4))
    }

    /// Where the API server listens.
    pub(super) const fn bound(&self) -> IpAddr {
        IpAddr::V4(if self.0.is_some() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST })
    }

    /// The endpoint of the Service `kubernetes`.
    pub(super) fn advertised(&self) -> Ipv4Addr {
        self.0.as_ref().map_or(NOBODY, |host| host.member().v4)
    }

    /// Runs `work` there.
    pub(super) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        match &self.0 {
            None => Ok(work()),
            Some(host) => Ok(host.enter(work)?),
        }
    }

    /// Starts a component there, with a log in `folder`.
    pub(super) fn start(&self, name: &str, command: &mut Command, folder: &Path) -> Result<Component, Error> {
        self.enter(|| Component::start(name, command, folder))?
    }
}
