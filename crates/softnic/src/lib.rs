//! The `softnic` room.
