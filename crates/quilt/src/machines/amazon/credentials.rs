//! Who is renting: the environment, or a profile of `~/.aws/credentials`.

use std::path::PathBuf;
use std::{env, fs};

use crate::machines::ProviderError;

/// Longest file of credentials, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A key of an account.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) session: Option<String>,
}

impl Credentials {
    /// What the environment says, else the file: the rules of Amazon's own programs, without their services for
    /// single sign-on.
    pub(super) fn find() -> Result<Credentials, ProviderError> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        if let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            return Ok(Credentials { id, secret, session: variable("AWS_SESSION_TOKEN") });
        }
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".into());
        let file = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let file = file.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".aws/credentials")));
        let Some(file) = file else {
            let reason = "HOME is not set".to_owned();
            return Err(ProviderError::NoCredentials { file: "~/.aws/credentials".into(), reason });
        };
        let missing =
            |reason: String| ProviderError::NoCredentials { file: file.display().to_string(), reason };
        let size = fs::metadata(&file).map_err(|error| missing(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(missing(format!("it has {size} bytes")));
        }
        let text = fs::read_to_string(&file).map_err(|error| missing(error.to_string()))?;
        profile_of(&text, &profile).ok_or_else(|| missing(format!("it has no key in [{profile}]")))
    }
}

/// The key of a profile: `[name]`, and lines `key = value` below it.
pub(super) fn profile_of(text: &str, profile: &str) -> Option<Credentials> {
    let mut is_within = false;
    let (mut id, mut secret, mut session) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_within = name.trim() == profile;
        } else if is_within
            && !line.starts_with(['#', ';'])
            && let Some((key, value)) = line.split_once('=')
        {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match key.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => session = value,
                _ => {}
            }
        }
    }
    Some(Credentials { id: id?, secret: secret?, session })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_found_by_its_name() {
        let text = "; mine\n[default]\naws_access_key_id = A\naws_secret_access_key= b=c \n\n[ work ]\n\
                    aws_access_key_id=W\n# aws_secret_access_key=x\naws_secret_access_key=s\naws_session_token=t\n[half]\n\
                    aws_access_key_id=H\n";
        let default = profile_of(text, "default").unwrap();
        assert_eq!((default.id.as_str(), default.secret.as_str(), default.session), ("A", "b=c", None));
        let work = profile_of(text, "work").unwrap();
        assert_eq!((work.secret.as_str(), work.session.as_deref()), ("s", Some("t")));
        assert!(profile_of(text, "half").is_none() && profile_of(text, "none").is_none());
    }
}
