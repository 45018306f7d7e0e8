//! Meters (OpenFlow 1.3.5, sections 5.7 and 7.3.4.4).

/// The highest number of a meter (`OFPM_MAX`).
pub const MAX: u32 = 0xffff_0000;
/// The slow path's meter (`OFPM_SLOWPATH`).
pub const SLOWPATH: u32 = 0xffff_fffd;
/// The controller connection's meter (`OFPM_CONTROLLER`).
pub const CONTROLLER: u32 = 0xffff_fffe;
/// Every meter (`OFPM_ALL`).
pub const ALL: u32 = 0xffff_ffff;

/// Bits of [`MeterMod::flags`].
pub mod flags {
    /// Rates in kbit/s.
    pub const KBPS: u16 = 1 << 0;
    /// Rates in packets per second.
    pub const PKTPS: u16 = 1 << 1;
    /// Burst sizes are given.
    pub const BURST: u16 = 1 << 2;
    /// Statistics are kept.
    pub const STATS: u16 = 1 << 3;
}

/// What happens above a band's rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BandKind {
    /// Drop.
    Drop,
    /// Raise the drop precedence of the DSCP by so much.
    DscpRemark {
        /// Steps.
        precedence: u8,
    },
    /// Another maker's.
    Experimenter {
        /// Who.
        experimenter: u32,
        /// All that follows.
        data: Vec<u8>,
    },
    /// None of these, with all that follows rate and burst.
    Other {
        /// `type`.
        kind: u16,
        /// The rest.
        data: Vec<u8>,
    },
}

/// A band of a meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// Rate above which it applies.
    pub rate: u32,
    /// Burst size, kbit or packets.
    pub burst: u32,
    /// What it does.
    pub kind: BandKind,
}

/// What a [`MeterMod`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MeterCommand {
    /// A new meter.
    Add,
    /// Other bands for the one there.
    Modify,
    /// None.
    Delete,
    /// None of 1.3's commands.
    Other(u16),
}

/// `ofp_meter_mod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterMod {
    /// What to do.
    pub command: MeterCommand,
    /// `flags::*`.
    pub flags: u16,
    /// Its number.
    pub meter: u32,
    /// Its bands.
    pub bands: Vec<Band>,
}

/// A meter as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterConfig {
    /// `flags::*`.
    pub flags: u16,
    /// Its number.
    pub meter: u32,
    /// Its bands.
    pub bands: Vec<Band>,
}

/// Counters of a meter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MeterStats {
    /// Its number.
    pub meter: u32,
    /// Flow entries that use it.
    pub flows: u32,
    /// Packets in.
    pub packets: u64,
    /// Bytes in.
    pub bytes: u64,
    /// Its age: seconds, nanoseconds.
    pub duration: (u32, u32),
    /// Packets and bytes of each band.
    pub bands: Vec<(u64, u64)>,
}

/// `ofp_meter_features`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MeterFeatures {
    /// Most meters.
    pub max_meters: u32,
    /// Bit `1 << band type`.
    pub band_types: u32,
    /// `flags::*`.
    pub capabilities: u32,
    /// Most bands of a meter.
    pub max_bands: u8,
    /// Most colours.
    pub max_color: u8,
}
