//! The kernel programs on the running kernel, over loopback and an emulated path, against what the kernel and the path
//! themselves tell.
//!
//! Not under cargo's test harness: the tests share one cgroup and watch the whole machine's programs, so they run one
//! after the other; they print what they measured; and the binary, linked statically, also runs where there is no
//! cargo and no file but itself. It needs root, a mounted cgroup2 hierarchy, `/proc`, and `lo` up; without, everything is
//! skipped, loudly. Arguments that are no options choose tests by parts of their names.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of this is a test"
)]

mod accept;
mod acknowledged;
mod app;
mod connect;
mod cut;
#[path = "../it/harness/dns.rs"]
#[expect(dead_code, reason = "the other tests need more of it")]
mod dns;
mod endpoints;
mod failures;
mod first_byte;
#[cfg(holysheep_ebpf_foreign)]
mod foreign;
mod lab;
mod lifecycle;
mod namespaces;
mod path;
mod privileges;
mod probes;
mod prompts;
mod proxy;
mod steering;
mod tables;
mod tickets;
mod traces;
mod windows;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use lab::Lab;

/// A test that ran to its end, or says why it could not be run here. It panics if it fails.
type Outcome = Result<(), String>;

/// In a build that was given an object without its companion.
#[cfg(not(holysheep_ebpf_foreign))]
mod foreign {
    pub(crate) fn both(_: &super::Lab) -> super::Outcome {
        Err("there was no foreign.bpf.o beside the object".to_owned())
    }
    pub(crate) use both as chooses;
}

type Test = (&'static str, fn(&Lab) -> Outcome);

const TESTS: [Test; 58] = [
    ("connect_and_rtt_agree_with_tcp_info", connect::agree),
    ("upstreams_are_told_apart", connect::slots),
    ("failed_connects_are_counted", failures::counted),
    ("orderly_ends_are_no_failures", failures::orderly),
    ("accept_queue_delay", accept::delay),
    (
        "connect_and_first_byte_over_a_path_of_known_delay",
        path::delays,
    ),
    (
        "retransmits_on_a_path_that_loses_every_nth_segment",
        path::losses,
    ),
    ("endpoints_are_told_apart", endpoints::told_apart),
    (
        "what_is_unanswered_on_a_path_that_is_cut_and_heals",
        endpoints::unanswered,
    ),
    (
        "little_is_unanswered_on_a_path_that_loses_much",
        endpoints::lossy,
    ),
    (
        "a_close_acknowledges_what_was_received",
        acknowledged::closed,
    ),
    (
        "nothing_is_certain_of_a_reset_that_acknowledges",
        acknowledged::aborted,
    ),
    (
        "a_host_without_the_connection_read_nothing",
        acknowledged::gone,
    ),
    (
        "nothing_is_acknowledged_along_a_path_that_is_cut",
        acknowledged::given_up,
    ),
    ("first_byte_of_plain_responses", first_byte::plain),
    (
        "first_byte_over_kept_alive_connections",
        first_byte::kept_alive,
    ),
    ("first_byte_behind_session_tickets", tickets::first_byte),
    (
        "a_foreign_program_and_ours_get_their_callbacks",
        foreign::both,
    ),
    ("probes_are_steered_by_source_and_port", steering::by_source),
    (
        "without_a_listener_probes_take_the_usual_way",
        steering::fails_open,
    ),
    (
        "no_probe_is_lost_when_the_program_comes_and_goes",
        steering::under_traffic,
    ),
    ("a_foreign_program_that_chose_first_wins", foreign::chooses),
    ("a_proxy_answers_steered_probes", probes::steered),
    (
        "what_is_steered_and_no_probe_is_served_as_usual",
        probes::handed_over,
    ),
    ("probes_over_tls_are_steered_too", probes::tls::steered),
    (
        "probes_pass_a_full_accept_queue",
        probes::load::past_a_full_queue,
    ),
    ("probes_pass_busy_workers", probes::load::past_busy_workers),
    (
        "a_wedged_worker_fails_steered_liveness",
        probes::a_wedged_worker_is_told,
    ),
    (
        "probes_are_steered_through_a_take_over",
        probes::take_over::by_an_app,
    ),
    (
        "probes_are_steered_through_a_take_over_by_the_program",
        probes::take_over::by_a_program,
    ),
    (
        "without_capabilities_the_port_for_probes_serves",
        probes::without_capabilities,
    ),
    ("two_sockets_with_one_record", tables::collision),
    ("records_nobody_reads_are_counted", tables::overwritten),
    (
        "instruction_counts_stay_below_their_ceilings",
        lifecycle::ceilings,
    ),
    (
        "half_of_what_was_carried_is_begun_with",
        windows::remembered,
    ),
    ("no_window_is_above_the_limit", windows::limited),
    ("a_chosen_window_is_taken_as_it_is", windows::chosen),
    ("after_a_loss_windows_are_the_systems", windows::lost),
    (
        "over_a_narrow_path_windows_are_the_systems",
        windows::narrow,
    ),
    (
        "windows_outlast_idling_by_the_setting",
        windows::idle_by_setting,
    ),
    ("windows_outlast_idling_by_bbr", windows::idle_by_bbr),
    (
        "long_prompts_of_a_proxy_leave_at_once",
        prompts::leave_at_once,
    ),
    ("windows_are_kept_after_a_take_over", prompts::taken_over),
    ("worn_connections_are_replaced", prompts::worn_connections),
    (
        "an_endpoint_is_left_alone_before_a_request_has_failed",
        cut::left_alone,
    ),
    (
        "what_nobody_acknowledges_is_asked_elsewhere_too",
        cut::hedged,
    ),
    ("messages_reach_the_log", lifecycle::messages),
    ("loads_leave_nothing_behind", lifecycle::leaks),
    ("bpf_and_net_admin_are_enough", privileges::enough),
    ("without_them_each_is_named", privileges::named),
    ("a_proxy_tells_what_the_kernel_saw", app::told),
    (
        "spans_have_the_kernels_times",
        traces::with_the_kernels_times,
    ),
    ("a_proxy_counts_failed_connects", app::failures),
    ("a_proxy_says_nothing_of_requests_over_h2", app::multiplexed),
    ("an_app_refuses_to_start_without_them", app::refuses),
    (
        "the_program_refuses_to_start_without_them",
        app::program_refuses,
    ),
    (
        "a_read_only_mount_in_a_private_cgroup_namespace",
        namespaces::private,
    ),
    ("a_cgroup_hierarchy_that_is_not_mounted", namespaces::hidden),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, job] = arguments.as_slice()
        && flag == lab::CHILD
    {
        return lab::child(job);
    }
    let wanted: Vec<_> = arguments
        .iter()
        .filter(|name| !name.starts_with('-'))
        .collect();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(*part));
    let lab = Lab::enter();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let started = Instant::now();
    for (name, test) in TESTS.into_iter().filter(|(name, _)| chosen(name)) {
        let begun = Instant::now();
        let run = |lab: &Lab| catch_unwind(AssertUnwindSafe(|| test(lab)));
        let word = match lab.as_ref().map(run) {
            Ok(Ok(Ok(()))) => {
                passed += 1;
                "ok".to_owned()
            }
            Ok(Err(_)) => {
                failed += 1;
                "FAILED".to_owned()
            }
            Ok(Ok(Err(reason))) => {
                skipped += 1;
                format!("SKIPPED: {reason}")
            }
            Err(reason) => {
                skipped += 1;
                format!("SKIPPED: {reason}")
            }
        };
        println!("  took {:.1} s", begun.elapsed().as_secs_f64());
        println!("test {name} ... {word}");
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; 0 filtered out; \
         finished in {seconds:.2}s"
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        // As cargo's harness does, so that failed tests are told from a crash.
        ExitCode::from(101)
    }
}
