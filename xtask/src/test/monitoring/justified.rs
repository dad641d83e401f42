//! Expressions that may have no data, each with its reason. One that has data all the same must be taken from the list.

use super::expression;

/// What only kernel programs measure; for the others there is `TCP_INFO`.
const OF_KERNEL_PROGRAMS: [&str; 9] = [
    "holysheep_kernel_accept_queue_seconds",
    "holysheep_kernel_connect_failures",
    "holysheep_kernel_events_dropped",
    "holysheep_kernel_first_byte_seconds",
    "holysheep_kernel_map_entries",
    "holysheep_kernel_paths_on_hold",
    "holysheep_kernel_probes_steered",
    "holysheep_kernel_wakeup_lag_seconds",
    "holysheep_kernel_window",
];

/// Why an expression may have no data.
pub(super) fn reason(expression: &str, has_programs: bool) -> Option<&'static str> {
    let named =
        |beginning: &str| expression::names(expression).any(|name| name.starts_with(beginning));
    let is_of_programs = OF_KERNEL_PROGRAMS.iter().any(|name| named(name));
    (is_of_programs && !has_programs).then_some("needs kernel programs, which do not run here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_kernel_programs_is_empty_without_them_only() {
        let expression = "rate(holysheep_kernel_wakeup_lag_seconds_bucket[5m])";
        assert!(reason(expression, false).is_some());
        assert_eq!(reason(expression, true), None);
        assert_eq!(reason("holysheep_http_requests_total", false), None);
    }
}
