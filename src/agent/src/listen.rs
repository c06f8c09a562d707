//! Sockets, made as Go makes them for kube-proxy.
//!
//! | address | family | what comes in |
//! | --- | --- | --- |
//! | `0.0.0.0`, `::` | both ([`both_families`]) | IPv4 and IPv6, by one IPv6 socket; IPv4 alone where the kernel has no IPv6 |
//! | `0.0.0.0` | IPv4 ([`one_family`]) | IPv4 |
//! | `::` | IPv6 ([`one_family`]) | IPv6 |
//! | any other | its own | what is sent to it |

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// What the kernel cuts to its own net.core.somaxconn, which is Go's choice too.
const BACKLOG: i32 = 4096;

/// Listens on an address of KubeProxyConfiguration: an unspecified one means both families, since load balancers ask by
/// either.
///
/// # Errors
/// What the kernel says.
pub(crate) fn both_families(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_unspecified() {
        return one_family(address);
    }
    let everywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
    match listen(everywhere, false) {
        // The kernel was started with ipv6.disable=1, or has no IPv6 at all.
        Err(error) if address.is_ipv4() && is_no_ipv6(&error) => listen(address, true),
        other => other,
    }
}

/// Listens on an address of its own family alone.
///
/// # Errors
/// What the kernel says.
pub(crate) fn one_family(address: SocketAddr) -> io::Result<TcpListener> {
    listen(address, true)
}

fn listen(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec().nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // Connections of a process that has ended keep nobody from its port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether that is because the kernel has no IPv6, or no address of it.
pub(crate) fn is_no_ipv6(error: &io::Error) -> bool {
    let none = [nix::errno::Errno::EAFNOSUPPORT, nix::errno::Errno::EADDRNOTAVAIL];
    none.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}
