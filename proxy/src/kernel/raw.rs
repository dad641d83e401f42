//! What cannot be had without `unsafe`: memory shared with the kernel, `TCP_INFO`, and giving freed memory back.
//!
//! The only module of the proxy with `unsafe`. Of a mapped BPF array it hands out a slice of records made of atomics,
//! which may change under the reader at any time and are safe to read and write all the same.
#![expect(
    unsafe_code,
    reason = "mapping memory is a promise to the compiler; no library offers TCP_INFO or malloc_trim"
)]

use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::{io, ptr};

use proxy_common::{AcceptRecord, EndpointRecord, FlowRecord, PathRecord};
use rustix::mm::{MapFlags, ProtFlags};

/// A type that may lie in memory others write to.
///
/// # Safety
/// `repr(C)`, atomics only, without padding; any bytes are a value, all zeros among them; a multiple of 8 bytes
/// long, as elements of a BPF array are.
pub(super) unsafe trait Shared: Sync {}

// SAFETY: atomics only; proxy-common asserts the size.
unsafe impl Shared for FlowRecord {}
// SAFETY: as above.
unsafe impl Shared for AcceptRecord {}
// SAFETY: as above.
unsafe impl Shared for PathRecord {}
// SAFETY: as above.
unsafe impl Shared for EndpointRecord {}

/// A mapped array.
#[derive(Debug)]
pub(super) struct Mapped<T> {
    start: NonNull<T>,
    length: usize,
}

// SAFETY: the memory belongs to the process, not to a thread, and holds what may be shared (`Shared` asks for `Sync`).
unsafe impl<T: Shared> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Shared> Sync for Mapped<T> {}

impl<T: Shared> Mapped<T> {
    /// Maps an array of `length` records. The kernel refuses if the array is shorter, or was not made to be mapped.
    pub(super) fn of(map: BorrowedFd<'_>, length: u32) -> io::Result<Self> {
        let (length, bytes) = size::<T>(length)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses an address nobody uses, and the length is that of the array.
        let start = unsafe {
            rustix::mm::mmap(ptr::null_mut(), bytes, protection, MapFlags::SHARED, map, 0)
        };
        Self::new(start?.cast(), length)
    }

    /// Memory no kernel program writes to, for tests and benches.
    pub(super) fn anonymous(length: u32) -> io::Result<Self> {
        let (length, bytes) = size::<T>(length)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses an address nobody uses.
        let start = unsafe {
            rustix::mm::mmap_anonymous(ptr::null_mut(), bytes, protection, MapFlags::PRIVATE)
        };
        Self::new(start?.cast(), length)
    }

    fn new(start: *mut T, length: usize) -> io::Result<Self> {
        let start = NonNull::new(start).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, length })
    }
}

impl<T: Shared> Deref for Mapped<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: mapped until we are dropped, page-aligned, `length` records long, and any bytes are a record.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        let bytes = self.length * size_of::<T>();
        // SAFETY: mapped by us with this length; slices of it cannot outlive us.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), bytes) };
    }
}

/// Fills `buffer` with what the kernel tells of a TCP socket; returns how much it told, which grows with its version.
pub(super) fn tcp_info(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(buffer.len()).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: the kernel writes at most `length` bytes to the buffer, and to `length` how many those were.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    usize::try_from(length).map_err(io::Error::other)
}

/// Gives the allocator's free memory back to the system; allocations of other threads wait meanwhile.
pub(crate) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time from any thread (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Records and bytes.
fn size<T>(length: u32) -> io::Result<(usize, usize)> {
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
    let bytes = length.checked_mul(size_of::<T>());
    Ok((length, bytes.ok_or(io::ErrorKind::InvalidInput)?))
}
