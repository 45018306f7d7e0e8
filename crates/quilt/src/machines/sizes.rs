//! The sizes that a machine can have, and which of them is the cheapest that will do.
//!
//! The tables are those of machines rented today; `original/sizes.rs` has those that Kelda chose from. Cores and
//! memory of Amazon's are held against `DescribeInstanceTypes` by the tests. Prices are Amazon's, an hour on demand of
//! Linux in `us-east-1`, as its price list had them in 2025: they decide between sizes, and what is paid is the
//! provider's to say.

/// The providers that a blueprint may name.
pub const PROVIDERS: [&str; 5] = ["Amazon", "Azure", "DigitalOcean", "Google", "Vagrant"];

/// The region that is meant where a blueprint names none.
pub fn default_region(provider: &str) -> &'static str {
    match provider {
        "Amazon" => "us-west-1",
        "Azure" => "eastus",
        "DigitalOcean" => "sfo2",
        "Google" => "us-east1-b",
        _ => "",
    }
}

/// What a machine must have: both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Least.
    pub min: Option<f64>,
    /// Most.
    pub max: Option<f64>,
}

impl Bounds {
    fn contain(self, value: f64) -> bool {
        self.min.is_none_or(|min| min <= value) && self.max.is_none_or(|max| value <= max)
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.min, self.max) {
            (None, None) => f.write_str("any number of"),
            (Some(min), None) => write!(f, "at least {min}"),
            (None, Some(max)) => write!(f, "at most {max}"),
            (Some(min), Some(max)) => write!(f, "{min} to {max}"),
        }
    }
}

/// What is asked of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wish {
    /// Virtual cores.
    pub cores: Bounds,
    /// Memory, in GiB.
    pub memory_gib: Bounds,
}

/// A size of a machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// What the provider calls it.
    pub name: &'static str,
    /// Virtual cores.
    pub cores: u32,
    /// Memory, in GiB.
    pub memory_gib: f64,
    /// Price of an hour, in millionths of a US dollar.
    pub price_micros: u64,
}

const fn size(name: &'static str, cores: u32, memory_gib: f64, price_micros: u64) -> Size {
    Size { name, cores, memory_gib, price_micros }
}

/// Amazon's current sizes of general use, those with more cores, and those with more memory.
#[rustfmt::skip]
pub const AMAZON: &[Size] = &[
    size("t3.micro", 2, 1.0, 10_400),
    size("t3.small", 2, 2.0, 20_800),
    size("t3.medium", 2, 4.0, 41_600),
    size("t3.large", 2, 8.0, 83_200),
    size("t3.xlarge", 4, 16.0, 166_400),
    size("t3.2xlarge", 8, 32.0, 332_800),
    size("m6i.large", 2, 8.0, 96_000),
    size("m6i.xlarge", 4, 16.0, 192_000),
    size("m6i.2xlarge", 8, 32.0, 384_000),
    size("m6i.4xlarge", 16, 64.0, 768_000),
    size("m6i.8xlarge", 32, 128.0, 1_536_000),
    size("m6i.12xlarge", 48, 192.0, 2_304_000),
    size("m6i.16xlarge", 64, 256.0, 3_072_000),
    size("m6i.24xlarge", 96, 384.0, 4_608_000),
    size("m6i.32xlarge", 128, 512.0, 6_144_000),
    size("c6i.large", 2, 4.0, 85_000),
    size("c6i.xlarge", 4, 8.0, 170_000),
    size("c6i.2xlarge", 8, 16.0, 340_000),
    size("c6i.4xlarge", 16, 32.0, 680_000),
    size("c6i.8xlarge", 32, 64.0, 1_360_000),
    size("c6i.12xlarge", 48, 96.0, 2_040_000),
    size("c6i.16xlarge", 64, 128.0, 2_720_000),
    size("c6i.24xlarge", 96, 192.0, 4_080_000),
    size("c6i.32xlarge", 128, 256.0, 5_440_000),
    size("r6i.large", 2, 16.0, 126_000),
    size("r6i.xlarge", 4, 32.0, 252_000),
    size("r6i.2xlarge", 8, 64.0, 504_000),
    size("r6i.4xlarge", 16, 128.0, 1_008_000),
    size("r6i.8xlarge", 32, 256.0, 2_016_000),
    size("r6i.12xlarge", 48, 384.0, 3_024_000),
    size("r6i.16xlarge", 64, 512.0, 4_032_000),
    size("r6i.24xlarge", 96, 768.0, 6_048_000),
    size("r6i.32xlarge", 128, 1_024.0, 8_064_000),
];

/// The sizes of a provider that weft knows.
pub fn of(provider: &str) -> &'static [Size] {
    if provider == "Amazon" { AMAZON } else { &[] }
}

/// The least memory of a machine for which none is asked, in GiB: k3s wants 2 of a server.
const MEMORY_GIB: f64 = 2.0;

/// The size of a machine: the one it names, or the cheapest that has what is asked for. A named one that is in no
/// table is the provider's to judge. Of a provider without a table it is empty unless it is named.
///
/// # Errors
/// What cannot be had, in words.
pub fn choose(provider: &str, named: Option<&str>, wish: Wish) -> Result<String, String> {
    let fits =
        |size: &&Size| wish.cores.contain(f64::from(size.cores)) && wish.memory_gib.contain(size.memory_gib);
    if let Some(named) = named {
        return match of(provider).iter().find(|size| size.name == named) {
            Some(size) if !fits(&size) => Err(format!(
                "size '{named}' has {} cores and {} GiB of memory, not {} cores and {} GiB",
                size.cores, size.memory_gib, wish.cores, wish.memory_gib
            )),
            _ => Ok(named.to_owned()),
        };
    }
    let least = if wish.memory_gib == Bounds::default() { MEMORY_GIB } else { 0.0 };
    let sizes = of(provider);
    if sizes.is_empty() {
        // Whoever comes to boot it says so.
        return Ok(String::new());
    }
    let fitting = sizes.iter().filter(fits).filter(|size| size.memory_gib >= least);
    // `min_by_key` keeps the first of equal prices.
    fitting.min_by_key(|size| size.price_micros).map(|size| size.name.to_owned()).ok_or_else(|| {
        format!("{provider} has no size with {} cores and {} GiB of memory", wish.cores, wish.memory_gib)
    })
}

/// What an hour of a size costs, in millionths of a US dollar, where a table says so.
pub fn price_micros(provider: &str, size: &str) -> Option<u64> {
    of(provider).iter().find(|one| one.name == size).map(|one| one.price_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(cores: f64, memory: f64) -> Wish {
        let least = |min| Bounds { min: Some(min), max: None };
        Wish { cores: least(cores), memory_gib: least(memory) }
    }

    #[test]
    fn the_cheapest_that_will_do_is_chosen() {
        let name = |wish| choose("Amazon", None, wish).unwrap();
        assert_eq!(name(Wish::default()), "t3.small");
        assert_eq!(name(wish(2.0, 8.0)), "t3.large");
        assert_eq!(name(wish(16.0, 0.0)), "c6i.4xlarge");
        assert_eq!(name(wish(1.0, 600.0)), "r6i.24xlarge");
        let exactly = |value| Bounds { min: Some(value), max: Some(value) };
        assert_eq!(name(Wish { cores: exactly(4.0), memory_gib: Bounds::default() }), "t3.xlarge");
        let error = choose("Amazon", None, wish(500.0, 1.0)).unwrap_err();
        assert_eq!(error, "Amazon has no size with at least 500 cores and at least 1 GiB of memory");
    }

    #[test]
    fn a_named_size_must_have_what_is_asked_for() {
        assert_eq!(choose("Amazon", Some("x9.future"), wish(64.0, 64.0)).unwrap(), "x9.future");
        let error = choose("Amazon", Some("t3.micro"), wish(4.0, 1.0)).unwrap_err();
        assert_eq!(
            error,
            "size 't3.micro' has 2 cores and 1 GiB of memory, not at least 4 cores and at least 1 GiB"
        );
        assert_eq!(choose("Google", None, wish(1.0, 1.0)).unwrap(), "");
    }

    #[test]
    fn every_size_has_its_own_name() {
        let names: std::collections::HashSet<_> = AMAZON.iter().map(|size| size.name).collect();
        assert_eq!(names.len(), AMAZON.len());
    }
}
