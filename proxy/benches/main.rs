//! `cargo bench`: what the parts of a request cost, without its sockets.
//!
//! Everything is the program's own code, called as workers call it, on one thread. All of a bench is in one program, which is
//! linked once. `cargo bench -- --save-baseline before`, and after a change `cargo bench -- --baseline before`, say what the
//! change comes to; `cargo bench -- limits` runs what has that in its name.
//!
//! docs/performance.md has what was measured, and what 10 % more of each part means for a request as a whole.
//!
//! What is measured is in functions that are not inlined and begin with `once_`, so that a profiler can tell how much of the
//! program's work each is: `valgrind --tool=callgrind --toggle-collect='*once_*'`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what cannot be measured ends the run; what is left out is said"
)]

mod choice;
mod flows;
mod limits;
mod material;
mod pipeline;
mod usage;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    // Half of criterion's own times: there are some twenty benches, and all of them are far below a millisecond.
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(1000))
        .measurement_time(Duration::from_millis(2500))
        .configure_from_args();
    pipeline::bench(&mut criterion);
    usage::bench(&mut criterion);
    limits::bench(&mut criterion);
    choice::bench(&mut criterion);
    flows::bench(&mut criterion);
    criterion.final_summary();
}
