//! The module ip_vs, for kernels that do not load it when they are asked for its family: those before 6.1.

use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use crate::{
    channel::{Answers, Channel, ChannelError, RequestError, Requests},
    message,
    uapi::NFPROTO_IPV4,
};

/// NFNL_SUBSYS_NFT_COMPAT (include/uapi/linux/netfilter/nfnetlink.h), NFNL_MSG_COMPAT_GET and NFTA_COMPAT_* (nf_tables_compat.h).
const COMPAT_GET: u16 = 11 << 8;
const NAME: u16 = 1;
const REVISION: u16 = 2;
const TYPE: u16 = 3;
const TYPE_MATCH: u32 = 0;

/// Asks which revisions there are of the match `ipvs` of iptables, which has the kernel load its module, and with it the one
/// that it is about. No rule is made.
pub(super) fn load() -> Result<(), RequestError> {
    let mut channel = Channel::open(NETLINK_NETFILTER).map_err(ChannelError::Io)?;
    let mut requests = Requests::default();
    requests.add(COMPAT_GET, 0, Answers::One, &message::nfgen(NFPROTO_IPV4, 0), |w| {
        w.str(NAME, "ipvs");
        w.be32(REVISION, 0);
        w.be32(TYPE, TYPE_MATCH);
    });
    match channel.read(&mut requests, |_, _| Ok(())) {
        // The module is there, and has no such revision.
        Ok(_) | Err(RequestError::Refused(Errno::EPROTONOSUPPORT)) => Ok(()),
        Err(error) => Err(error),
    }
}
