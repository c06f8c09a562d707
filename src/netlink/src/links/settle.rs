//! When an address is the node's own. The kernel answers that a link has an address of IPv6 before packets to it are the node's: the
//! route is made by work that it has queued (`addrconf_dad_start`, `addrconf_dad_work` of net/ipv6/addrconf.c).

use std::{
    net::Ipv6Addr,
    thread,
    time::{Duration, Instant},
};

use super::{LinkError, Links};
use crate::channel::{Answer, Answers, Requests};

const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
/// `RTN_LOCAL`: packets are for this node.
const LOCAL: u8 = 2;
/// Of `struct rtmsg`: family, length of the destination, of the source, tos, table, protocol, scope, type, flags.
const TYPE: usize = 7;
const HEADER: [u8; 12] = [10, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// It takes a tenth of a millisecond where nothing else is queued. An address without a route after a second is not waited for any
/// longer, so that it holds up no other.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

impl Links {
    /// Waits until packets to these addresses are the node's own, for a second at most.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn settle(&mut self, addresses: impl IntoIterator<Item = Ipv6Addr>) -> Result<(), LinkError> {
        let mut waited: Vec<_> = addresses.into_iter().collect();
        let end = Instant::now() + PATIENCE;
        loop {
            let local = self.are_local(&waited)?;
            let mut local = local.into_iter();
            waited.retain(|_| local.next() == Some(false));
            if waited.is_empty() || Instant::now() > end {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
    }

    /// By their routes.
    fn are_local(&mut self, addresses: &[Ipv6Addr]) -> Result<Vec<bool>, LinkError> {
        let mut requests = Requests::default();
        for address in addresses {
            requests.add(RTM_GETROUTE, 0, Answers::One, &HEADER, |w| w.bytes(RTA_DST, &address.octets()));
        }
        let mut local = vec![false; addresses.len()];
        self.channel.run(&mut requests, |number, answer| {
            if let (Some(local), Answer::Object(route)) = (local.get_mut(number), answer) {
                *local = route.payload.get(TYPE) == Some(&LOCAL);
            }
        })?;
        Ok(local)
    }
}
