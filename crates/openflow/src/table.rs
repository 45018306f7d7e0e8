//! What tables count and what they can do.

use crate::oxm::Oxm;

/// Counters of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableStats {
    /// The table.
    pub table: u8,
    /// 1.0: its name, at most 31 bytes.
    pub name: String,
    /// 1.0: fields it can leave out (`OFPFW_*`).
    pub wildcards: u32,
    /// 1.0: most entries.
    pub max_entries: u32,
    /// Entries.
    pub active: u32,
    /// Packets looked up.
    pub lookups: u64,
    /// Packets that matched.
    pub matched: u64,
}

/// `ofp_table_features` (1.3.5, section 7.3.5.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableFeatures {
    /// The table.
    pub table: u8,
    /// Its name, at most 31 bytes.
    pub name: String,
    /// Metadata bits it can match.
    pub metadata_match: u64,
    /// Metadata bits it can write.
    pub metadata_write: u64,
    /// Deprecated bits.
    pub config: u32,
    /// Most entries.
    pub max_entries: u32,
    /// Its properties.
    pub properties: Vec<TableProperty>,
}

/// A property of a table; `miss` is that of the table-miss entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableProperty {
    /// Instructions it takes.
    Instructions {
        /// Of the table-miss entry.
        miss: bool,
        /// Their types.
        instructions: Vec<TypeId>,
    },
    /// Tables it can go on to.
    NextTables {
        /// Of the table-miss entry.
        miss: bool,
        /// Their numbers.
        tables: Vec<u8>,
    },
    /// Actions it can write.
    WriteActions {
        /// Of the table-miss entry.
        miss: bool,
        /// Their types.
        actions: Vec<TypeId>,
    },
    /// Actions it can apply.
    ApplyActions {
        /// Of the table-miss entry.
        miss: bool,
        /// Their types.
        actions: Vec<TypeId>,
    },
    /// Fields it can match: headers without payload.
    Match(Vec<Oxm>),
    /// Fields it can leave out.
    Wildcards(Vec<Oxm>),
    /// Fields it can write.
    WriteSetField {
        /// Of the table-miss entry.
        miss: bool,
        /// Headers without payload.
        fields: Vec<Oxm>,
    },
    /// Fields it can set at once.
    ApplySetField {
        /// Of the table-miss entry.
        miss: bool,
        /// Headers without payload.
        fields: Vec<Oxm>,
    },
    /// Any other: its type and bytes, padding left out.
    Other(u16, Vec<u8>),
}

/// The type of an instruction or action, with all that an experimenter's header adds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeId {
    /// `type`.
    pub kind: u16,
    /// What follows the length: nothing, or an experimenter and its bytes.
    pub data: Vec<u8>,
}
