//! The `packet` room.
