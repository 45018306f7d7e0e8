//! What the longest-prefix match is measured beside.

pub(crate) mod rte_lpm;
pub(crate) mod static_tables;
