//! The machines that could be rented when Kelda chose sizes, early in 2018.
//!
//! One line a size: its name, cores, memory in GiB, and the lowest price an hour in US dollars over all regions,
//! because the choice never looked at the region. The lines are in the order that decides between equal prices.
//! Prices are those of the providers' public lists of that time.

/// A size of a provider.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size {
    /// Name, as the provider has it.
    pub(crate) name: &'static str,
    /// Cores.
    pub(crate) cpu: f64,
    /// Memory, in GiB.
    pub(crate) ram: f64,
    /// Price of an hour, in US dollars.
    price: f64,
    /// Whether it is chosen for a machine that names no size.
    chosen: bool,
}

const fn size(name: &'static str, cpu: f64, ram: f64, price: f64) -> Size {
    Size { name, cpu, ram, price, chosen: true }
}

/// A size that is only taken when the blueprint names it.
const fn named(name: &'static str, cpu: f64, ram: f64, price: f64) -> Size {
    Size { name, cpu, ram, price, chosen: false }
}

#[rustfmt::skip]
const AMAZON: &[Size] = &[
    named("t2.nano", 1.0, 0.5, 0.0058),
    named("t2.micro", 1.0, 1.0, 0.0116),
    named("t2.small", 1.0, 2.0, 0.023),
    named("t2.medium", 2.0, 4.0, 0.0464),
    named("t2.large", 2.0, 8.0, 0.0928),
    named("t2.xlarge", 4.0, 16.0, 0.1856),
    named("t2.2xlarge", 32.0, 32.0, 0.3712),
    size("m4.large", 2.0, 8.0, 0.12),
    size("m4.xlarge", 4.0, 16.0, 0.239),
    size("m4.2xlarge", 8.0, 32.0, 0.479),
    size("m4.4xlarge", 16.0, 64.0, 0.958),
    size("m4.10xlarge", 40.0, 160.0, 2.394),
    size("m3.medium", 1.0, 3.75, 0.067),
    size("m3.large", 2.0, 7.5, 0.133),
    size("m3.xlarge", 4.0, 15.0, 0.266),
    size("m3.2xlarge", 8.0, 30.0, 0.532),
    size("c4.large", 2.0, 3.75, 0.105),
    size("c4.xlarge", 4.0, 7.5, 0.209),
    size("c4.2xlarge", 8.0, 15.0, 0.419),
    size("c4.4xlarge", 16.0, 30.0, 0.838),
    size("c4.8xlarge", 36.0, 60.0, 1.675),
    size("c3.large", 2.0, 3.75, 0.105),
    size("c3.xlarge", 4.0, 7.5, 0.21),
    size("c3.2xlarge", 8.0, 15.0, 0.42),
    size("c3.4xlarge", 16.0, 30.0, 0.84),
    size("c3.8xlarge", 32.0, 60.0, 1.68),
    size("g2.2xlarge", 8.0, 15.0, 0.65),
    size("g2.8xlarge", 32.0, 60.0, 2.6),
    size("r3.large", 2.0, 15.0, 0.166),
    size("r3.xlarge", 4.0, 30.5, 0.333),
    size("r3.2xlarge", 8.0, 61.0, 0.665),
    size("r3.4xlarge", 16.0, 122.0, 1.33),
    size("r3.8xlarge", 32.0, 244.0, 2.66),
    size("i2.xlarge", 4.0, 30.5, 0.853),
    size("i2.2xlarge", 8.0, 61.0, 1.705),
    size("i2.4xlarge", 16.0, 122.0, 3.41),
    size("i2.8xlarge", 32.0, 244.0, 6.82),
    size("d2.xlarge", 4.0, 30.5, 0.69),
    size("d2.2xlarge", 8.0, 61.0, 1.38),
    size("d2.4xlarge", 16.0, 122.0, 2.76),
    size("d2.8xlarge", 36.0, 244.0, 5.52),
];

#[rustfmt::skip]
const DIGITAL_OCEAN: &[Size] = &[
    size("512mb", 1.0, 0.5, 0.00744),
    size("1gb", 1.0, 1.0, 0.01488),
    size("2gb", 2.0, 2.0, 0.02976),
    size("4gb", 2.0, 4.0, 0.05952),
    size("8gb", 4.0, 8.0, 0.11905),
    size("16gb", 8.0, 16.0, 0.2381),
    size("m-16gb", 2.0, 16.0, 0.17857),
    size("32gb", 12.0, 32.0, 0.47619),
    size("m-32gb", 4.0, 32.0, 0.35714),
    size("48gb", 16.0, 48.0, 0.71429),
    size("m-64gb", 8.0, 64.0, 0.71429),
    size("64gb", 20.0, 64.0, 0.95238),
    size("m-128gb", 16.0, 128.0, 1.42857),
    size("m-224gb", 32.0, 224.0, 2.5),
];

#[rustfmt::skip]
const GOOGLE: &[Size] = &[
    size("n1-standard-1", 1.0, 3.75, 0.0475),
    size("n1-standard-2", 2.0, 7.5, 0.095),
    size("n1-standard-4", 4.0, 15.0, 0.19),
    size("n1-standard-8", 8.0, 30.0, 0.38),
    size("n1-standard-16", 16.0, 60.0, 0.76),
    size("n1-standard-32", 32.0, 120.0, 1.52),
    size("n1-standard-64", 64.0, 240.0, 3.04),
    size("n1-standard-96 (Beta)Skylake Platform only", 96.0, 360.0, 4.9405),
    size("f1-micro", 1.0, 0.6, 0.0076),
    size("g1-small", 1.0, 1.7, 0.0257),
    size("n1-highmem-2", 2.0, 13.0, 0.1184),
    size("n1-highmem-4", 4.0, 26.0, 0.2368),
    size("n1-highmem-8", 8.0, 52.0, 0.4736),
    size("n1-highmem-16", 16.0, 104.0, 0.9472),
    size("n1-highmem-32", 32.0, 208.0, 1.8944),
    size("n1-highmem-64", 64.0, 416.0, 3.7888),
    size("n1-highmem-96 (Beta)Skylake Platform only", 96.0, 624.0, 6.2315),
    size("n1-highcpu-2", 2.0, 1.8, 0.0709),
    size("n1-highcpu-4", 4.0, 3.6, 0.1418),
    size("n1-highcpu-8", 8.0, 7.2, 0.2836),
    size("n1-highcpu-16", 16.0, 14.4, 0.5672),
    size("n1-highcpu-32", 32.0, 28.8, 1.1344),
    size("n1-highcpu-64", 64.0, 57.6, 2.2688),
    size("n1-highcpu-96 (Beta)Skylake Platform only", 96.0, 86.4, 3.6101),
];

/// What a machine must have: both ends included, no end where it is `None` (or, for `max`, 0).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// Least.
    pub(crate) min: Option<f64>,
    /// Most.
    pub(crate) max: Option<f64>,
}

impl Bounds {
    fn contain(self, value: f64) -> bool {
        self.min.is_none_or(|min| min <= value) && self.max.is_none_or(|max| max == 0.0 || value <= max)
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.min, self.max.filter(|max| *max != 0.0)) {
            (Some(min), Some(max)) if min == max => write!(f, "{min}"),
            (min, Some(max)) => write!(f, "{} to {max}", min.unwrap_or(0.0)),
            (min, None) => write!(f, "{} or more", min.unwrap_or(0.0)),
        }
    }
}

/// The size of a machine of `provider`: the one it names, which must have what is asked for, or the cheapest that
/// has. The error says what cannot be had.
pub(crate) fn choose(provider: &str, named: &str, cpu: Bounds, ram: Bounds) -> Result<&'static Size, String> {
    let sizes = match provider {
        "Amazon" => AMAZON,
        "DigitalOcean" => DIGITAL_OCEAN,
        "Google" => GOOGLE,
        _ => {
            return Err(format!(
                "no provider is called '{provider}': there are Amazon, DigitalOcean, Google and Vagrant"
            ));
        }
    };
    let fits = |size: &Size| cpu.contain(size.cpu) && ram.contain(size.ram);
    if named.is_empty() {
        // `min_by` keeps the first of equal prices.
        return sizes
            .iter()
            .filter(|size| size.chosen && fits(size))
            .min_by(|a, b| a.price.total_cmp(&b.price))
            .ok_or_else(|| format!("{provider} has no machine with {cpu} cores and {ram} GiB of memory"));
    }
    let size = sizes.iter().find(|size| size.name == named).ok_or_else(|| {
        let similar = crate::fault::similar(named, sizes.iter().map(|size| size.name));
        let hint = similar.map(|similar| format!(": did you mean '{similar}'?")).unwrap_or_default();
        format!("{provider} has no machines of size '{named}'{hint}")
    })?;
    if fits(size) {
        return Ok(size);
    }
    let Size { name, cpu: cores, ram: memory, .. } = size;
    Err(format!("size '{name}' has {cores} cores and {memory} GiB of memory, not {cpu} cores and {ram} GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Bounds = Bounds { min: Some(0.0), max: Some(0.0) };

    fn from(min: f64) -> Bounds {
        Bounds { min: Some(min), max: None }
    }

    #[test]
    fn the_cheapest_that_fits_is_chosen_and_the_first_of_equals() {
        let name = |provider, cpu, ram| choose(provider, "", cpu, ram).unwrap().name;
        assert_eq!(name("Amazon", ANY, ANY), "m3.medium");
        assert_eq!(name("DigitalOcean", ANY, ANY), "512mb");
        assert_eq!(name("Google", ANY, ANY), "f1-micro");
        assert_eq!(name("Amazon", from(2.0), ANY), "c4.large");
        assert_eq!(name("DigitalOcean", from(8.0), from(33.0)), "48gb");
        let exactly = Bounds { min: Some(4.0), max: Some(4.0) };
        assert_eq!(name("Google", exactly, ANY), "n1-highcpu-4");
    }

    #[test]
    fn a_named_size_must_have_what_is_asked_for() {
        assert_eq!(choose("Amazon", "t2.micro", ANY, ANY).unwrap().ram, 1.0);
        let fault = |named, cpu| choose("Amazon", named, cpu, ANY).unwrap_err();
        assert_eq!(
            fault("m4.larg", ANY),
            "Amazon has no machines of size 'm4.larg': did you mean 'm4.large'?"
        );
        assert_eq!(
            fault("m4.large", from(4.0)),
            "size 'm4.large' has 2 cores and 8 GiB of memory, not 4 or more cores and 0 or more GiB"
        );
        assert_eq!(
            fault("", from(99.0)),
            "Amazon has no machine with 99 or more cores and 0 or more GiB of memory"
        );
        assert!(choose("Azure", "", ANY, ANY).unwrap_err().contains("'Azure'"));
    }

    #[test]
    fn every_size_has_its_own_name() {
        for sizes in [AMAZON, DIGITAL_OCEAN, GOOGLE] {
            let names: std::collections::HashSet<_> = sizes.iter().map(|size| size.name).collect();
            assert_eq!(names.len(), sizes.len());
            assert!(sizes.iter().all(|size| size.cpu >= 1.0 && size.ram >= 0.5 && size.price > 0.0));
        }
    }
}
