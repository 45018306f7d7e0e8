//! Flags as Go's package `flag` reads them: one dash or two, `-name`, `-name=value` or `-name value`, and all of them
//! before the first word that is none.

use std::collections::HashMap;

use miette::miette;

/// What a command line says.
#[derive(Debug, Default)]
pub(super) struct Flags {
    values: HashMap<&'static str, String>,
    /// What is no flag.
    pub(super) words: Vec<String>,
}

impl Flags {
    /// Reads a command line; `None` where help is asked for. `known` has each flag's name, and whether it takes a value.
    pub(super) fn parse(
        words: impl IntoIterator<Item = String>,
        known: &[(&'static str, bool, &str)],
    ) -> miette::Result<Option<Self>> {
        let mut flags = Self::default();
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next_if(|word| word.len() > 1 && word.starts_with('-')) {
            if word == "--" {
                break;
            }
            let text = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or(&word);
            let (name, given) =
                text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
            if ["h", "help"].contains(&name) && !known.iter().any(|(known, ..)| *known == name) {
                return Ok(None);
            }
            let Some((name, takes_value, _)) = known.iter().find(|(known, ..)| *known == name) else {
                return Err(miette!("flag provided but not defined: -{name}"));
            };
            let value = match given {
                Some(value) => value,
                None if *takes_value => {
                    words.next().ok_or_else(|| miette!("flag needs an argument: -{name}"))?
                }
                None => "true".into(),
            };
            if !takes_value && !["true", "false", "1", "0", "t", "f"].contains(&value.as_str()) {
                return Err(miette!("invalid boolean value {value:?} for -{name}"));
            }
            flags.values.insert(name, value);
        }
        flags.words = words.collect();
        Ok(Some(flags))
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.is_set_or(name, false)
    }

    pub(super) fn is_set_or(&self, name: &str, default: bool) -> bool {
        self.value(name).map_or(default, |value| ["true", "1", "t"].contains(&value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [(&str, bool, &str); 3] = [("f", false, ""), ("since", true, ""), ("tar", false, "")];

    fn parse(line: &str) -> miette::Result<Option<Flags>> {
        Flags::parse(line.split_whitespace().map(str::to_owned), &KNOWN)
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let flags = parse("-f --since=5s -tar=false id -f").unwrap().unwrap();
        assert!(flags.is_set("f") && !flags.is_set_or("tar", true));
        assert_eq!(
            (flags.value("since"), flags.words.as_slice()),
            (Some("5s"), &["id".into(), "-f".into()][..])
        );
        assert_eq!(parse("-since 1h id").unwrap().unwrap().value("since"), Some("1h"));
        assert_eq!(parse("-- -f").unwrap().unwrap().words, ["-f"]);
        assert!(parse("-help").unwrap().is_none() && parse("-h").unwrap().is_none());
        for (line, told) in
            [("-x", "not defined: -x"), ("-since", "needs an argument"), ("-f=maybe", "invalid boolean")]
        {
            assert!(parse(line).unwrap_err().to_string().contains(told), "{line}");
        }
    }
}
