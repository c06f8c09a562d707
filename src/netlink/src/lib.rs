//! Netlink for Portolan: nf_tables messages, transactions, dumps and notifications, in safe Rust; and conntrack's
//! table ([`conntrack`]), with the same attributes; the virtual servers of IPVS ([`ipvs`]); links and their addresses
//! ([`links`]); and any other request to the kernel ([`Channel`]).
//!
//! This page is the design of netlink in this project. What it says about the kernel was measured on 6.18.
//!
//! ```text
//!   wire::{Table, Chain, Set, Rule, Expr, Element}       objects <-> attributes
//!      | put                                ^ parse
//!      v                                    |
//!   attr::Writer                        attr::Attrs       attributes <-> bytes
//!      v                                    ^
//!   Transaction                             |
//!      | commit: one sendmsg                | dump, notifications
//!      v                                    |
//!   Connection  ---------- kernel ----------+--- Watch
//! ```
//!
//! Below Connection, and whatever else asks the kernel, is a [`Channel`]: many [`Requests`] over one socket, and each answer
//! for the one that it belongs to. A transaction is one request to it.
//!
//! # Why an own encoder
//!
//! * libnftnl through the crate `nftnl` has no maps, no element data, no comments, no `numgen` and no 32-bit registers
//!   in its safe part, so nearly all of Portolan would be `unsafe`; it sends a transaction page by page, which the kernel
//!   rolls back without a word.
//! * The crate `netlink-packet-netfilter` decodes 60,000 elements in 23 seconds, because it formats the rest of the
//!   buffer for each.
//! * This encoder writes 100,000 elements with comments (6 MB) in 15 ms and allocates nothing for each; one change of one
//!   element, written, committed and acknowledged, takes 2.3 microseconds in an empty namespace. It is checked against libnftnl byte for byte
//!   (`e2e/oracle`) and against `nft -f` through the kernel's own listing (`tests/kernel`).
//!
//! # Rules for the encoder
//!
//! 1. **A transaction is one `sendmsg`.** The kernel works on one socket buffer; a transaction spread over two is
//!    rolled back in silence. What one `sendmsg` carries is SO_SNDBUF - 32 bytes ([`Connection::capacity`]): 1 GiB with
//!    SO_SNDBUFFORCE, which needs CAP_NET_ADMIN in the first user namespace, else twice `net.core.wmem_max`. Exactly
//!    that much is taken, and 4 bytes more are EMSGSIZE.
//! 2. **Lists of elements are split at 63 KiB**: an attribute's length has 16 bits.
//! 3. **Only BATCH_END asks for an acknowledgement.** Refusals come anyway; an acknowledgement of a single message
//!    does not mean that it was applied. Since 6.10 the one of BATCH_END means just that; whether the kernel gives it is
//!    found with an empty transaction, which changes nothing. Every answer is queued before `sendmsg` returns, so
//!    answers are read until there is no more, without ever waiting.
//! 4. **A refusal names an attribute** (NETLINK_EXT_ACK): in a list of elements the element at fault. So each
//!    element is an operation of its own to the caller. The kernel leaves a list at its first bad element but reads on in the next
//!    message. If it has to drop answers (ENOBUFS), one that came is enough to know that nothing was applied; if none
//!    came the outcome is unknown.
//! 5. **What was sent must read back equal.** The kernel renames 32-bit registers that start at 16 bytes, fills in the
//!    upper ends of `nat` ranges and their flags, and lists flags of 0. [`wire::Expr`] takes all of that out again; an
//!    expression with anything unknown in it equals nothing of ours.
//! 6. **Nothing that is read can end the process**: readers stop or give an error for any bytes. What does not fit
//!    while writing is remembered and returned by the commit.
//!
//! # Rules for readers
//!
//! 1. **A listing may be torn** by a commit between two of its datagrams. NLM_F_DUMP_INTR tells it, but not where
//!    elements are listed; there the generation in each message's header changes. Both start the listing anew.
//! 2. **A running dump is read to its end** even if its reader gave up: the next would be EBUSY. So dumps follow each other
//!    and are never sent together.
//! 3. **Listing elements is quadratic** (each 32 KiB walks the set from its start): 65 ms for 60,000, 0.6 s for 200,000.
//!
//! # Notifications
//!
//! Each carries the netlink port of the connection that committed, `nft` its own; NEWGEN, once for each
//! commit that changed something, too. So [`Watch`] passes over our own by a number in the header, and knows who changed
//! what is ours. A table with an owner (`NFT_TABLE_F_OWNER`) dies with it without a notification and without a new generation:
//! Portolan's tables have no owner. A watch makes each commit 3 to 4 microseconds dearer and bulk loads three times: close it before one.
#![forbid(unsafe_code)]

pub mod attr;
mod channel;
mod connection;
pub mod conntrack;
mod dump;
mod error;
mod fields;
#[cfg(test)]
mod fuzz;
mod generic;
pub mod ipvs;
pub mod links;
mod message;
mod socket;
mod transaction;
pub mod uapi;
mod watch;
pub mod wire;

pub use channel::{Answer, Answers, Channel, ChannelError, RequestError, Requests};
pub use connection::Connection;
pub use error::{CommitError, DumpError, Malformed, OpenError, Refusal, WatchError};
pub use message::Message;
pub use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_NETFILTER, NETLINK_ROUTE};
pub use nix::errno::Errno;
pub use transaction::Transaction;
pub use watch::{Author, Change, Drained, Watch};
