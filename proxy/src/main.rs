//! The command line program; everything is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The request path makes small allocations that live as long as a request;
/// glibc's allocator costs a few percent more there.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    holysheep_proxy::cli::main()
}
