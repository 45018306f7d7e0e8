//! Components that tell what is going on.

pub mod packet_dump;
pub mod switch_info;
