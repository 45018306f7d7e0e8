//! The images that are kept: which there are, and taking them away.

use std::process::Command;

use super::RuntimeError;
use super::store::Store;
use crate::images::{ImageError, ImageRow, Pruned, Users};

/// Every image that is kept, by name.
///
/// # Errors
/// When the state cannot be read.
pub fn images(store: &Store) -> Result<Vec<ImageRow>, RuntimeError> {
    Ok(store.images().list(&users(store)?)?)
}

/// Removes the images that `wanted` names, by name or by the beginning of their digest.
///
/// # Errors
/// There is none of a name, containers run on one, or files cannot be removed.
pub fn remove_images(store: &Store, wanted: &[String]) -> Result<Pruned, RuntimeError> {
    let rows = images(store)?;
    let mut doomed = Vec::new();
    for name in wanted {
        let named: Vec<_> = rows.iter().filter(|row| is_called(row, name)).collect();
        if named.is_empty() {
            let known = rows.iter().map(|row| row.name.clone()).collect();
            return Err(RuntimeError::NoImage { name: name.clone(), known });
        }
        for row in named {
            if !row.used_by.is_empty() {
                return Err(RuntimeError::ImageInUse { name: name.clone(), used_by: row.used_by.clone() });
            }
            doomed.push(row.digest.clone());
        }
    }
    take_away(store, |row| doomed.contains(&row.digest))
}

/// Removes every image that no container runs on, and all layers that no other image has.
///
/// # Errors
/// When files cannot be removed.
pub fn prune_images(store: &Store) -> Result<Pruned, RuntimeError> {
    take_away(store, |row| row.used_by.is_empty())
}

/// Whether an image is called so: by its name, or by the digits that its digest begins with.
fn is_called(row: &ImageRow, name: &str) -> bool {
    const DIGITS_MIN: usize = 6;
    let digits = row.digest.trim_start_matches("sha256:");
    let asked = name.trim_start_matches("sha256:");
    row.name == name || (asked.len() >= DIGITS_MIN && digits.starts_with(asked))
}

fn take_away(store: &Store, doomed: impl Fn(&ImageRow) -> bool) -> Result<Pruned, RuntimeError> {
    let images = store.images();
    if !images.exists() {
        return Ok(Pruned::default());
    }
    let users = users(store)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg("__image");
    Ok(images.take_away(doomed, &users, command)?)
}

/// What the containers of all deployments stand on.
fn users(store: &Store) -> Result<Users, RuntimeError> {
    let mut users = Users::default();
    for deployment in store.deployments()? {
        for container in deployment.containers().containers()? {
            // One whose journal is torn has never run.
            if let Ok(Some(journal)) = container.journal() {
                users.add(deployment.name(), &journal.spec.root);
            }
        }
    }
    Ok(users)
}

impl From<ImageError> for RuntimeError {
    fn from(error: ImageError) -> Self {
        RuntimeError::Image { image: "store".into(), reason: error.to_string(), span: None }
    }
}
