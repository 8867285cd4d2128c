//! Settings of the kernel half that change while it runs.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use weir_abi::Control;

use crate::source::clock::monotonic_ns;

/// Gives aya the layout facts it needs.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Value(Control);
// SAFETY: repr(C) integers without implicit padding (asserted in the ABI).
unsafe impl aya::Pod for Value {}

/// The kernel half's `CONTROL`, and its present value.
pub(crate) struct ControlMap {
    map: Array<MapData, Value>,
    now: Control,
}

impl ControlMap {
    /// Takes the map before any program is attached. Until then no socket gets a record.
    pub(crate) fn take(ebpf: &mut Ebpf, max_sockets: u32) -> Result<Self> {
        let map = ebpf.take_map("CONTROL").context("the object has no map CONTROL")?;
        let mut control = Self { map: Array::try_from(map)?, now: Control { max_sockets, ..Control::default() } };
        control.write()?;
        Ok(control)
    }

    /// From now on the data hooks follow one socket in `1 << shift`.
    pub(crate) fn sample(&mut self, shift: u32) -> Result<()> {
        if shift == self.now.sampling_shift {
            return Ok(());
        }
        self.now.sampling_shift = shift;
        self.now.sampling_epoch = self.now.sampling_epoch.wrapping_add(1);
        self.now.sampling_since_ns = monotonic_ns();
        self.write()
    }

    /// From now on at most this many sockets may have a record.
    pub(crate) fn limit_sockets(&mut self, most: u32) -> Result<()> {
        self.now.max_sockets = most;
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        self.map.set(0, Value(self.now), 0).context("write the settings of the kernel half")
    }
}
