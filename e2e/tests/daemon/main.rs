//! The daemon's life as its users see it: `portolan run` on a node, against an API server that is scripted, so that what it
//! says and keeps back is known at every moment.
//!
//! ```text
//!   scripted API server <--lists, watches, Events--> portolan --> kernel   nft, netlink
//!   files of the test   <--------------------------'   '-------> HTTP     /healthz /metrics /configz
//! ```

#![allow(clippy::indexing_slicing, reason = "test code as a whole: fields that are missing fail it")]

mod busy;
mod changes;
mod command_line;
mod contested;
mod draining;
mod events;
mod health_checks;
mod ipvs;
mod metrics;
mod reload;
mod start;
mod world;

use std::process::ExitCode;

use portolan_e2e::{
    daemon::test,
    harness::{self, Failure},
};

fn main() -> ExitCode {
    let tests = vec![
        // Those that wait the longest begin first.
        test("nodes write of their start each and of a bad object together", || {
            events::nodes_write_of_their_start_each_and_of_a_bad_object_together()
        }),
        test("a Service that lost an address finds it in its Events", events::a_lost_address_is_told_to_its_service),
        test("a gate that nobody knows is told and the start goes on", || {
            events::a_gate_that_nobody_knows_is_told_and_the_start_goes_on()
        }),
        test("repairs that do not last are made less often and told once", || {
            contested::repairs_that_do_not_last_are_made_less_often_and_told_once()
        }),
        test("a ruleset that is flushed all the time is whole afterwards", || {
            contested::a_ruleset_that_is_flushed_all_the_time_is_whole_afterwards()
        }),
        test("what drains is removed when nothing is on its way to it", || {
            draining::what_drains_is_removed_when_nothing_is_on_its_way_to_it()
        }),
        test("a second Portolan is named", contested::a_second_portolan_is_named),
        test("rules follow the file", reload::rules_follow_the_file),
        test("listeners follow the file", reload::listeners_follow_the_file),
        test("all else that is live follows the file", reload::all_else_that_is_live_follows_the_file),
        test("an upgrade's edit of the mode changes nothing", reload::an_upgrades_edit_of_the_mode_changes_nothing),
        test("what cannot be followed changes nothing", reload::what_cannot_be_followed_changes_nothing),
        test("a halted sync thread holds nobody up", busy::a_halted_sync_thread_holds_nobody_up),
        test("a signal ends it while manifests are read", busy::a_signal_ends_it_while_manifests_are_read),
        test("nothing is written or removed before the lists are complete", || {
            start::nothing_is_written_or_removed_before_the_lists_are_complete()
        }),
        test("an API server that is down at the start is waited for", || {
            start::an_api_server_that_is_down_at_the_start_is_waited_for()
        }),
        test("a plug-in that hangs does not keep it from ending", || {
            start::a_plug_in_that_hangs_does_not_keep_it_from_ending()
        }),
        test("without a Node everything but primary NodePorts is served", || {
            start::without_a_node_everything_but_primary_node_ports_is_served()
        }),
        test("a port that is taken ends it only if that is asked for", || {
            start::a_port_that_is_taken_ends_it_only_if_that_is_asked_for()
        }),
        test("kubeadm's files and command line work without a word", || {
            command_line::kubeadms_files_and_command_line_work_without_a_word()
        }),
        test("so do those of 1.37", command_line::kubeadms_files_of_1_37_do_so_too),
        test("after --init-only CAP_NET_ADMIN is enough", command_line::after_init_only_cap_net_admin_is_enough),
        test("what ipvs mode lacks is told at once and nothing is written", || {
            ipvs::what_ipvs_mode_lacks_is_told_at_once_and_nothing_is_written()
        }),
        test("a firewall that may drop Services in ipvs mode is told", || {
            ipvs::a_firewall_that_may_drop_services_in_ipvs_mode_is_told()
        }),
        test("flags are read as Go reads them", command_line::flags_are_read_as_go_reads_them),
        test("mistakes are told all at once and end it", command_line::mistakes_are_told_all_at_once_and_end_it),
        test("what ends at once touches nothing", command_line::what_ends_at_once_touches_nothing),
        test("the verbosity may be changed while it runs", command_line::the_verbosity_may_be_changed_while_it_runs),
        test("with JSON each line is one object", command_line::with_json_each_line_is_one_object),
        test("health checks follow Services and slices", health_checks::answers_follow_services_and_slices),
        test("with all addresses loopback is one of them", health_checks::with_all_addresses_loopback_is_one_of_them),
        test("they are at the addresses of NodePorts", health_checks::they_are_at_the_addresses_of_node_ports),
        test("an explicit least period is kept", changes::an_explicit_least_period_is_kept),
        test("changes are counted", changes::changes_are_counted),
        test("each mode has its own families", metrics::each_mode_has_its_own_families),
    ];
    harness::run(|| Ok::<_, Failure>(tests), || ())
}
