//! The arguments of a network function, as words: `KEY=VALUE`.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::str::FromStr;

use thiserror::Error;

/// Words that one function may be given.
pub const WORDS_MAX: usize = 4096;
/// Bytes of the largest file that a `KEY=@FILE` may name.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// What is wrong with arguments.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArgsError {
    /// There is no function of that name.
    #[error("there is no network function '{0}'")]
    Function(String),
    /// A word without `=`, or too many words.
    #[error("{function}: '{word}': {problem}")]
    Word {
        /// The function.
        function: String,
        /// The word.
        word: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A value that is not what the key wants.
    #[error("{function}: {key}={value}: {problem}")]
    Value {
        /// The function.
        function: String,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A key that must be there is not.
    #[error("{function}: {key}=… is missing: {wanted}")]
    Missing {
        /// The function.
        function: String,
        /// The key.
        key: &'static str,
        /// What it is for.
        wanted: &'static str,
    },
    /// A key that the function does not take.
    #[error("{function}: it takes no {key}=…; it takes {takes}")]
    Unknown {
        /// The function.
        function: String,
        /// The key.
        key: String,
        /// The keys that it takes.
        takes: String,
    },
    /// Arguments that are each right but do not fit together.
    #[error("{function}: {problem}")]
    Conflict {
        /// The function.
        function: String,
        /// What does not fit.
        problem: String,
    },
}

/// The arguments of one function, taken out one by one as it is built.
///
/// ```
/// use netbricks::Args;
///
/// let mut args = Args::parse("delay", ["by=20ms", "queue=100"])?;
/// assert_eq!(args.take_or("queue", 1000u32)?, 100);
/// let wrong = args.done().unwrap_err();
/// assert_eq!(wrong.to_string(), "delay: it takes no by=…; it takes queue");
/// # Ok::<(), netbricks::ArgsError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Args {
    function: String,
    pairs: Vec<(String, String)>,
    /// Keys that were asked for.
    known: Vec<&'static str>,
}

impl Args {
    /// Splits words at their first `=`.
    ///
    /// # Errors
    /// A word without `=`, more than [`WORDS_MAX`].
    pub fn parse<W: AsRef<str>>(
        function: &str,
        words: impl IntoIterator<Item = W>,
    ) -> Result<Self, ArgsError> {
        let mut args = Self { function: function.into(), ..Self::default() };
        for word in words {
            let word = word.as_ref();
            let wrong = |problem| ArgsError::Word {
                function: function.into(),
                word: word.chars().take(80).collect(),
                problem,
            };
            if args.pairs.len() == WORDS_MAX {
                return Err(wrong("more than 4096 arguments; put them into a file: KEY=@FILE"));
            }
            let (key, value) = word.split_once('=').ok_or_else(|| wrong("an argument is KEY=VALUE"))?;
            args.pairs.push((key.into(), value.into()));
        }
        Ok(args)
    }

    /// The function's name, for errors.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.function
    }

    /// Whether a value was given, and not taken yet.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.pairs.iter().any(|(have, _)| have == key)
    }

    /// An error about a value.
    pub fn wrong(&self, key: &'static str, value: &str, problem: impl Display) -> ArgsError {
        let value = value.chars().take(80).collect();
        ArgsError::Value { function: self.function.clone(), key, value, problem: problem.to_string() }
    }

    /// An error about arguments that do not fit together.
    pub fn conflict(&self, problem: impl Display) -> ArgsError {
        ArgsError::Conflict { function: self.function.clone(), problem: problem.to_string() }
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let at = self.pairs.iter().position(|(have, _)| have == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// A value, if it was given.
    ///
    /// # Errors
    /// It was given twice, or is no `T`.
    pub fn take<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Result<Option<T>, ArgsError> {
        self.take_with(key, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// A value, if it was given, read by a function of the caller's.
    ///
    /// # Errors
    /// It was given twice, or `read` says no.
    pub fn take_with<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ArgsError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        if let Some((_, again)) = self.pairs.iter().find(|(have, _)| have == key) {
            return Err(self.wrong(key, again, "the argument is there twice"));
        }
        read(&text).map(Some).map_err(|problem| self.wrong(key, &text, problem))
    }

    /// A value, or the default.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_or<T: FromStr<Err: Display>>(
        &mut self,
        key: &'static str,
        default: T,
    ) -> Result<T, ArgsError> {
        Ok(self.take(key)?.unwrap_or(default))
    }

    /// A number within limits, or the default.
    ///
    /// # Errors
    /// As [`take`](Self::take), or it lies outside.
    pub fn number(
        &mut self,
        key: &'static str,
        default: u64,
        limits: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, ArgsError> {
        let Some(number) = self.take::<u64>(key)? else { return Ok(default) };
        if limits.contains(&number) {
            return Ok(number);
        }
        let problem = format!("from {} to {} is wanted", limits.start(), limits.end());
        Err(self.wrong(key, &number.to_string(), problem))
    }

    /// A duration in nanoseconds, written `20ms`, `1.5s`, `200us`, `1h`; or the default.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn duration_ns(&mut self, key: &'static str, default_ns: u64) -> Result<u64, ArgsError> {
        Ok(self.take_with(key, parse_duration_ns)?.unwrap_or(default_ns))
    }

    /// `on` or `off`, or the default.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn switch(&mut self, key: &'static str, default: bool) -> Result<bool, ArgsError> {
        let read = |text: &str| match text {
            "on" | "yes" | "true" | "1" => Ok(true),
            "off" | "no" | "false" | "0" => Ok(false),
            _ => Err("on or off is wanted".into()),
        };
        Ok(self.take_with(key, read)?.unwrap_or(default))
    }

    /// A value that must be there.
    ///
    /// # Errors
    /// As [`take`](Self::take), or it is missing.
    pub fn require<T: FromStr<Err: Display>>(
        &mut self,
        key: &'static str,
        wanted: &'static str,
    ) -> Result<T, ArgsError> {
        let function = self.function.clone();
        self.take(key)?.ok_or(ArgsError::Missing { function, key, wanted })
    }

    /// All values of a key that may be repeated, in order. `KEY=@FILE` stands for the lines of a file, without empty ones
    /// and those that begin with `#`.
    ///
    /// # Errors
    /// The file cannot be read, or is larger than [`FILE_BYTES_MAX`].
    pub fn lines(&mut self, key: &'static str) -> Result<Vec<String>, ArgsError> {
        let mut lines = Vec::new();
        while let Some(text) = self.text(key) {
            let Some(path) = text.strip_prefix('@') else {
                lines.push(text);
                continue;
            };
            let content = read_file(path).map_err(|problem| self.wrong(key, &text, problem))?;
            lines.extend(kept(&content).map(str::to_owned));
        }
        Ok(lines)
    }

    /// The arguments as words again, with the lines of files in place of each `KEY=@FILE`: what [`lines`](Self::lines)
    /// reads without files.
    ///
    /// # Errors
    /// A file cannot be read; the words are more than [`WORDS_MAX`].
    pub fn words_without_files(&self) -> Result<Vec<String>, ArgsError> {
        let mut words = Vec::new();
        for (key, value) in &self.pairs {
            match value.strip_prefix('@') {
                None => words.push(format!("{key}={value}")),
                Some(path) => {
                    let content = read_file(path)
                        .map_err(|problem| self.conflict(format!("{key}={value}: {problem}")))?;
                    // A line of ClassBench's form begins with an @ itself. No reader minds the space.
                    let word = |line: &str| match line.starts_with('@') {
                        true => format!("{key}= {line}"),
                        false => format!("{key}={line}"),
                    };
                    words.extend(kept(&content).map(word).take(WORDS_MAX + 1));
                }
            }
            if words.len() > WORDS_MAX {
                return Err(self.conflict("more than 4096 arguments, with the lines of its files"));
            }
        }
        Ok(words)
    }

    /// All has been taken.
    ///
    /// # Errors
    /// A key is left that nobody asked for.
    pub fn done(&self) -> Result<(), ArgsError> {
        let Some((key, _)) = self.pairs.first() else { return Ok(()) };
        let takes = if self.known.is_empty() { "no arguments".into() } else { self.known.join(", ") };
        Err(ArgsError::Unknown { function: self.function.clone(), key: key.clone(), takes })
    }
}

/// The lines of a file that say something.
fn kept(content: &str) -> impl Iterator<Item = &str> {
    content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn read_file(path: &str) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut content = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut content).map_err(|error| error.to_string())?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err("the file is larger than 64 MiB".into());
    }
    Ok(content)
}

/// Reads `20ms`, `1.5s`, `200us`, `7ns`, `2m`, `1h`, as arguments write durations.
///
/// # Errors
/// What is wanted instead.
pub fn parse_duration_ns(text: &str) -> Result<u64, String> {
    let wanted = || "a duration is wanted: 20ms, 1.5s, 200us".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wanted)?;
    let (number, unit) = text.split_at(unit_at);
    let scale: u64 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(wanted()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wanted())? };
    if fraction.len() > 9 || (number.is_empty() || number == ".") {
        return Err(wanted());
    }
    let fraction_value: u64 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| wanted())? };
    let part = u128::from(fraction_value) * u128::from(scale) / 10u128.pow(fraction.len() as u32);
    let total = u128::from(whole) * u128::from(scale) + part;
    u64::try_from(total).map_err(|_| "the duration is too long".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_exactly_or_refused() {
        let ns = |text| parse_duration_ns(text);
        assert_eq!(ns("20ms"), Ok(20_000_000));
        assert_eq!(ns("1.5s"), Ok(1_500_000_000));
        assert_eq!(ns("0.000000001s"), Ok(1));
        assert_eq!(ns(".5us"), Ok(500));
        for wrong in ["", "5", "ms", ".ms", "1.2.3s", "-1s", "1 s", "99999999999999999999s", "99999999999h"] {
            assert!(ns(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_function_and_the_value() {
        let mut args = Args::parse("nat44", ["ports=9-3", "x=1", "x=2"]).unwrap();
        assert_eq!(
            args.take::<u16>("ports").unwrap_err().to_string(),
            "nat44: ports=9-3: invalid digit found in string"
        );
        assert_eq!(args.take::<u8>("x").unwrap_err().to_string(), "nat44: x=2: the argument is there twice");
        let mut args = Args::parse("nat44", ["pots=1"]).unwrap();
        let missing = args.require::<u16>("external", "the address to translate to").unwrap_err();
        assert_eq!(missing.to_string(), "nat44: external=… is missing: the address to translate to");
        assert_eq!(args.done().unwrap_err().to_string(), "nat44: it takes no pots=…; it takes external");
        assert!(Args::parse("nat44", ["oops"]).is_err());
        assert!(args.number("n", 3, 1..=5).is_ok_and(|n| n == 3));
    }

    #[test]
    fn repeated_keys_and_files_give_lines_in_order() {
        let file = std::env::temp_dir().join(format!("netbricks-args-{}", std::process::id()));
        std::fs::write(&file, "# rules\n\n two \nthree\n").unwrap();
        let words = ["rule=one".to_owned(), format!("rule=@{}", file.display()), "rule=four".to_owned()];
        let mut args = Args::parse("acl", words).unwrap();
        let words_without_files = args.words_without_files().unwrap();
        assert_eq!(words_without_files, ["rule=one", "rule=two", "rule=three", "rule=four"]);
        assert_eq!(args.lines("rule").unwrap(), ["one", "two", "three", "four"]);
        std::fs::write(&file, "@10.0.0.0/8 0.0.0.0/0\n").unwrap();
        let args = Args::parse("acl", [format!("classbench=@{}", file.display())]).unwrap();
        assert_eq!(args.words_without_files().unwrap(), ["classbench= @10.0.0.0/8 0.0.0.0/0"]);
        std::fs::write(&file, "x\n".repeat(WORDS_MAX + 1)).unwrap();
        assert!(args.words_without_files().unwrap_err().to_string().contains("more than 4096"));
        std::fs::remove_file(&file).unwrap();
        let mut args = Args::parse("acl", [format!("rule=@{}", file.display())]).unwrap();
        assert!(args.lines("rule").unwrap_err().to_string().contains("No such file"));
    }
}
