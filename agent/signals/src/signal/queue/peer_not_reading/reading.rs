//! What a window holds of an edge of which one end may not read.

use crate::{
    facts::senders::{Flow, Receiver},
    signal::prelude::*,
};

/// A connection is held up that had something to send for so long, the receiver's window being closed for this part of it.
/// Choices; a reader that is too slow holds its sender up for all of the time (measured: 3,116 of 3,116 ms).
const LEAST_BUSY_US: u64 = 1_000_000;
pub(super) const HELD_UP: f64 = 0.5;
/// What waits needs so long to go, at the pace at which it goes. A choice: a fast transfer through a small window (H14) is
/// not held up.
const LEAST_WAIT_S: f64 = 1.0;
/// More connections than normal: to raise, to be over; and so many times as many. Choices.
const RAISE: (f64, f64) = (0.5, 1.5);
const CLEAR: (f64, f64) = (0.25, 1.2);
/// One of many is no fault of the service. A choice.
const NOTABLE_SHARE: f64 = 0.2;

classes! {
    /// Which end does not read.
    pub(super) enum Class {
        Client = "client does not read",
        Server = "server does not read",
    }
}

/// What is held up on an edge, of all its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// On average over the window.
    pub(super) connections: f64,
    /// Microseconds with something to send, and of them held up by the receiver.
    busy_us: u64,
    limited_us: u64,
    pub(super) queued_bytes: u64,
    pub(super) acked_bytes_per_s: f64,
    segments: u64,
    retransmitted: u64,
    /// Connections that were held up.
    pub(super) seen: u64,
    /// The one in which most waits.
    pub(super) worst: Option<Worst>,
}

#[derive(Clone, Debug)]
pub(super) struct Worst {
    queued_bytes: u32,
    /// The process or address that does not read.
    pub(super) reader: Place,
    pub(super) receiver: Receiver,
    pub(super) server_port: Option<u16>,
}

impl Held {
    /// Adds a connection, if it is held up.
    pub(super) fn add(&mut self, flow: &Flow<'_>) {
        let sender = flow.sender;
        let over_s = sender.over_ns as f64 / 1e9;
        let acked_per_s = sender.acked_bytes as f64 / over_s;
        let share = sender.receiver_limited_us as f64 / sender.busy_us.max(1) as f64;
        let goes_slowly = f64::from(sender.last.queued_bytes) >= LEAST_WAIT_S * acked_per_s;
        if sender.busy_us < LEAST_BUSY_US || share < HELD_UP || !goes_slowly {
            return;
        }
        self.connections += (sender.receiver_limited_us as f64 / 1e6 / over_s).min(1.0);
        self.busy_us = self.busy_us.saturating_add(sender.busy_us);
        self.limited_us = self.limited_us.saturating_add(sender.receiver_limited_us);
        self.queued_bytes = self.queued_bytes.saturating_add(sender.last.queued_bytes.into());
        self.acked_bytes_per_s += acked_per_s;
        self.segments = self.segments.saturating_add(sender.segments.into());
        self.retransmitted = self.retransmitted.saturating_add(sender.retransmitted.into());
        self.seen += 1;
        let queued_bytes = sender.last.queued_bytes;
        if self.worst.as_ref().is_none_or(|worst| queued_bytes > worst.queued_bytes) {
            let (reader, receiver, server_port) = (flow.place(), flow.receiver, flow.edge.server.port);
            self.worst = Some(Worst { queued_bytes, reader, receiver, server_port });
        }
    }

    /// The part of the time with something to send.
    pub(super) fn share(&self) -> f64 {
        self.limited_us as f64 / self.busy_us.max(1) as f64
    }

    /// Segments retransmitted, of all.
    pub(super) fn retransmitted(&self) -> Proportion {
        Proportion::new(self.retransmitted, self.segments)
    }

    /// How long what waits needs to go, at the pace at which it goes; none where nothing goes.
    pub(super) fn wait_s(&self) -> Option<f64> {
        (self.acked_bytes_per_s > 0.0).then(|| self.queued_bytes as f64 / self.acked_bytes_per_s)
    }
}

/// It against what is normal.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(super) held: Held,
    pub(super) rounds: u64,
    /// Open ones, of the edge.
    pub(super) connections: u64,
    pub(super) normal: Option<f64>,
}

impl Reading {
    pub(super) fn finding(&self) -> Finding {
        let Some(normal) = self.normal else { return Finding::NoData };
        let above = |(more, times): (f64, f64)| self.held.connections >= (normal + more).max(normal * times);
        if above(RAISE) {
            let share = self.held.connections / self.connections.max(1) as f64;
            return Finding::Raise(if share >= NOTABLE_SHARE { Severity::Warn } else { Severity::Info });
        }
        if above(CLEAR) { Finding::Between } else { Finding::Clear }
    }

    pub(super) fn class(&self) -> Class {
        match self.held.worst.as_ref().map(|worst| worst.receiver) {
            Some(Receiver::Client) => Class::Client,
            Some(Receiver::Server) | None => Class::Server,
        }
    }
}
