//! What a packet collects on its way, in each of the cases that chance makes, and what comes of all of them.
//!
//! ```text
//!   one in three is sent to the first endpoint:
//!     branch 1/1 ---> 1/3 at the first endpoint
//!                ---> 2/3 at the next rule
//! ```

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use super::{Asks, Chance, ChosenBy, Masquerade, Outcome, Packet, Policy, Sticky, Trace, TracedFrontend, Verdict};

/// The packet in one of the cases that chance makes.
#[derive(Debug, Clone)]
pub struct Branch {
    /// How likely the case is; `None` where a virtual server chooses by what a trace does not know.
    pub chance: Option<Chance>,
    /// Where the packet is sent by now.
    pub destination: IpAddr,
    /// To which port; 0 for one that asks none.
    pub port: u16,
    /// The mark that it has.
    pub mark: u32,
    /// Why bits of the mark were set.
    pub marked: Option<Masquerade>,
    /// Where rules have sent it.
    pub endpoint: Option<SocketAddr>,
    /// Whether it was for somebody else before (`IPS_DST_NAT`).
    pub translated: bool,
    /// Why it is masqueraded, where it is.
    pub masqueraded: Option<Masquerade>,
    /// For how many seconds a client is remembered, where that was asked before who remembers it.
    pub remembered_for: u32,
    /// Where the client is remembered.
    pub sticky: Option<Sticky>,
    /// What the packet was found to be for.
    pub frontend: Option<TracedFrontend>,
    /// What that asks for, as far as the packet has met it.
    pub policies: BTreeSet<Policy>,
    /// The steps of its way so far.
    pub steps: Vec<String>,
    /// The virtual server that has sent it on, if one did.
    pub chosen_by: Option<ChosenBy>,
}

impl Branch {
    /// The packet as it comes.
    #[must_use]
    pub const fn of(packet: &Packet) -> Self {
        Self {
            chance: Some(Chance::CERTAIN),
            destination: packet.destination,
            port: match packet.asks {
                Asks::Port(_, port) => port,
                // A checksum stands where others have the port; no rule has a port of ICMP.
                Asks::Echo => 0,
            },
            mark: 0,
            marked: None,
            endpoint: None,
            translated: false,
            masqueraded: None,
            remembered_for: 0,
            sticky: None,
            frontend: None,
            policies: BTreeSet::new(),
            steps: Vec::new(),
            chosen_by: None,
        }
    }

    /// So many cases of it.
    #[must_use]
    pub fn part(&self, cases: u32, of: u32) -> Self {
        Self { chance: self.chance.map(|chance| chance.times(cases, of)), ..self.clone() }
    }

    /// Sends it to an endpoint. The kernel says `ct status dnat` only where that changes something (`nf_nat_setup_info`).
    pub fn send_to(&mut self, to: SocketAddr) {
        self.translated |= to != SocketAddr::new(self.destination, self.port);
        (self.destination, self.port) = (to.ip(), to.port());
        self.endpoint = Some(to);
    }
}

/// The ends that branches have come to.
#[derive(Debug, Default)]
pub struct Ends(Vec<Outcome>);

impl Ends {
    /// A branch ends here. The same end is reached in several ways: its chances add up, and the first way is told.
    pub fn end(&mut self, branch: Branch, verdict: Verdict) {
        let Branch { chance, frontend, policies, steps, chosen_by, .. } = branch;
        match self.0.iter_mut().find(|outcome| outcome.verdict == verdict) {
            Some(outcome) => {
                outcome.chance = outcome.chance.zip(chance).map(|(one, other)| one.plus(other));
            }
            None => self.0.push(Outcome { chance, verdict, frontend, policies, steps, chosen_by }),
        }
    }

    /// A branch has gone through everything without being refused.
    pub fn arrive(&mut self, mut branch: Branch) {
        let (masqueraded, sticky) = (branch.masqueraded, branch.sticky.take());
        let verdict = branch.endpoint.map_or(Verdict::Untouched, |to| Verdict::Endpoint { to, masqueraded, sticky });
        self.end(branch, verdict);
    }

    /// All that may become of the packet.
    #[must_use]
    pub fn trace(mut self, doubts: Vec<String>) -> Trace {
        self.0.sort_by(|a, b| a.verdict.cmp(&b.verdict));
        Trace { outcomes: self.0, doubts }
    }
}
