//! Adding to a number in a map, which the library does not offer for this target.

use core::arch::asm;

/// Adds to a number of this CPU's. Atomic, because a callback in an interrupt may come between another's read
/// and its write.
///
/// # Safety
/// `number` points into an element of a map.
#[inline(always)]
pub(crate) unsafe fn add(number: *mut u64, amount: u64) {
    // SAFETY: by the caller; map elements are aligned to 8 bytes, and nothing else is touched.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) number, in(reg) amount) };
}
