//! The options of a component: `--link-timeout=10`, `--reactive`.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// Options one component may be given.
pub const OPTIONS_MAX: usize = 256;

/// What is wrong with options.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionsError {
    /// A value that is not what the option wants.
    #[error("{component}: --{option}={value}: {problem}")]
    Value {
        /// The component.
        component: String,
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An option without a value that wants one.
    #[error("{component}: --{option} wants a value: --{option}=…")]
    NoValue {
        /// The component.
        component: String,
        /// The option.
        option: String,
    },
    /// An option that must be there is not.
    #[error("{component}: --{option}=… is missing: {wanted}")]
    Missing {
        /// The component.
        component: String,
        /// The option.
        option: String,
        /// What it is for.
        wanted: String,
    },
    /// An option the component does not take.
    #[error("{component}: it takes no --{option}; {}", takes(.known))]
    Unknown {
        /// The component.
        component: String,
        /// The option.
        option: String,
        /// Those it takes.
        known: Vec<&'static str>,
    },
    /// Options that are each right but do not fit together.
    #[error("{component}: {problem}")]
    Conflict {
        /// The component.
        component: String,
        /// What does not fit.
        problem: String,
    },
}

fn takes(known: &[&str]) -> String {
    if known.is_empty() { "it takes none".into() } else { format!("it takes --{}", known.join(", --")) }
}

impl OptionsError {
    /// The component at fault.
    #[must_use]
    pub fn component(&self) -> &str {
        match self {
            Self::Value { component, .. }
            | Self::NoValue { component, .. }
            | Self::Missing { component, .. }
            | Self::Unknown { component, .. }
            | Self::Conflict { component, .. } => component,
        }
    }
}

/// The options of one component, taken out one by one as it is built. Dashes and underscores in their names are the same.
///
/// ```
/// use pox::Options;
///
/// let mut options = Options::new("openflow.discovery", [("link_timeout", Some("10")), ("no-flow", None), ("colour", None)]);
/// assert_eq!(options.take("link-timeout")?, Some(10u32));
/// assert!(options.flag("no-flow")?);
/// let wrong = options.done().unwrap_err();
/// assert_eq!(wrong.to_string(), "openflow.discovery: it takes no --colour; it takes --link-timeout, --no-flow");
/// # Ok::<(), pox::OptionsError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Options {
    component: String,
    pairs: Vec<(String, Option<String>)>,
    /// Options that were asked for.
    known: Vec<&'static str>,
}

impl Options {
    /// Options of a component; one without `=` has no value.
    #[must_use]
    pub fn new<N: AsRef<str>, V: Into<String>>(
        component: &str,
        pairs: impl IntoIterator<Item = (N, Option<V>)>,
    ) -> Self {
        let pairs = pairs.into_iter().take(OPTIONS_MAX);
        let pairs = pairs.map(|(name, value)| (name.as_ref().replace('_', "-"), value.map(Into::into)));
        Self { component: component.into(), pairs: pairs.collect(), known: Vec::new() }
    }

    /// The component they are for.
    #[must_use]
    pub fn component(&self) -> &str {
        &self.component
    }

    fn remove(&mut self, option: &'static str) -> Option<Option<String>> {
        if !self.known.contains(&option) {
            self.known.push(option);
        }
        let at = self.pairs.iter().position(|(name, _)| name == option)?;
        Some(self.pairs.remove(at).1)
    }

    /// Whether an option is set: `--reactive`, `--reactive=yes`.
    ///
    /// # Errors
    /// A value that is neither yes nor no.
    pub fn flag(&mut self, option: &'static str) -> Result<bool, OptionsError> {
        match self.remove(option) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => match value.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err(self.wrong(option, &value, "yes or no")),
            },
        }
    }

    /// An option's text, if it was given.
    ///
    /// # Errors
    /// An option without a value.
    pub fn text(&mut self, option: &'static str) -> Result<Option<String>, OptionsError> {
        match self.remove(option) {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => {
                Err(OptionsError::NoValue { component: self.component.clone(), option: option.into() })
            }
        }
    }

    /// An option's value, if it was given.
    ///
    /// # Errors
    /// A value that does not parse.
    pub fn take<T: FromStr<Err: Display>>(
        &mut self,
        option: &'static str,
    ) -> Result<Option<T>, OptionsError> {
        let Some(text) = self.text(option)? else { return Ok(None) };
        text.parse().map(Some).map_err(|problem| self.wrong(option, &text, problem))
    }

    /// An option's value, or what it is without.
    ///
    /// # Errors
    /// A value that does not parse.
    pub fn take_or<T: FromStr<Err: Display>>(
        &mut self,
        option: &'static str,
        or: T,
    ) -> Result<T, OptionsError> {
        Ok(self.take(option)?.unwrap_or(or))
    }

    /// The value of an option that must be there.
    ///
    /// # Errors
    /// None given, or one that does not parse.
    pub fn require<T: FromStr<Err: Display>>(
        &mut self,
        option: &'static str,
        wanted: &str,
    ) -> Result<T, OptionsError> {
        self.take(option)?.ok_or_else(|| OptionsError::Missing {
            component: self.component.clone(),
            option: option.into(),
            wanted: wanted.into(),
        })
    }

    /// A list, its items apart by commas or blanks: `--ignore=1,2`.
    ///
    /// # Errors
    /// An item that does not parse.
    pub fn list<T: FromStr<Err: Display>>(&mut self, option: &'static str) -> Result<Vec<T>, OptionsError> {
        let Some(text) = self.text(option)? else { return Ok(Vec::new()) };
        let items = text.split([',', ' ']).filter(|item| !item.is_empty());
        items.map(|item| item.parse().map_err(|problem| self.wrong(option, item, problem))).collect()
    }

    /// A time in seconds, `10` or `0.5`, or with a unit, `500ms`, `2s`, `5m`; or what it is without.
    ///
    /// # Errors
    /// Anything else, a time below zero, more than a year.
    pub fn seconds(&mut self, option: &'static str, or: Duration) -> Result<Duration, OptionsError> {
        Ok(self.seconds_given(option)?.unwrap_or(or))
    }

    /// [`Options::seconds`], if any were given.
    ///
    /// # Errors
    /// As there.
    pub fn seconds_given(&mut self, option: &'static str) -> Result<Option<Duration>, OptionsError> {
        const YEAR: f64 = 365.0 * 86_400.0;
        let Some(text) = self.text(option)? else { return Ok(None) };
        let (number, unit) = match text.trim().find(|c: char| c.is_ascii_alphabetic()) {
            Some(at) => text.trim().split_at(at),
            None => (text.trim(), "s"),
        };
        let factor = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return Err(self.wrong(option, &text, "the units are us, ms, s, m, h")),
        };
        let seconds = number.parse::<f64>().ok().map(|number| number * factor);
        match seconds.filter(|seconds| (0.0..=YEAR).contains(seconds)) {
            Some(seconds) => Ok(Some(Duration::from_secs_f64(seconds))),
            None => Err(self.wrong(option, &text, "a time in seconds, such as 10, 0.5 or 500ms")),
        }
    }

    /// An error about a value.
    pub fn wrong(&self, option: &str, value: &str, problem: impl Display) -> OptionsError {
        OptionsError::Value {
            component: self.component.clone(),
            option: option.into(),
            value: value.chars().take(80).collect(),
            problem: problem.to_string(),
        }
    }

    /// An error about options that do not fit together.
    pub fn conflict(&self, problem: impl Display) -> OptionsError {
        OptionsError::Conflict { component: self.component.clone(), problem: problem.to_string() }
    }

    /// All options must have been taken by now.
    ///
    /// # Errors
    /// The first that was not.
    pub fn done(self) -> Result<(), OptionsError> {
        match self.pairs.into_iter().next() {
            None => Ok(()),
            Some((option, _)) => {
                let option = option.chars().take(80).collect();
                Err(OptionsError::Unknown { component: self.component, option, known: self.known })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(option: &'static str, value: &str) -> Options {
        Options::new("c", [(option, Some(value))])
    }

    #[test]
    fn times_are_read_with_and_without_units() {
        let read = |text: &str| options("t", text).seconds("t", Duration::ZERO);
        assert_eq!(read("10"), Ok(Duration::from_secs(10)));
        assert_eq!(read("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(read("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(read("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "x", "-1", "1d", "inf", "NaN", "1e99"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Options::default().seconds("t", Duration::from_secs(3)), Ok(Duration::from_secs(3)));
    }

    #[test]
    fn what_is_wrong_names_component_option_and_value() {
        let wrong = options("port", "x").take::<u16>("port").unwrap_err();
        assert_eq!(wrong.to_string(), "c: --port=x: invalid digit found in string");
        let wrong = options("reactive", "perhaps").flag("reactive").unwrap_err();
        assert_eq!(wrong.to_string(), "c: --reactive=perhaps: yes or no");
        let wrong = Options::new("c", [("port", None::<String>)]).take::<u16>("port").unwrap_err();
        assert_eq!(wrong.to_string(), "c: --port wants a value: --port=…");
        let wrong = Options::new("c", [("x", None::<String>)]).done().unwrap_err();
        assert_eq!(wrong.to_string(), "c: it takes no --x; it takes none");
        assert_eq!(options("ignore", "1, 2 3").list::<u32>("ignore"), Ok(vec![1, 2, 3]));
        assert!(options("ignore", "1,x").list::<u32>("ignore").is_err());
    }
}
