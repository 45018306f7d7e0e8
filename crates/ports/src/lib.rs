//! The `ports` room.
