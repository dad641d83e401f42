//! What goes wrong upstream during a soak, and what a client may get of it.
//!
//! Some requests ask the emulator for a fault of their own; both upstreams they can go to then do the same, so the answer is
//! known. Others meet what goes on at an endpoint meanwhile ([`EVENTS`]). Answers are named as [`super::outcome`] does, and
//! are those of the table in docs/resilience.md.

use super::outcome::{LATER, NO_LIST, RESET};

/// A fault that a request asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    /// As the emulator reads it.
    pub(super) text: &'static str,
    /// What a request for an answer in one piece gets.
    pub(super) plain: &'static str,
    /// What a request for a stream gets; none is sent with this fault if empty.
    pub(super) streamed: &'static str,
}

const fn either(text: &'static str, answer: &'static str) -> Fault {
    fault(text, answer, answer)
}

const fn fault(text: &'static str, plain: &'static str, streamed: &'static str) -> Fault {
    Fault {
        text,
        plain,
        streamed,
    }
}

const WHOLE: &str = "200";
const BROKEN: &str = "200, broken off";
const CLOSED: &str = "502 `upstream_closed`";
const CLOSED_WITHIN: &str = "200, then `upstream_closed` as an event";
const IDLE_WITHIN: &str = "200, then `upstream_idle_timeout` as an event";
const FIRST_BYTE: &str = "504 `upstream_first_byte_timeout`";
const INVALID: &str = "502 `upstream_invalid_response`";

/// Those requests choose from.
pub(super) const FAULTS: [Fault; 22] = [
    either("reset", CLOSED),
    fault("reset;after=100", BROKEN, CLOSED_WITHIN),
    fault("cut;after=100", BROKEN, CLOSED_WITHIN),
    either("stall-before-headers", FIRST_BYTE),
    either("stall-before-headers;ms=300", WHOLE),
    fault("stall-after-headers", BROKEN, IDLE_WITHIN),
    either("stall-after-headers;ms=300", WHOLE),
    either("drip;ms=1", WHOLE),
    either("400", "400 of upstream's"),
    either("500", "500 of upstream's"),
    either("502", "502 of upstream's"),
    either("503;retry-after-ms=20", "503 of upstream's"),
    either("504", "504 of upstream's"),
    either("529", "529 of upstream's"),
    either("early-response;code=413", "413 of upstream's"),
    fault("oversized-body;bytes=300000", WHOLE, ""),
    either("oversized-headers", INVALID),
    either("malformed;kind=status-line", INVALID),
    either("malformed;kind=chunk-size", BROKEN),
    either("malformed;kind=length-and-chunked", INVALID),
    either("close-after;requests=1", WHOLE),
    either("close-idle;ms=50", WHOLE),
];

/// Where something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At one of the first upstream's three endpoints.
    Endpoint,
    /// At all three.
    Upstream,
    /// At all three, to requests with the first of its two keys.
    Key,
    /// One endpoint's process ends, and another takes its place.
    Restart,
}

/// What goes on for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) place: Place,
    /// As the emulator reads it.
    pub(super) text: &'static str,
    /// What requests may get of it besides what they would get without.
    pub(super) allows: &'static [&'static str],
}

const fn event(place: Place, text: &'static str, allows: &'static [&'static str]) -> Event {
    Event {
        place,
        text,
        allows,
    }
}

/// In this order, again and again.
pub(super) const EVENTS: [Event; 13] = [
    event(Place::Endpoint, "refuse", &[LATER]),
    event(Place::Endpoint, "503", &[]),
    event(Place::Endpoint, "reset", &[CLOSED]),
    event(Place::Upstream, "refuse", &[NO_LIST, LATER]),
    event(Place::Endpoint, "stall-before-headers", &[FIRST_BYTE]),
    event(Place::Key, "401", &[]),
    event(Place::Endpoint, "reset-on-accept", &[LATER]),
    event(Place::Restart, "", &[CLOSED, BROKEN, CLOSED_WITHIN, RESET]),
    event(
        Place::Endpoint,
        "cut;after=100",
        &[BROKEN, CLOSED_WITHIN, RESET],
    ),
    event(Place::Endpoint, "stall-handshake", &[LATER]),
    event(Place::Endpoint, "malformed;kind=status-line", &[INVALID]),
    event(Place::Endpoint, "expired-certificate", &[LATER]),
    event(Place::Key, "429", &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emulator_knows_all_of_them() {
        let events = EVENTS.iter().map(|event| event.text);
        let all = FAULTS.iter().map(|fault| fault.text).chain(events);
        for text in all.filter(|text| !text.is_empty()) {
            assert!(text.parse::<holysheep_emulator::Fault>().is_ok(), "{text}");
        }
    }
}
