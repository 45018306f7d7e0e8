//! Error codes (OpenFlow 1.0, section 5.4.4; 1.3.5, section 7.5.4).
//!
//! A [`Fault`] is what went wrong, whatever the version; [`Fault::code`] is how a version says it. What 1.0 has no code
//! for is said with the codes that Nicira added to it, and what those lack too with [`UNENCODABLE`] of theirs.

use std::fmt;

use crate::Version;
use crate::nicira::VENDOR as NICIRA;

/// The Open Networking Foundation as an experimenter.
pub const ONF: u32 = 0x4f4e_4600;
/// `type` of an experimenter's error in 1.3.
pub const EXPERIMENTER: u16 = 0xffff;
/// `type` of an error of Nicira's in 1.0 (`NXET_VENDOR`).
pub const NICIRA_ERROR: u16 = 0xb0c2;
/// Nicira's code of type 1 for an error that the version has no code for (`NXBRC_UNENCODABLE_ERROR`).
pub const UNENCODABLE: u16 = 521;

/// The type and code of an error message, as on the wire of its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode {
    /// `type`.
    pub kind: u16,
    /// `code`; `exp_type` of an experimenter's.
    pub code: u16,
    /// 1.3, type `0xffff`: whose. 1.0: [`NICIRA`](crate::nicira::VENDOR) where the type and code are those within
    /// Nicira's error.
    pub experimenter: Option<u32>,
}

impl ErrorCode {
    /// One of the version's own.
    #[must_use]
    pub const fn new(kind: u16, code: u16) -> Self {
        Self { kind, code, experimenter: None }
    }

    /// What it means; `None` for a code that is not known here.
    #[must_use]
    pub fn fault(self, version: Version) -> Option<Fault> {
        Fault::ALL.iter().copied().find(|fault| fault.known_code(version) == Some(self))
    }
}

/// Nicira's code for what 1.0 cannot say.
const fn nicira(kind: u16, code: u16) -> Option<ErrorCode> {
    Some(ErrorCode { kind, code, experimenter: Some(NICIRA) })
}

/// Nicira's code in 1.3.
const fn nicira_v13(code: u16) -> Option<ErrorCode> {
    Some(ErrorCode { kind: EXPERIMENTER, code, experimenter: Some(NICIRA) })
}

/// The Foundation's code for what 1.3 cannot say.
const fn onf(code: u16) -> Option<ErrorCode> {
    Some(ErrorCode { kind: EXPERIMENTER, code, experimenter: Some(ONF) })
}

const fn of(kind: u16, code: u16) -> Option<ErrorCode> {
    Some(ErrorCode::new(kind, code))
}

macro_rules! faults {
    ($($(#[$doc:meta])* $group:ident $prefix:literal {
        $($(#[$inner:meta])* $name:ident $text:literal $v10:expr, $v13:expr;)+
    })+) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $group {
            $($(#[$inner])* $name,)+
        }

        impl $group {
            /// Its name in the specification.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => concat!($prefix, $text),)+ }
            }

            const fn codes(self) -> [Option<ErrorCode>; 2] {
                match self { $(Self::$name => [$v10, $v13],)+ }
            }
        }

        impl From<$group> for Fault {
            fn from(fault: $group) -> Self {
                Self::$group(fault)
            }
        })+

        /// What is wrong with a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Fault {
            $($(#[$doc])* $group($group),)+
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Self] = &[$($(Self::$group($group::$name),)+)+];

            /// Its name in the specification: `OFPBAC_BAD_OUT_PORT`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$group(fault) => fault.name(),)+ }
            }

            const fn codes(self) -> [Option<ErrorCode>; 2] {
                match self { $(Self::$group(fault) => fault.codes(),)+ }
            }
        }
    };
}

// Columns: 1.0, 1.3. Nicira's and ONF's as in OVS' public header ofp-errors.h.
faults! {
    /// `OFPET_HELLO_FAILED`.
    HelloFailed "OFPHFC_" {
        /// No version in common.
        Incompatible "INCOMPATIBLE" of(0, 0), of(0, 0);
        /// Not allowed.
        Eperm "EPERM" of(0, 1), of(0, 1);
    }
    /// `OFPET_BAD_REQUEST`.
    BadRequest "OFPBRC_" {
        /// That version is not spoken.
        BadVersion "BAD_VERSION" of(1, 0), of(1, 0);
        /// No such message.
        BadType "BAD_TYPE" of(1, 1), of(1, 1);
        /// No such statistics.
        BadMultipart "BAD_MULTIPART" of(1, 2), of(1, 2);
        /// Experimenter not known (`BAD_VENDOR` in 1.0).
        BadExperimenter "BAD_EXPERIMENTER" of(1, 3), of(1, 3);
        /// Type not known of that experimenter (`BAD_SUBTYPE` in 1.0).
        BadExpType "BAD_EXP_TYPE" of(1, 4), of(1, 4);
        /// Not allowed.
        Eperm "EPERM" of(1, 5), of(1, 5);
        /// Wrong length.
        BadLen "BAD_LEN" of(1, 6), of(1, 6);
        /// The buffer was used.
        BufferEmpty "BUFFER_EMPTY" of(1, 7), of(1, 7);
        /// No such buffer.
        BufferUnknown "BUFFER_UNKNOWN" of(1, 8), of(1, 8);
        /// No such table.
        BadTableId "BAD_TABLE_ID" nicira(1, 512), of(1, 9);
        /// A slave may not.
        IsSlave "IS_SLAVE" of(1, 5), of(1, 10);
        /// No such port.
        BadPort "BAD_PORT" nicira(1, 514), of(1, 11);
        /// A packet-out's packet is none.
        BadPacket "BAD_PACKET" None, of(1, 12);
        /// A request of several parts is too long.
        MultipartBufferOverflow "MULTIPART_BUFFER_OVERFLOW" None, of(1, 13);
    }
    /// `OFPET_BAD_ACTION`.
    BadAction "OFPBAC_" {
        /// No such action.
        BadType "BAD_TYPE" of(2, 0), of(2, 0);
        /// Wrong length.
        BadLen "BAD_LEN" of(2, 1), of(2, 1);
        /// Experimenter not known (`BAD_VENDOR` in 1.0).
        BadExperimenter "BAD_EXPERIMENTER" of(2, 2), of(2, 2);
        /// Type not known of that experimenter (`BAD_VENDOR_TYPE` in 1.0).
        BadExpType "BAD_EXP_TYPE" of(2, 3), of(2, 3);
        /// Port out of range or not there.
        BadOutPort "BAD_OUT_PORT" of(2, 4), of(2, 4);
        /// Argument out of range.
        BadArgument "BAD_ARGUMENT" of(2, 5), of(2, 5);
        /// Not allowed.
        Eperm "EPERM" of(2, 6), of(2, 6);
        /// Too many actions.
        TooMany "TOO_MANY" of(2, 7), of(2, 7);
        /// No such queue.
        BadQueue "BAD_QUEUE" of(2, 8), of(2, 8);
        /// No such group.
        BadOutGroup "BAD_OUT_GROUP" None, of(2, 9);
        /// Not for packets of that match.
        MatchInconsistent "MATCH_INCONSISTENT" nicira(1, 522), of(2, 10);
        /// Not in that order.
        UnsupportedOrder "UNSUPPORTED_ORDER" None, of(2, 11);
        /// No such tag.
        BadTag "BAD_TAG" None, of(2, 12);
        /// A field that cannot be set.
        BadSetType "BAD_SET_TYPE" nicira(1, 523), of(2, 13);
        /// Length of a field to set.
        BadSetLen "BAD_SET_LEN" nicira(1, 524), of(2, 14);
        /// Value of a field to set.
        BadSetArgument "BAD_SET_ARGUMENT" nicira(1, 525), of(2, 15);
        /// A field to set has a mask.
        BadSetMask "BAD_SET_MASK" None, onf(4250);
    }
    /// `OFPET_BAD_INSTRUCTION`.
    BadInstruction "OFPBIC_" {
        /// No such instruction.
        UnknownInst "UNKNOWN_INST" None, of(3, 0);
        /// Not in that table.
        UnsupInst "UNSUP_INST" nicira(2, 257), of(3, 1);
        /// No such table, or an earlier one.
        BadTableId "BAD_TABLE_ID" None, of(3, 2);
        /// That metadata is not supported.
        UnsupMetadata "UNSUP_METADATA" None, of(3, 3);
        /// That mask is not supported.
        UnsupMetadataMask "UNSUP_METADATA_MASK" None, of(3, 4);
        /// Experimenter not known.
        BadExperimenter "BAD_EXPERIMENTER" None, of(3, 5);
        /// Type not known of that experimenter.
        BadExpType "BAD_EXP_TYPE" None, of(3, 6);
        /// Wrong length.
        BadLen "BAD_LEN" None, of(3, 7);
        /// Not allowed.
        Eperm "EPERM" None, of(3, 8);
        /// Twice the same (ONF's extension in 1.3).
        DupInst "DUP_INST" None, onf(2600);
    }
    /// `OFPET_BAD_MATCH`.
    BadMatch "OFPBMC_" {
        /// No such kind of match.
        BadType "BAD_TYPE" None, of(4, 0);
        /// Wrong length.
        BadLen "BAD_LEN" nicira(1, 256), of(4, 1);
        /// No such tag.
        BadTag "BAD_TAG" None, of(4, 2);
        /// Hardware addresses cannot be masked so.
        BadDlAddrMask "BAD_DL_ADDR_MASK" None, of(4, 3);
        /// Network addresses cannot be masked so.
        BadNwAddrMask "BAD_NW_ADDR_MASK" None, of(4, 4);
        /// Those fields cannot be left out, or the value has bits outside its mask.
        BadWildcards "BAD_WILDCARDS" nicira(1, 262), of(4, 5);
        /// No such field.
        BadField "BAD_FIELD" nicira(0, 263), of(4, 6);
        /// Value out of range.
        BadValue "BAD_VALUE" nicira(1, 258), of(4, 7);
        /// That mask is not supported.
        BadMask "BAD_MASK" nicira(1, 259), of(4, 8);
        /// A field that another one needs is missing.
        BadPrereq "BAD_PREREQ" nicira(1, 260), of(4, 9);
        /// Twice the same field.
        DupField "DUP_FIELD" nicira(1, 261), of(4, 10);
        /// Not allowed.
        Eperm "EPERM" None, of(4, 11);
    }
    /// `OFPET_FLOW_MOD_FAILED`.
    FlowModFailed "OFPFMFC_" {
        /// For a reason not told.
        Unknown "UNKNOWN" None, of(5, 0);
        /// The table is full (`ALL_TABLES_FULL` in 1.0).
        TableFull "TABLE_FULL" of(3, 0), of(5, 1);
        /// No such table.
        BadTableId "BAD_TABLE_ID" nicira(5, 257), of(5, 2);
        /// Overlaps another entry.
        Overlap "OVERLAP" of(3, 1), of(5, 3);
        /// Not allowed.
        Eperm "EPERM" of(3, 2), of(5, 4);
        /// Those timeouts are not supported.
        BadTimeout "BAD_TIMEOUT" None, of(5, 5);
        /// 1.0: an emergency entry with a timeout.
        BadEmergTimeout "BAD_EMERG_TIMEOUT" of(3, 3), None;
        /// No such command.
        BadCommand "BAD_COMMAND" of(3, 4), of(5, 6);
        /// Those flags are not supported.
        BadFlags "BAD_FLAGS" nicira(3, 258), of(5, 7);
        /// 1.0: those actions cannot be done in that order.
        Unsupported "UNSUPPORTED" of(3, 5), None;
    }
    /// `OFPET_GROUP_MOD_FAILED`.
    GroupModFailed "OFPGMFC_" {
        /// It is there already.
        GroupExists "GROUP_EXISTS" None, of(6, 0);
        /// Nothing a group can be.
        InvalidGroup "INVALID_GROUP" None, of(6, 1);
        /// Shares cannot differ.
        WeightUnsupported "WEIGHT_UNSUPPORTED" None, of(6, 2);
        /// The table is full.
        OutOfGroups "OUT_OF_GROUPS" None, of(6, 3);
        /// Too many buckets.
        OutOfBuckets "OUT_OF_BUCKETS" None, of(6, 4);
        /// No groups within groups.
        ChainingUnsupported "CHAINING_UNSUPPORTED" None, of(6, 5);
        /// Cannot watch that.
        WatchUnsupported "WATCH_UNSUPPORTED" None, of(6, 6);
        /// It would lead to itself.
        Loop "LOOP" None, of(6, 7);
        /// It is not there.
        UnknownGroup "UNKNOWN_GROUP" None, of(6, 8);
        /// Another one leads there.
        ChainedGroup "CHAINED_GROUP" None, of(6, 9);
        /// No such kind.
        BadType "BAD_TYPE" None, of(6, 10);
        /// No such command.
        BadCommand "BAD_COMMAND" None, of(6, 11);
        /// A bucket is wrong.
        BadBucket "BAD_BUCKET" None, of(6, 12);
        /// What it watches is wrong.
        BadWatch "BAD_WATCH" None, of(6, 13);
        /// Not allowed.
        Eperm "EPERM" None, of(6, 14);
    }
    /// `OFPET_PORT_MOD_FAILED`.
    PortModFailed "OFPPMFC_" {
        /// No such port.
        BadPort "BAD_PORT" of(4, 0), of(7, 0);
        /// Not that port's address.
        BadHwAddr "BAD_HW_ADDR" of(4, 1), of(7, 1);
        /// Cannot be configured so.
        BadConfig "BAD_CONFIG" None, of(7, 2);
        /// Cannot advertise that.
        BadAdvertise "BAD_ADVERTISE" None, of(7, 3);
        /// Not allowed.
        Eperm "EPERM" None, of(7, 4);
    }
    /// `OFPET_TABLE_MOD_FAILED`.
    TableModFailed "OFPTMFC_" {
        /// No such table.
        BadTable "BAD_TABLE" None, of(8, 0);
        /// Cannot be configured so.
        BadConfig "BAD_CONFIG" None, of(8, 1);
        /// Not allowed.
        Eperm "EPERM" None, of(8, 2);
    }
    /// `OFPET_QUEUE_OP_FAILED`.
    QueueOpFailed "OFPQOFC_" {
        /// No such port.
        BadPort "BAD_PORT" of(5, 0), of(9, 0);
        /// No such queue.
        BadQueue "BAD_QUEUE" of(5, 1), of(9, 1);
        /// Not allowed.
        Eperm "EPERM" of(5, 2), of(9, 2);
    }
    /// `OFPET_SWITCH_CONFIG_FAILED`.
    SwitchConfigFailed "OFPSCFC_" {
        /// No such flags.
        BadFlags "BAD_FLAGS" None, of(10, 0);
        /// That length is not supported.
        BadLen "BAD_LEN" None, of(10, 1);
        /// Not allowed.
        Eperm "EPERM" None, of(10, 2);
    }
    /// `OFPET_ROLE_REQUEST_FAILED`.
    RoleRequestFailed "OFPRRFC_" {
        /// An older election.
        Stale "STALE" None, of(11, 0);
        /// Roles cannot be changed.
        Unsup "UNSUP" None, of(11, 1);
        /// No such role.
        BadRole "BAD_ROLE" None, of(11, 2);
    }
    /// `OFPET_METER_MOD_FAILED`.
    MeterModFailed "OFPMMFC_" {
        /// For a reason not told.
        Unknown "UNKNOWN" None, of(12, 0);
        /// It is there already.
        MeterExists "METER_EXISTS" None, of(12, 1);
        /// Nothing a meter can be.
        InvalidMeter "INVALID_METER" None, of(12, 2);
        /// It is not there.
        UnknownMeter "UNKNOWN_METER" None, of(12, 3);
        /// No such command.
        BadCommand "BAD_COMMAND" None, of(12, 4);
        /// Those flags are not supported.
        BadFlags "BAD_FLAGS" None, of(12, 5);
        /// That rate is not supported.
        BadRate "BAD_RATE" None, of(12, 6);
        /// That burst is not supported.
        BadBurst "BAD_BURST" None, of(12, 7);
        /// No such band.
        BadBand "BAD_BAND" None, of(12, 8);
        /// A band's value is not supported.
        BadBandValue "BAD_BAND_VALUE" None, of(12, 9);
        /// Too many meters.
        OutOfMeters "OUT_OF_METERS" None, of(12, 10);
        /// Too many bands.
        OutOfBands "OUT_OF_BANDS" None, of(12, 11);
    }
    /// `OFPET_TABLE_FEATURES_FAILED`.
    TableFeaturesFailed "OFPTFFC_" {
        /// No such table.
        BadTable "BAD_TABLE" None, of(13, 0);
        /// Those metadata bits are not supported.
        BadMetadata "BAD_METADATA" None, of(13, 1);
        /// No such property.
        BadType "BAD_TYPE" None, of(13, 2);
        /// Wrong length.
        BadLen "BAD_LEN" None, of(13, 3);
        /// That property is not supported so.
        BadArgument "BAD_ARGUMENT" None, of(13, 4);
        /// Not allowed.
        Eperm "EPERM" None, of(13, 5);
    }
    /// Flow monitors, by the names of OVS, which are 1.4's (`OFPET_FLOW_MONITOR_FAILED`).
    FlowMonitorFailed "OFPMOFC_" {
        /// There is one of that id.
        MonitorExists "MONITOR_EXISTS" nicira(1, 517), nicira_v13(6);
        /// No such flags, or none that says when to tell.
        BadFlags "BAD_FLAGS" nicira(1, 518), nicira_v13(7);
        /// There is none of that id.
        UnknownMonitor "UNKNOWN_MONITOR" nicira(1, 519), nicira_v13(8);
    }
    /// What is wrong with requests of Nicira's (`NXBRC_*`).
    NiciraRequest "NXBRC_" {
        /// Padding that must be zero is not.
        MustBeZero "MUST_BE_ZERO" nicira(1, 515), nicira_v13(4);
        /// A flow monitor's update of no known event.
        BadEvent "FM_BAD_EVENT" nicira(1, 520), nicira_v13(9);
    }
}

impl Fault {
    /// How that version says it.
    #[must_use]
    pub fn code(self, version: Version) -> ErrorCode {
        self.known_code(version).unwrap_or(match version {
            Version::V10 => ErrorCode { kind: 1, code: UNENCODABLE, experimenter: Some(NICIRA) },
            Version::V13 => ErrorCode { kind: EXPERIMENTER, code: 10, experimenter: Some(NICIRA) },
        })
    }

    const fn known_code(self, version: Version) -> Option<ErrorCode> {
        let [v10, v13] = self.codes();
        match version {
            Version::V10 => v10,
            Version::V13 => v13,
        }
    }
}

impl fmt::Display for Fault {
    /// Its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn codes_and_faults_are_one_to_one_but_for_what_1_0_merged() {
        for version in Version::ALL {
            let mut seen: HashMap<ErrorCode, Fault> = HashMap::new();
            for fault in Fault::ALL {
                let Some(code) = fault.known_code(version) else { continue };
                let other = seen.insert(code, *fault);
                let merged = version == Version::V10 && fault.name() == "OFPBRC_IS_SLAVE";
                assert!(other.is_none() || merged, "{version}: {code:?} is {other:?} and {fault:?}");
                assert!(merged || code.fault(version) == Some(*fault), "{version}: {fault:?}");
            }
        }
    }

    #[test]
    fn what_1_0_has_no_code_for_is_said_with_nicira_s() {
        let code = |fault: Fault| fault.code(Version::V10);
        assert_eq!(code(BadRequest::IsSlave.into()), ErrorCode::new(1, 5));
        assert_eq!(code(PortModFailed::BadHwAddr.into()), ErrorCode::new(4, 1));
        assert_eq!(
            code(BadMatch::BadPrereq.into()),
            ErrorCode { kind: 1, code: 260, experimenter: Some(NICIRA) }
        );
        assert_eq!(
            code(MeterModFailed::BadRate.into()),
            ErrorCode { kind: 1, code: UNENCODABLE, experimenter: Some(NICIRA) }
        );
        assert_eq!(Fault::from(BadAction::BadOutPort).name(), "OFPBAC_BAD_OUT_PORT");
        assert_eq!(ErrorCode::new(77, 0).fault(Version::V13), None);
    }
}
