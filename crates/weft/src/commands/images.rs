//! `weft images`: what is kept of images, and taking it away.

use clap::{Args, Subcommand};
use quilt::images::{ImageRow, Pruned};
use quilt::runtime::{self, Store};

use super::{print_json, report};
use crate::style::{bytes as size, columns};

/// List the images that were unpacked or built, and remove them.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft images\n  weft images prune")]
pub(crate) struct Images {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Remove images, by name or by the first digits of their digest
    #[command(after_help = "Example:\n  weft images rm web")]
    Rm {
        /// Which
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Remove every image that no container runs on, and what is left of builds
    #[command(after_help = "Example:\n  weft images prune")]
    Prune,
}

impl Images {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let store = Store::from_env().map_err(report)?;
        let pruned = match &self.verb {
            None => {
                let rows = runtime::images(&store).map_err(report)?;
                if self.json {
                    return print_json(&rows);
                }
                print!("{}", table(&rows));
                return Ok(());
            }
            Some(Verb::Rm { images }) => runtime::remove_images(&store, images),
            Some(Verb::Prune) => runtime::prune_images(&store),
        };
        let pruned = pruned.map_err(report)?;
        if self.json {
            return print_json(&pruned);
        }
        let Pruned { images, layers, bytes } = pruned;
        println!("removed {images} images, {layers} layers, {}", size(bytes as f64));
        Ok(())
    }
}

fn table(rows: &[ImageRow]) -> String {
    let mut table = vec![["IMAGE", "DIGEST", "LAYERS", "SIZE", "USED BY"].map(str::to_owned).to_vec()];
    for row in rows {
        let digits = row.digest.trim_start_matches("sha256:");
        let over = if row.host { " over host" } else { "" };
        table.push(vec![
            row.name.clone(),
            digits.get(..12).unwrap_or(digits).to_owned(),
            format!("{}{over}", row.layers),
            size(row.bytes as f64),
            row.used_by.join(", "),
        ]);
    }
    columns(&table)
}
