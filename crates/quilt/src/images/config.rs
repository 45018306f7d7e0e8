//! What an image says of how it is run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Container, Ports, Protocol, Text};

/// How an image is run where the blueprint does not say otherwise (OCI image-spec, config.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// The program, and its first arguments.
    pub entrypoint: Vec<String>,
    /// Arguments after these, or the program itself; a blueprint's command takes their place.
    pub command: Vec<String>,
    /// Directory to start in.
    pub workdir: Option<String>,
    /// User to run as.
    pub user: Option<String>,
    /// Ports that it listens on.
    pub exposed: Vec<(Ports, Protocol)>,
    /// Anything that its author wanted to say.
    pub labels: BTreeMap<String, String>,
}

impl Config {
    /// Fills in what the blueprint left open. `entrypoint` is what the blueprint gave in place of the image's own.
    pub(crate) fn apply(&self, container: &mut Container, entrypoint: Option<Vec<String>>) {
        let own = entrypoint.is_none();
        let mut command = entrypoint.unwrap_or_else(|| self.entrypoint.clone());
        let given = std::mem::take(&mut container.command);
        if given.is_empty() && own {
            command.extend(self.command.iter().cloned());
        }
        command.extend(given);
        container.command = command;
        for (key, value) in &self.env {
            container.env.entry(key.clone()).or_insert_with(|| Text::Plain(value.clone()));
        }
        container.workdir = container.workdir.take().or_else(|| self.workdir.clone());
        container.user = container.user.take().or_else(|| self.user.clone());
    }
}

/// `8080`, `53/udp`, `8000-8010/tcp`.
pub(crate) fn exposed(text: &str) -> Option<(Ports, Protocol)> {
    let (ports, protocol) = match text.split_once('/') {
        None => (text, Protocol::Tcp),
        Some((ports, "tcp")) => (ports, Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some(_) => return None,
    };
    let (min, max) = ports.split_once('-').unwrap_or((ports, ports));
    let (min, max) = (min.parse().ok()?, max.parse().ok()?);
    (min > 0 && min <= max).then_some((Ports { min, max }, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_blueprint_comes_before_the_image() {
        let config = Config {
            env: [("A".to_owned(), "image".to_owned()), ("B".to_owned(), "image".to_owned())].into(),
            entrypoint: words("/start"),
            command: words("serve --all"),
            workdir: Some("/srv".into()),
            user: Some("www".into()),
            ..Config::default()
        };
        let mut bare = Container::default();
        config.apply(&mut bare, None);
        assert_eq!(bare.command, words("/start serve --all"));
        assert_eq!((bare.workdir.as_deref(), bare.user.as_deref()), (Some("/srv"), Some("www")));
        let mut given = Container {
            command: words("check"),
            env: [("A".to_owned(), "mine".into())].into(),
            user: Some("0".into()),
            ..Container::default()
        };
        config.apply(&mut given, None);
        assert_eq!(given.command, words("/start check"));
        assert_eq!((&given.env["A"], &given.env["B"]), (&"mine".into(), &"image".into()));
        assert_eq!(given.user.as_deref(), Some("0"));
        let mut replaced = Container { command: words("x"), ..Container::default() };
        config.apply(&mut replaced, Some(words("/bin/sh -c")));
        assert_eq!(replaced.command, words("/bin/sh -c x"));
        let mut none = Container::default();
        config.apply(&mut none, Some(vec![]));
        assert_eq!(none.command, words(""), "an entry point of one's own goes with a command of one's own");
    }

    #[test]
    fn ports_have_one_form() {
        assert_eq!(exposed("80"), Some((Ports::one(80), Protocol::Tcp)));
        assert_eq!(exposed("53/udp"), Some((Ports::one(53), Protocol::Udp)));
        assert_eq!(exposed("8000-8010/tcp"), Some((Ports { min: 8000, max: 8010 }, Protocol::Tcp)));
        for bad in ["", "0", "80/sctp", "9-8", "x", "70000", "80/"] {
            assert_eq!(exposed(bad), None, "{bad}");
        }
    }
}
