//! Images: where the files of containers come from when it is not this host alone.
//!
//! ```text
//!  'nginx:1.25'            ──▶ a program of this host that stands for it            alias
//!  'oci:./app.tar'         ──▶ index, manifest, configuration ─┐                     layout
//!  new Image({dockerfile}) ──▶ stages of steps, with keys ─────┤ digest: in the plan recipe
//!                                                              ▼
//!  weft up ──▶ layers: unpacked, or written by a step that ran in a container       prepare, unpack
//!                └──▶ $WEFT_STATE/images, once for all deployments                   store
//! ```
//!
//! A blueprint says what an image's content is before anything of it is made: so a plan shows `image changed`, and what is
//! there already is not made again.

mod alias;
mod build;
mod config;
mod context;
mod dockerfile;
mod error;
pub(crate) mod fuzzing;
mod glob;
mod layout;
mod prepare;
mod recipe;
pub(crate) mod resolve;
mod store;
mod tarball;
mod unpack;
mod zstd;

pub(crate) use alias::lacking;
pub use alias::{ALIASES, Alias, advice, alias, command};
pub use build::RUN_TIME_MAX;
pub use config::Config;
pub use dockerfile::{BYTES_MAX as DOCKERFILE_BYTES_MAX, INSTRUCTIONS_MAX, KNOWN as INSTRUCTIONS};
pub use error::ImageError;
pub use prepare::serve;
pub(crate) use prepare::{Failure, Making, Prepared, prepare};
pub use store::{ImageRow, ImageStore, Pruned, Users};

pub use context::{BYTES_MAX as COPY_BYTES_MAX, ENTRIES_MAX as COPY_ENTRIES_MAX};
pub use layout::DOCUMENT_BYTES_MAX;
pub use unpack::{BYTES_MAX as IMAGE_BYTES_MAX, ENTRIES_MAX as IMAGE_ENTRIES_MAX};
