//! Compares what Portolan's netlink encoder writes with what libnftnl builds. There is nothing here but tests.
