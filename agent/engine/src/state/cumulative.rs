//! Cumulative state: all that the inputs have come to. A window is the difference between two of these.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use weir_abi::{EdgeRecord, FIRST_SLOT, N_COUNTERS, SLOT_LIVE};

use crate::{
    input::{AgentCost, ProgramCost},
    snapshot::Cost,
    state::{
        compact::{Compact, Header},
        fold::Folded,
    },
};

pub(crate) type Counters = [u64; N_COUNTERS as usize];

#[derive(Clone, Debug)]
pub(crate) struct Cumulative {
    /// A mark shares what has not changed since.
    pub(crate) edges: BTreeMap<u32, Rc<Compact>>,
    /// What retired edges had counted.
    pub(crate) folded: Folded,
    /// Retired edges that went to `other`.
    pub(crate) services_over_limit: u64,
    pub(crate) counters: Counters,
    pub(crate) programs: BTreeMap<Arc<str>, ProgramCost>,
    pub(crate) agent: Option<AgentCost>,
}

impl Default for Cumulative {
    fn default() -> Self {
        Self {
            edges: BTreeMap::new(),
            folded: Folded::new(),
            services_over_limit: 0,
            counters: [0; N_COUNTERS as usize],
            programs: BTreeMap::new(),
            agent: None,
        }
    }
}

impl Cumulative {
    /// The header, of an edge that was not known.
    pub(crate) fn remember(&mut self, slot: u32, record: &EdgeRecord) -> Option<Header> {
        // A slot that is not in use has nothing to say; those of `other` never become live but count.
        if slot >= FIRST_SLOT && record.state != SLOT_LIVE {
            return None;
        }
        match self.edges.get_mut(&slot) {
            Some(known) => {
                match Rc::get_mut(known) {
                    Some(own) => own.assign_from(record),
                    None => *known = Rc::new(known.successor(record)), // a mark has it too
                }
                None
            }
            None => {
                let compact = Compact::of(record);
                let header = compact.header;
                self.edges.insert(slot, Rc::new(compact));
                Some(header)
            }
        }
    }

    pub(crate) fn remember_program(&mut self, program: ProgramCost) {
        match self.programs.get_mut(&program.name) {
            Some(known) => *known = program,
            None => {
                self.programs.insert(program.name.clone(), program);
            }
        }
    }

    /// Takes over a later state; records are shared until they change. What was retired since is gone from both.
    pub(crate) fn assign_from(&mut self, later: &Self) {
        let Self { edges, folded, services_over_limit, counters, programs, agent } = later;
        for (slot, record) in edges {
            self.edges.insert(*slot, Rc::clone(record));
        }
        for (key, sum) in folded {
            self.folded.insert(Rc::clone(key), Rc::clone(sum));
        }
        self.services_over_limit = *services_over_limit;
        self.counters = *counters;
        programs.values().for_each(|program| self.remember_program(program.clone()));
        self.agent.clone_from(agent);
    }

    pub(crate) fn cost_since(&self, before: &Self) -> Cost {
        let programs = self.programs.values().map(|now| {
            let earlier = before.programs.get(&now.name);
            let runs = now.runs.map(|(runs, ns)| {
                let (runs_before, ns_before) = earlier.and_then(|b| b.runs).unwrap_or((0, 0));
                (runs.saturating_sub(runs_before), ns.saturating_sub(ns_before))
            });
            let misses = now.recursion_misses.saturating_sub(earlier.map_or(0, |b| b.recursion_misses));
            ProgramCost { name: now.name.clone(), runs, recursion_misses: misses }
        });
        let agent = self.agent.clone().unwrap_or_default();
        Cost {
            agent_cpu_ns: agent.cpu_ns.saturating_sub(before.agent.as_ref().map_or(0, |b| b.cpu_ns)),
            agent_rss_bytes: agent.rss_bytes,
            map_bytes: agent.map_bytes,
            programs: programs.collect(),
        }
    }
}
