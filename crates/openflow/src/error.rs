//! Error codes (OpenFlow 1.0, section 5.4.4; 1.3.5, section 7.5.4).

/// The type and code of an error message, as on the wire of its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode {
    /// `type`.
    pub kind: u16,
    /// `code`; `exp_type` of an experimenter's.
    pub code: u16,
    /// 1.3, type `0xffff`: whose.
    pub experimenter: Option<u32>,
}
