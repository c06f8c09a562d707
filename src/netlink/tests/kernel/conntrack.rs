//! Conntrack's table: entries of real packets are listed as the filter says, and deleted by name and id.

use std::{
    net::{SocketAddr, UdpSocket},
    process::Command,
};

use portolan_netlink::{
    conntrack::{Conntrack, Entry, Filter, Listing},
    uapi::{NFPROTO_IPV4, NFPROTO_IPV6},
};

use crate::support::{Test, nft};

pub(crate) const TESTS: &[Test] = &[
    ("entries_say_where_connections_lead", entries_say_where_connections_lead),
    ("the_kernel_picks_what_a_filter_says", the_kernel_picks_what_a_filter_says),
    ("ipv6_addresses_are_picked", ipv6_addresses_are_picked),
    ("what_is_deleted_is_gone_and_nothing_else", what_is_deleted_is_gone_and_nothing_else),
    ("an_entry_with_another_id_stays", an_entry_with_another_id_stays),
    ("a_late_answer_makes_an_entry_the_other_way_round", a_late_answer_makes_an_entry_the_other_way_round),
    ("zones_are_told_apart", zones_are_told_apart),
    ("more_entries_than_one_datagram_holds", more_entries_than_one_datagram_holds),
    ("unanswered_connections_are_told", unanswered_connections_are_told),
];

const UDP: u8 = 17;
const TCP: u8 = 6;

/// A Service as anybody would write it, on the loopback link.
const RULES: &str = "
table inet t {
    chain output {
        type nat hook output priority -100
        ip daddr 127.1.0.10 udp dport 53 dnat ip to 127.2.0.1:8053
        ip daddr 127.1.0.20 udp dport 53 dnat ip to 127.2.0.2:8053
        ip daddr 127.1.0.10 udp dport 54 dnat ip to 127.2.0.1:8053
        ip6 daddr fd00::10 udp dport 53 dnat ip6 to [::1]:8053
        ip daddr 127.1.0.30 tcp dport 80 dnat ip to 127.2.0.1:8080
    }
}";

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip starts");
    assert!(status.success(), "ip {arguments}");
}

fn network() -> Conntrack {
    ip("link set lo up");
    ip("addr add fd00::10/128 dev lo nodad");
    nft(RULES);
    Conntrack::open().expect("there is netlink")
}

/// One datagram from a port of this host; nobody answers it.
fn send(from: &str, to: &str) -> SocketAddr {
    let socket = UdpSocket::bind(from).expect("bound");
    let own = socket.local_addr().expect("bound");
    // Loopback delivers at once; where nobody listens the answer is an ICMP error to a socket that does not care.
    socket.send_to(b"x", to).expect("sent");
    own
}

fn list(conntrack: &mut Conntrack, filter: &Filter) -> Vec<Entry> {
    let mut entries = Vec::new();
    assert_eq!(conntrack.list(filter, |entry| entries.push(entry)).expect("listed"), Listing::Complete);
    entries
}

fn udp(family: u8) -> Filter {
    Filter::all(family, UDP)
}

fn text(entries: &[Entry]) -> Vec<String> {
    let mut lines: Vec<_> =
        entries.iter().map(|entry| format!("{} -> {}", entry.original.destination, entry.reply.source)).collect();
    lines.sort();
    lines
}

fn entries_say_where_connections_lead() {
    let mut conntrack = network();
    assert_eq!(list(&mut conntrack, &udp(NFPROTO_IPV4)), []);
    let client = send("127.0.0.1:0", "127.1.0.10:53");
    send("127.0.0.1:0", "127.1.0.99:53");
    let client6 = send("[::1]:0", "[fd00::10]:53");
    let entries = list(&mut conntrack, &udp(NFPROTO_IPV4));
    assert_eq!(text(&entries), ["127.1.0.10:53 -> 127.2.0.1:8053", "127.1.0.99:53 -> 127.1.0.99:53"]);
    let translated: Vec<_> = entries.iter().filter(|entry| entry.is_translated()).collect();
    assert_eq!(translated.len(), 1);
    assert_eq!((translated[0].original.source, translated[0].reply.destination), (client, client));
    assert_eq!((translated[0].protocol, translated[0].zone), (UDP, 0));
    let entries = list(&mut conntrack, &udp(NFPROTO_IPV6));
    assert_eq!(text(&entries), ["[fd00::10]:53 -> [::1]:8053"]);
    assert_eq!(entries[0].original.source, client6);
    assert_eq!(list(&mut conntrack, &Filter::all(NFPROTO_IPV4, TCP)), []);
}

fn the_kernel_picks_what_a_filter_says() {
    let mut conntrack = network();
    for to in ["127.1.0.10:53", "127.1.0.10:54", "127.1.0.20:53", "127.1.0.99:53"] {
        send("127.0.0.1:0", to);
    }
    let all = udp(NFPROTO_IPV4);
    let addr = |text: &str| Some(text.parse().expect("an address"));
    let picked = |filter: Filter, conntrack: &mut Conntrack| text(&list(conntrack, &filter));
    assert_eq!(
        picked(Filter { destination: addr("127.1.0.10"), ..all }, &mut conntrack),
        ["127.1.0.10:53 -> 127.2.0.1:8053", "127.1.0.10:54 -> 127.2.0.1:8053"]
    );
    assert_eq!(
        picked(Filter { destination: addr("127.1.0.10"), port: Some(54), ..all }, &mut conntrack),
        ["127.1.0.10:54 -> 127.2.0.1:8053"]
    );
    assert_eq!(
        picked(Filter { port: Some(53), ..all }, &mut conntrack),
        ["127.1.0.10:53 -> 127.2.0.1:8053", "127.1.0.20:53 -> 127.2.0.2:8053", "127.1.0.99:53 -> 127.1.0.99:53"]
    );
    assert_eq!(
        picked(Filter { port: Some(53), reply_source: addr("127.2.0.2"), ..all }, &mut conntrack),
        ["127.1.0.20:53 -> 127.2.0.2:8053"]
    );
    assert_eq!(
        picked(Filter { reply_source: addr("127.2.0.1"), ..all }, &mut conntrack),
        ["127.1.0.10:53 -> 127.2.0.1:8053", "127.1.0.10:54 -> 127.2.0.1:8053"]
    );
}

/// Where a kernel that is asked for an address would list all others instead.
fn ipv6_addresses_are_picked() {
    let mut conntrack = network();
    for to in ["[fd00::10]:53", "[fd00::10]:54", "[::1]:53"] {
        send("[::1]:0", to);
    }
    let addr = |text: &str| Some(text.parse().expect("an address"));
    for (filter, expected) in [
        (Filter { destination: addr("fd00::10"), port: Some(53), ..udp(NFPROTO_IPV6) }, "[fd00::10]:53 -> [::1]:8053"),
        (Filter { destination: addr("::1"), ..udp(NFPROTO_IPV6) }, "[::1]:53 -> [::1]:53"),
        (Filter { reply_source: addr("fd00::10"), ..udp(NFPROTO_IPV6) }, "[fd00::10]:54 -> [fd00::10]:54"),
    ] {
        assert_eq!(text(&list(&mut conntrack, &filter)), [expected]);
    }
}

fn what_is_deleted_is_gone_and_nothing_else() {
    let mut conntrack = network();
    for to in ["127.1.0.10:53", "127.1.0.20:53"] {
        send("127.0.0.1:0", to);
    }
    send("[::1]:0", "[fd00::10]:53");
    let filter = Filter { port: Some(53), destination: "127.1.0.10".parse().ok(), ..udp(NFPROTO_IPV4) };
    let victims = list(&mut conntrack, &filter);
    assert_eq!(conntrack.delete(&victims).expect("deleted"), 1);
    assert_eq!(text(&list(&mut conntrack, &udp(NFPROTO_IPV4))), ["127.1.0.20:53 -> 127.2.0.2:8053"]);
    assert_eq!(conntrack.delete(&victims).expect("being gone is no error"), 0);
    let both = [list(&mut conntrack, &udp(NFPROTO_IPV6)), list(&mut conntrack, &udp(NFPROTO_IPV4))].concat();
    assert_eq!(conntrack.delete(&both).expect("deleted"), 2);
    assert_eq!(list(&mut conntrack, &udp(NFPROTO_IPV6)), []);
    assert_eq!(conntrack.delete(&[]).expect("nothing to do"), 0);
}

/// The id is made of the client's tuple and the place in memory: a newer entry in another place has another one.
fn an_entry_with_another_id_stays() {
    let mut conntrack = network();
    send("127.0.0.1:0", "127.1.0.10:53");
    let entries = list(&mut conntrack, &udp(NFPROTO_IPV4));
    let old = Entry { id: entries[0].id.map(|id| !id), ..entries[0] };
    assert_eq!(conntrack.delete(&[old]).expect("the old one is gone"), 0);
    assert_eq!(list(&mut conntrack, &udp(NFPROTO_IPV4)), entries);
}

/// Why [`Entry::of_late_answer`] is there: such an entry takes the client's next datagram past all rules.
fn a_late_answer_makes_an_entry_the_other_way_round() {
    let mut conntrack = network();
    let client = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let server = UdpSocket::bind("127.1.0.10:55").expect("bound");
    client.connect("127.1.0.10:55").expect("connected");
    client.send(b"x").expect("sent");
    let asked = list(&mut conntrack, &udp(NFPROTO_IPV4));
    assert_eq!(conntrack.delete(&asked).expect("deleted"), 1);
    nft("add rule inet t output ip daddr 127.1.0.10 udp dport 55 dnat ip to 127.2.0.1:8053");
    server.send_to(b"y", client.local_addr().expect("bound")).expect("sent");
    client.send(b"x").expect("sent");
    let answered = list(&mut conntrack, &udp(NFPROTO_IPV4));
    assert_eq!(answered.iter().map(|entry| entry.original).collect::<Vec<_>>(), [asked[0].reply]);
    assert_eq!(conntrack.delete(&[asked[0].of_late_answer()]).expect("deleted"), 1);
    client.send(b"x").expect("sent");
    assert_eq!(text(&list(&mut conntrack, &udp(NFPROTO_IPV4))), ["127.1.0.10:55 -> 127.2.0.1:8053"]);
}

fn zones_are_told_apart() {
    let mut conntrack = network();
    let client = send("127.0.0.1:0", "127.1.0.10:53").to_string();
    nft("table inet z { chain output { type filter hook output priority raw; ct zone set 7; }; }");
    send(&client, "127.1.0.10:53");
    let filter = Filter { destination: "127.1.0.10".parse().ok(), port: Some(53), ..udp(NFPROTO_IPV4) };
    let mut zones: Vec<_> = list(&mut conntrack, &filter).into_iter().map(|entry| entry.zone).collect();
    zones.sort_unstable();
    assert_eq!(zones, [0, 7]);
    let mut in_zone = list(&mut conntrack, &filter);
    in_zone.retain(|entry| entry.zone == 7);
    assert_eq!(conntrack.delete(&in_zone).expect("deleted"), 1);
    let left = list(&mut conntrack, &filter);
    assert_eq!(left.iter().map(|entry| entry.zone).collect::<Vec<_>>(), [0]);
}

fn more_entries_than_one_datagram_holds() {
    const MANY: usize = 3000;
    let mut conntrack = network();
    for _ in 0..MANY {
        send("127.0.0.1:0", "127.1.0.10:53");
    }
    // A port may have been given twice; its entry is then the same.
    let mut entries = list(&mut conntrack, &udp(NFPROTO_IPV4));
    assert!(entries.len() > MANY * 9 / 10, "{}", entries.len());
    let all = entries.len();
    entries.sort_unstable_by_key(|entry| entry.id);
    entries.dedup();
    assert_eq!(entries.len(), all);
    let half = entries.split_off(all / 2);
    assert_eq!(conntrack.delete(&half).expect("deleted"), half.len());
    assert_eq!(conntrack.delete(&[half, entries.clone()].concat()).expect("deleted"), entries.len());
    assert_eq!(list(&mut conntrack, &udp(NFPROTO_IPV4)), []);
}

fn unanswered_connections_are_told() {
    let mut conntrack = network();
    nft("table inet d { chain input { type filter hook input priority 200; tcp dport 8080 drop; }; }");
    let listener = std::net::TcpListener::bind("127.0.0.1:8081").expect("bound");
    let connected = std::net::TcpStream::connect("127.0.0.1:8081").expect("connected");
    let mut entries = list(&mut conntrack, &Filter::all(NFPROTO_IPV4, TCP));
    assert_eq!(entries.iter().map(|entry| entry.syn_sent).collect::<Vec<_>>(), [false]);
    drop((listener, connected));
    let socket = std::thread::spawn(|| {
        let address: SocketAddr = "127.1.0.30:80".parse().expect("an address");
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(50))
    });
    assert!(socket.join().expect("ended").is_err(), "nobody answers");
    entries = list(&mut conntrack, &Filter { port: Some(80), ..Filter::all(NFPROTO_IPV4, TCP) });
    assert_eq!(text(&entries), ["127.1.0.30:80 -> 127.2.0.1:8080"]);
    assert!(entries[0].syn_sent);
}
