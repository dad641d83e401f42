//! Tests of `accounting.rs`.

use super::*;

#[test]
fn stat_survives_a_command_name_with_parentheses() {
    let text = "42 (a (b) c) S 7 42 42 0 -1 4194560 100 0 0 0 123 45 0 0 20 0 1 0 5 6 7";
    let stat = ProcessStat::parse(text).unwrap();
    assert_eq!(
        stat,
        ProcessStat {
            parent: 7,
            user_ticks: 123,
            system_ticks: 45
        }
    );
}

#[test]
fn short_stat_is_an_error() {
    assert!(ProcessStat::parse("42 (x) S 7").is_err());
    assert!(ProcessStat::parse("").is_err());
}

#[test]
fn schedstat_gives_time_on_cpu() {
    assert_eq!(parse_schedstat("196705 48858 1\n").unwrap(), 196_705);
    assert!(parse_schedstat("").is_err());
}

#[test]
fn cpu_line_is_found_by_its_number() {
    let text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 1 2 3 10 20 4 5 6 0 0\ncpu11 7 7 7 7 7 7 7 7 0 0\n";
    let ticks = CpuTicks::parse(text, 1).unwrap();
    assert_eq!(
        ticks,
        CpuTicks {
            busy: 13,
            idle: 32,
            steal: 6
        }
    );
    assert!(CpuTicks::parse(text, 2).is_err());
}

#[test]
fn spent_is_split_by_ticks_and_notes_changed_threads() {
    let before = Usage {
        threads: [(1, 100), (2, 50)].into(),
        user_ticks: 10,
        system_ticks: 10,
    };
    let after = Usage {
        threads: [(1, 1100), (3, 7)].into(),
        user_ticks: 11,
        system_ticks: 13,
    };
    let mut spent = after.since(&before);
    assert_eq!((spent.total_ns, spent.user_share()), (1007, 0.25));
    assert_eq!(spent.changed_threads, 2);
    spent.add(&Spent {
        total_ns: 3,
        user_ticks: 4,
        ..Spent::default()
    });
    assert_eq!((spent.total_ns, spent.user_share()), (1010, 0.625));
}

#[test]
fn own_process_has_used_cpu_time() {
    let usage = Usage::sample(&[std::process::id()]).unwrap();
    assert!(usage.threads.values().sum::<u64>() > 0);
}
