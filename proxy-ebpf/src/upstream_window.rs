//! `sock_ops` on the proxy's cgroup: how much a connection to upstream may send at once.
//!
//! TCP begins with ten segments and waits a round trip for each doubling, so a long prompt takes several. A path that has
//! carried more before can be trusted with more: a new connection begins with half of what its path has carried
//! ([`crate::acknowledgements`]). After a loss, with nothing known, or over what looks like another path, the
//! system's default stands. The idea is that of Careful Resume (draft-ietf-tsvwg-careful-resume).
//!
//! The window that was open before a connection idled is kept by the network namespace's setting, which is the proxy's
//! affair (`proxy/src/kernel/idle.rs`), or by another congestion control, which this program sets.

use core::ffi::c_int;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RETRANS_CB, BPF_SOCK_OPS_RETRANS_CB_FLAG,
    BPF_SOCK_OPS_RTT_CB, BPF_SOCK_OPS_RTT_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB,
    BPF_TCP_ESTABLISHED,
};
use aya_ebpf::helpers::bpf_setsockopt;
use aya_ebpf::macros::sock_ops;
use aya_ebpf::programs::SockOpsContext;
use proxy_common::{
    CONGESTION_NAME, DEFAULT_WINDOW, Figure, FlowRecord, LOSS_EVENT_NS, NAME_STEADY, NAME_USUAL,
    PathRecord, START_AUTO, WindowSettings, is_same_path, is_steady, next_hold,
};

use crate::maps::{self, FlowWindow};
use crate::socket::{ask_for_callbacks, cookie, now};

/// What we want to be called for.
const FLAGS: u32 = BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG;

/// `SOL_TCP`, from linux/socket.h.
const SOL_TCP: c_int = 6;
/// `TCP_BPF_IW`, from linux/bpf.h.
const TCP_BPF_IW: c_int = 1001;
/// `TCP_CONGESTION`, from linux/tcp.h.
const TCP_CONGESTION: c_int = 13;

/// A connection to upstream as far as this program knows it.
struct Connection {
    flow: *mut FlowRecord,
    window: *mut FlowWindow,
    path: *mut PathRecord,
    settings: *const WindowSettings,
}

/// The entry point. Returning 1 leaves the kernel's own decision alone.
#[sock_ops]
fn upstream_window(ctx: SockOpsContext) -> u32 {
    let _ = match ctx.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => connecting(&ctx),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => established(&ctx),
        BPF_SOCK_OPS_RTT_CB => acknowledged(&ctx),
        BPF_SOCK_OPS_RETRANS_CB => lost(&ctx),
        _ => None,
    };
    1
}

/// A SYN is about to leave. A window set now would be forgotten again (`tcp_init_transfer`).
#[inline(always)]
fn connecting(ctx: &SockOpsContext) -> Option<()> {
    let Connection { window, .. } = connection(ctx)?;
    ask_for_callbacks(ctx, FLAGS);
    // SAFETY: `connection` returned elements of maps.
    unsafe { FlowWindow::clear(window) };
    Some(())
}

/// The handshake is complete, and nothing was sent yet.
#[inline(always)]
fn established(ctx: &SockOpsContext) -> Option<()> {
    let connection = connection(ctx)?;
    let Connection {
        flow,
        path,
        settings,
        ..
    } = connection;
    ask_for_callbacks(ctx, FLAGS);
    // SAFETY: `connection` returned elements of maps, and `ctx.ops` is the context the kernel gave us.
    unsafe {
        if (*settings).choose != 0 {
            set_congestion(ctx, NAME_USUAL);
        }
        let segment = (*ctx.ops).mss_cache;
        if segment == 0 {
            return None;
        }
        let rtt_us = (*ctx.ops).srtt_us >> 3;
        let trusted = is_trusted(path, now()) && is_same_path(rtt_us, (*path).rtt_us);
        let wanted = match (*settings).start {
            START_AUTO if trusted => (*path).carried / 2 / segment,
            START_AUTO => 0,
            fixed => fixed,
        };
        let most = (*settings).ceiling / segment;
        let wanted = if wanted < most { wanted } else { most };
        let usual = (*ctx.ops).snd_cwnd;
        // What was learnt never makes it smaller; what somebody has chosen may.
        let changes = wanted > usual || (*settings).start != START_AUTO && wanted > 0;
        let began = if changes && set_window(ctx, wanted) {
            maps::count((*flow).slot, Figure::WindowsStarted, 1, 0);
            wanted
        } else {
            usual
        };
        (*path).started = began * segment;
        if trusted {
            keep(ctx, &connection);
        }
    }
    Some(())
}

/// Something was acknowledged, about a round trip after the last time.
#[inline(always)]
fn acknowledged(ctx: &SockOpsContext) -> Option<()> {
    let connection = connection(ctx)?;
    // SAFETY: `connection` returned elements of maps, and `ctx.ops` is the context the kernel gave us.
    unsafe {
        // The answer to the SYN is one, too, and comes before `established`.
        if (*ctx.ops).state == BPF_TCP_ESTABLISHED && is_trusted(connection.path, now()) {
            keep(ctx, &connection);
        }
    }
    Some(())
}

/// A segment was sent again.
#[inline(always)]
fn lost(ctx: &SockOpsContext) -> Option<()> {
    let Connection { window, path, .. } = connection(ctx)?;
    // SAFETY: `connection` returned elements of maps, and `ctx.ops` is the context the kernel gave us.
    unsafe {
        if (*ctx.ops).state != BPF_TCP_ESTABLISHED {
            return None;
        }
        (*window).recovers = 1;
        (*window).recovered_at = (*ctx.ops).snd_nxt;
        let now = now();
        let lost_ns = (*path).lost_ns;
        if lost_ns == 0 || now - lost_ns > LOSS_EVENT_NS {
            (*path).hold_s = next_hold(lost_ns, (*path).hold_s, now);
            (*path).carried /= 2;
            (*path).lost_ns = now;
        }
        if (*window).steady != 0 {
            (*window).steady = 0;
            set_congestion(ctx, NAME_USUAL);
        }
    }
    Some(())
}

/// Changes to the congestion control that keeps its window, where that is wanted and there is a window to keep.
///
/// # Safety
/// The connection is that of `ctx`.
#[inline(always)]
unsafe fn keep(ctx: &SockOpsContext, connection: &Connection) {
    let Connection {
        window,
        path,
        settings,
        ..
    } = *connection;
    // SAFETY: by the caller, and `ctx.ops` is the context the kernel gave us.
    unsafe {
        let wanted = (*settings).keep != 0 && (*window).steady == 0;
        if wanted && (*path).carried / 2 > DEFAULT_WINDOW * (*ctx.ops).mss_cache {
            (*window).steady = 1;
            set_congestion(ctx, NAME_STEADY);
        }
    }
}

/// Whether connections may rely on what the path has carried.
///
/// # Safety
/// `path` is an element of a map.
#[inline(always)]
unsafe fn is_trusted(path: *const PathRecord, now: u64) -> bool {
    // SAFETY: by the caller.
    unsafe { is_steady((*path).seen_ns, (*path).lost_ns, (*path).hold_s, now) }
}

/// Sets how many segments may be sent at once. Possible before anything was sent.
#[inline(always)]
fn set_window(ctx: &SockOpsContext, segments: u32) -> bool {
    let mut value = segments;
    // SAFETY: the helper takes the context of a sock_ops program, and reads as many bytes as it is told.
    unsafe {
        let (context, value) = (ctx.as_ptr(), (&raw mut value).cast());
        bpf_setsockopt(context, SOL_TCP, TCP_BPF_IW, value, 4) == 0
    }
}

/// Sets the congestion control. One the kernel does not have leaves things as they are.
#[inline(always)]
fn set_congestion(ctx: &SockOpsContext, number: u32) {
    let Some(name) = maps::name(number) else {
        return;
    };
    let length = CONGESTION_NAME as c_int;
    // SAFETY: the name is an element of a map, and the helper only reads it.
    unsafe {
        let name = name.cast_mut().cast();
        let _ = bpf_setsockopt(ctx.as_ptr(), SOL_TCP, TCP_CONGESTION, name, length);
    }
}

#[inline(always)]
fn connection(ctx: &SockOpsContext) -> Option<Connection> {
    let cookie = cookie(ctx);
    let flow = maps::flow(cookie)?;
    // SAFETY: `flow` is an element of a map.
    let path = unsafe { (*flow).path };
    Some(Connection {
        flow,
        window: maps::window(cookie)?,
        path: maps::path(path)?,
        settings: maps::window_settings()?,
    })
}
