//! The `topology` room.
