//! Endpoints that go while clients use them, in ipvs mode: `portolan run` on node-a, which follows manifests, and clients in all the
//! places from which connections come to a virtual server.
//!
//! ```text
//!   pod-a1    keeps its address   --.
//!   outside   is masqueraded      --+--> virtual server on node-a --> pod-a2, pod-b1
//!   node-a    is masqueraded, too --'
//! ```

#![allow(clippy::indexing_slicing, reason = "test code as a whole: what is missing fails it")]

mod connections;
mod datagrams;
mod rolling;
mod world;

use std::process::ExitCode;

use portolan_core::addr::Family;
use portolan_e2e::{
    Mode,
    daemon::test,
    harness::{self, Failure},
};

fn main() -> ExitCode {
    let mut tests = vec![
        test("a rolling update under new connections loses none", rolling::a_rolling_update_loses_none),
        test("a rolling update under clients with few ports loses none", rolling::none_is_lost_where_ports_come_again),
    ];
    for family in Family::ALL {
        let of_family = |name: &str| format!("{family}: {name}");
        tests.extend([
            test(&of_family("a connection goes on to its end and then its destination goes"), move || {
                connections::a_connection_goes_on_to_its_end(family)
            }),
            test(&of_family("a connection goes on across a restart"), move || {
                connections::a_connection_goes_on_across_a_restart(family)
            }),
            test(&of_family("a connection goes on when its Service is deleted"), move || {
                connections::a_connection_goes_on_when_its_service_is_deleted(family)
            }),
            test(&of_family("an endpoint that comes back takes connections again"), move || {
                connections::an_endpoint_that_comes_back_takes_connections_again(family)
            }),
            test(&of_family("an idle connection is forgotten after the timeout of IPVS"), move || {
                connections::an_idle_connection_is_forgotten_after_the_timeout_of_ipvs(family)
            }),
            test(&of_family("a socket that sends for ever goes elsewhere"), move || {
                datagrams::a_socket_that_sends_for_ever_goes_elsewhere(family)
            }),
        ]);
    }
    let tests = tests.into_iter().map(|test| test.in_kernel_for(Mode::Ipvs)).collect();
    harness::run(|| Ok::<_, Failure>(tests), || ())
}
