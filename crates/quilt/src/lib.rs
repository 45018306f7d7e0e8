//! The `quilt` room.
