//! Numbers of `linux/netlink.h`, `linux/netfilter/nfnetlink.h`, `linux/netfilter/nf_tables.h` and
//! `linux/netfilter/nfnetlink_conntrack.h`, under the names they have there as far as Rust's modules allow:
//! `NFTA_SET_KEY_TYPE` is `set::KEY_TYPE` here.

/// `table inet`: rules for both IP families.
pub const NFPROTO_INET: u8 = 1;
/// `table ip`
pub const NFPROTO_IPV4: u8 = 2;
/// `table ip6`
pub const NFPROTO_IPV6: u8 = 10;

/// Message types, `NFT_MSG_*`.
pub mod msg {
    #![expect(missing_docs, reason = "the names are the kernel's and say all there is")]
    pub const NEWTABLE: u8 = 0;
    pub const GETTABLE: u8 = 1;
    pub const DELTABLE: u8 = 2;
    pub const NEWCHAIN: u8 = 3;
    pub const GETCHAIN: u8 = 4;
    pub const DELCHAIN: u8 = 5;
    pub const NEWRULE: u8 = 6;
    pub const GETRULE: u8 = 7;
    pub const DELRULE: u8 = 8;
    pub const NEWSET: u8 = 9;
    pub const GETSET: u8 = 10;
    pub const DELSET: u8 = 11;
    pub const NEWSETELEM: u8 = 12;
    pub const GETSETELEM: u8 = 13;
    pub const DELSETELEM: u8 = 14;
    pub const NEWGEN: u8 = 15;
    pub const GETGEN: u8 = 16;
    /// Delete what may be gone already; since Linux 6.3.
    pub const DESTROYSETELEM: u8 = 30;
}

/// Flags of a request, `NLM_F_*`, to be used with [`crate::Transaction::message`] or [`crate::Requests::add`].
pub mod flag {
    /// Make the object if it is not there.
    pub const CREATE: u16 = 0x400;
    /// Fail with EEXIST if it is there.
    pub const EXCL: u16 = 0x200;
    /// A rule: put it in the place of the one with the given handle.
    pub const REPLACE: u16 = 0x100;
    /// A rule: put it last; without it, first.
    pub const APPEND: u16 = 0x800;

    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const DUMP_INTR: u16 = 0x10;
    pub(crate) const CAPPED: u16 = 0x100;
    pub(crate) const ACK_TLVS: u16 = 0x200;
}

/// Where a chain hooks in, `NF_INET_*` (`linux/netfilter.h`).
pub mod hook {
    #![expect(missing_docs, reason = "the names are the kernel's and say all there is")]
    pub const PREROUTING: u32 = 0;
    pub const INPUT: u32 = 1;
    pub const FORWARD: u32 = 2;
    pub const OUTPUT: u32 = 3;
    pub const POSTROUTING: u32 = 4;
}

/// What a rule's expressions name: `NFT_PAYLOAD_*`, `NFT_META_*`, `NFT_CT_*`, `NFTA_FIB_F_*`, `NFT_FIB_RESULT_*`,
/// `NF_NAT_RANGE_*`, and of `linux/rtnetlink.h` `RTN_*`.
pub mod key {
    /// Payload base: the start of the IP header.
    pub const PAYLOAD_NETWORK_HEADER: u32 = 1;
    /// Payload base: the start of the TCP, UDP or SCTP header.
    pub const PAYLOAD_TRANSPORT_HEADER: u32 = 2;
    /// The packet's mark, 4 bytes, host order.
    pub const META_MARK: u32 = 3;
    /// The transport protocol's number, 1 byte.
    pub const META_L4PROTO: u32 = 16;
    /// The interface that the packet came in by, 16 bytes: its name and zeroes. nft compares all 16 for `iifname "a"`
    /// and only the bytes before the star for `iifname "a*"`. All are zeroes where there is none, as in OUTPUT.
    pub const META_IIFNAME: u32 = 6;
    /// The number of the interface that the packet came in by, 4 bytes, host order.
    pub const META_IIF: u32 = 4;
    /// The number of the interface that the packet leaves by, 4 bytes, host order.
    pub const META_OIF: u32 = 5;
    /// The source address of the packet.
    pub const FIB_SADDR: u32 = 1 << 0;
    /// The destination address of the packet.
    pub const FIB_DADDR: u32 = 1 << 1;
    /// The type of the address, `RTN_*`.
    pub const FIB_RESULT_ADDRTYPE: u32 = 3;
    /// `type local`: an address of this node.
    pub const RTN_LOCAL: u32 = 2;
    /// The state of the connection: one bit of [`CT_STATE_NEW`] and its siblings, host order.
    pub const CT_STATE: u32 = 0;
    /// The status bits of the connection (`enum ip_conntrack_status`), host order.
    pub const CT_STATUS: u32 = 2;
    /// The destination of one of the connection's tuples, 4 bytes.
    pub const CT_DST_IP: u32 = 20;
    /// The same, 16 bytes.
    pub const CT_DST_IP6: u32 = 22;
    /// As the connection was opened, before any translation.
    pub const CT_DIR_ORIGINAL: u8 = 0;
    /// The bit of [`CT_STATE`] for the first packet of a connection.
    pub const CT_STATE_NEW: u32 = 8;
    /// The bit of [`CT_STATUS`] for a connection whose destination was translated, `IPS_DST_NAT`.
    pub const CT_STATUS_DNAT: u32 = 1 << 5;
    /// `masquerade fully-random`, `NF_NAT_RANGE_PROTO_RANDOM_FULLY`.
    pub const NAT_FULLY_RANDOM: u32 = 1 << 4;
}

pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;
pub(crate) const NLMSG_HEADER: usize = 16;
pub(crate) const NFGEN_HEADER: usize = 4;
pub(crate) const NLMSGERR_ATTR_MSG: u16 = 1;
pub(crate) const NLMSGERR_ATTR_OFFS: u16 = 2;
pub(crate) const NLA_F_NESTED: u16 = 0x8000;
pub(crate) const NLA_TYPE_MASK: u16 = 0x3fff;

pub(crate) const NFNL_SUBSYS_CTNETLINK: u8 = 1;
pub(crate) const NFNL_SUBSYS_NFTABLES: u8 = 10;
pub(crate) const NFNL_MSG_BATCH_BEGIN: u16 = 16;
pub(crate) const NFNL_MSG_BATCH_END: u16 = 17;
pub(crate) const NFNL_BATCH_GENID: u16 = 1;
pub(crate) const NFNLGRP_NFTABLES: u32 = 7;
pub(crate) const NFTA_GEN_ID: u16 = 1;
pub(crate) const NFTA_GEN_PROC_PID: u16 = 2;
pub(crate) const NFTA_GEN_PROC_NAME: u16 = 3;
pub(crate) const NFTA_LIST_ELEM: u16 = 1;

pub(crate) mod table {
    pub(crate) const NAME: u16 = 1;
    pub(crate) const FLAGS: u16 = 2;
    pub(crate) const USERDATA: u16 = 6;
}

pub(crate) mod chain {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const NAME: u16 = 3;
    pub(crate) const HOOK: u16 = 4;
    pub(crate) const POLICY: u16 = 5;
    pub(crate) const TYPE: u16 = 7;
    pub(crate) const USERDATA: u16 = 12;
    pub(crate) const HOOK_NUM: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;
}

pub(crate) mod rule {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const CHAIN: u16 = 2;
    pub(crate) const HANDLE: u16 = 3;
    pub(crate) const EXPRESSIONS: u16 = 4;
    pub(crate) const USERDATA: u16 = 7;
    pub(crate) const EXPR_NAME: u16 = 1;
    pub(crate) const EXPR_DATA: u16 = 2;
}

/// Flags of a set, `NFT_SET_*`, beside its attributes.
pub mod set {
    /// The kernel chose the name; lives and dies with the rule that names it.
    pub const F_ANONYMOUS: u32 = 0x1;
    /// No element may be added after the first rule names it.
    pub const F_CONSTANT: u32 = 0x2;
    /// Holds ranges.
    pub const F_INTERVAL: u32 = 0x4;
    /// Each element leads to data: what nft calls a map.
    pub const F_MAP: u32 = 0x8;
    /// Elements may have timeouts.
    pub const F_TIMEOUT: u32 = 0x10;
    /// Rules may add elements.
    pub const F_EVAL: u32 = 0x20;
    /// A concatenation that holds ranges.
    pub const F_CONCAT: u32 = 0x80;

    pub(crate) const TABLE: u16 = 1;
    pub(crate) const NAME: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const KEY_TYPE: u16 = 4;
    pub(crate) const KEY_LEN: u16 = 5;
    pub(crate) const DATA_TYPE: u16 = 6;
    pub(crate) const DATA_LEN: u16 = 7;
    pub(crate) const DESC: u16 = 9;
    pub(crate) const ID: u16 = 10;
    pub(crate) const TIMEOUT: u16 = 11;
    pub(crate) const USERDATA: u16 = 13;
    pub(crate) const EXPR: u16 = 17;
    pub(crate) const EXPRESSIONS: u16 = 18;
    pub(crate) const DESC_SIZE: u16 = 1;
    pub(crate) const DESC_CONCAT: u16 = 2;
    pub(crate) const FIELD_LEN: u16 = 1;
    pub(crate) const DATA_VERDICT: u32 = 0xffff_ff00;
}

pub(crate) mod elem {
    pub(crate) const LIST_TABLE: u16 = 1;
    pub(crate) const LIST_SET: u16 = 2;
    pub(crate) const LIST_ELEMENTS: u16 = 3;
    pub(crate) const KEY: u16 = 1;
    pub(crate) const DATA: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const TIMEOUT: u16 = 4;
    pub(crate) const EXPIRATION: u16 = 5;
    pub(crate) const USERDATA: u16 = 6;
    pub(crate) const EXPR: u16 = 7;
    pub(crate) const PAD: u16 = 8;
    pub(crate) const KEY_END: u16 = 10;
}

pub(crate) mod data {
    pub(crate) const VALUE: u16 = 1;
    pub(crate) const VERDICT: u16 = 2;
    pub(crate) const VERDICT_CODE: u16 = 1;
    pub(crate) const VERDICT_CHAIN: u16 = 2;
}

/// Attributes of conntrack's entries, `CTA_*`, and messages about them, `IPCTNL_MSG_CT_*`.
pub(crate) mod ct {
    pub(crate) const MSG_GET: u8 = 1;
    pub(crate) const MSG_DELETE: u8 = 2;

    pub(crate) const TUPLE_ORIG: u16 = 1;
    pub(crate) const TUPLE_REPLY: u16 = 2;
    pub(crate) const PROTOINFO: u16 = 4;
    pub(crate) const ID: u16 = 12;
    pub(crate) const ZONE: u16 = 18;
    pub(crate) const FILTER: u16 = 25;

    pub(crate) const TUPLE_IP: u16 = 1;
    pub(crate) const TUPLE_PROTO: u16 = 2;
    pub(crate) const IP_V4_SRC: u16 = 1;
    pub(crate) const IP_V4_DST: u16 = 2;
    pub(crate) const IP_V6_SRC: u16 = 3;
    pub(crate) const IP_V6_DST: u16 = 4;
    pub(crate) const PROTO_NUM: u16 = 1;
    pub(crate) const PROTO_SRC_PORT: u16 = 2;
    pub(crate) const PROTO_DST_PORT: u16 = 3;
    pub(crate) const PROTOINFO_TCP: u16 = 1;
    pub(crate) const PROTOINFO_TCP_STATE: u16 = 1;

    pub(crate) const FILTER_ORIG_FLAGS: u16 = 1;
    pub(crate) const FILTER_REPLY_FLAGS: u16 = 2;
    /// `CTA_FILTER_F_CTA_IP_SRC` and its siblings of net/netfilter/nf_internals.h: which fields of a tuple are compared.
    pub(crate) const FILTER_F_IP_SRC: u32 = 1 << 0;
    pub(crate) const FILTER_F_IP_DST: u32 = 1 << 1;
    pub(crate) const FILTER_F_PROTO_NUM: u32 = 1 << 3;
    pub(crate) const FILTER_F_PROTO_DST_PORT: u32 = 1 << 5;

    /// `TCP_CONNTRACK_SYN_SENT` of linux/netfilter/nf_conntrack_tcp.h.
    pub(crate) const TCP_SYN_SENT: u8 = 1;
}
