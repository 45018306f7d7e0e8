//! Machines of a blueprint, of every dialect.

use super::{At, Lower, each, parse_bytes};
use crate::eval::raw::{Raw, number};
use crate::fault::{Kind, similar};
use crate::machines::sizes::{self, Bounds, Wish};
use crate::model::{Floating, Machine, Role, Span};

/// Options of a machine.
const MACHINE_OPTIONS: [&str; 12] = [
    "cpu",
    "disk",
    "floatingIp",
    "memory",
    "preemptible",
    "provider",
    "region",
    "replicas",
    "role",
    "size",
    "spot",
    "sshKeys",
];
/// What the dialects of Quilt and Kelda call some of them.
const OLD_OPTIONS: [&str; 2] = ["diskSize", "ram"];
/// Most machines that one call makes.
const REPLICAS_MAX: f64 = 1_000.0;
/// How large a disk is, in GiB, unless said.
const DISK_GIB: u32 = 32;
/// Largest disk, in GiB: the most that Amazon, Google and Azure all have.
const DISK_GIB_MAX: f64 = 16_384.0;

impl Lower<'_> {
    pub(super) fn machines(&mut self, list: Raw) {
        each(list, |entry| {
            let faults_before = self.faults.len();
            self.machine(&entry);
            // The originals took machines that weft could not boot; here nothing of them is needed.
            if matches!(entry.get("old"), Raw::Bool(true)) && self.faults.len() > faults_before {
                let span = self.span(&entry);
                let why: Vec<String> =
                    self.faults.drain(faults_before..).map(|fault| fault.to_string()).collect();
                self.note(
                    format!("a machine that could not be booted is left out: {}", why.join("; ")),
                    span,
                );
            }
        });
    }

    /// What `deployment()` says of all machines.
    pub(super) fn admins(&mut self, options: &Raw, span: &Span) {
        self.blueprint.machines.admins =
            self.strings(&At { span, what: "adminACL" }, options.get("adminACL"));
        match options.get("maxPrice") {
            Raw::Undefined | Raw::Null => {}
            // 0 was "no limit" in the dialects of Quilt and Kelda.
            Raw::Number(price) if *price == 0.0 => {}
            Raw::Number(price) if *price > 0.0 && *price <= 1e6 => {
                self.blueprint.machines.max_price_micros = Some((price * 1e6).round() as u64);
            }
            other => self.shape(&At { span, what: "maxPrice" }, "dollars an hour, such as 0.25", other),
        }
    }

    fn machine(&mut self, entry: &Raw) {
        let span = &self.span(entry);
        let options = entry.get("options");
        if !matches!(options, Raw::Map(_)) {
            return self.shape(&At { span, what: "argument of Machine" }, "an object", options);
        }
        let known: Vec<&str> = MACHINE_OPTIONS.iter().chain(&OLD_OPTIONS).copied().collect();
        self.unknown_options("a machine", options, &known, span);
        let faults_before = self.faults.len();
        let text = |lower: &mut Self, key: &'static str, what: &str| {
            let found = lower.text(&At { span, what }, options.get(key));
            found.filter(|text| !text.is_empty())
        };
        let provider = text(self, "provider", "provider of a machine").unwrap_or_default();
        let region = text(self, "region", "region of a machine");
        let size = text(self, "size", "size of a machine");
        let role = self.role(options.get("role"), span);
        let wish = Wish {
            cores: self.bounds("cpu of a machine", options.get("cpu"), span, |raw| match raw {
                Raw::Number(value) => Some(*value),
                _ => None,
            }),
            memory_gib: self.memory_gib(options, span),
        };
        let disk_gib = self.disk(options, span);
        let floating = self.floating(options.get("floatingIp"), span);
        let ssh_keys = self.strings(&At { span, what: "sshKeys of a machine" }, options.get("sshKeys"));
        let is_spot = self.flag("spot", options, span) | self.flag("preemptible", options, span);
        let replicas = match options.get("replicas") {
            Raw::Undefined | Raw::Null => 1,
            Raw::Number(count) if count.fract() == 0.0 && (1.0..=REPLICAS_MAX).contains(count) => {
                *count as usize
            }
            other => {
                self.shape(
                    &At { span, what: "replicas of a machine" },
                    "a whole number from 1 to 1000",
                    other,
                );
                0
            }
        };
        let provider = self.provider(&provider, span);
        let (Some(provider), true) = (provider, self.faults.len() == faults_before) else { return };
        let region = region.unwrap_or_else(|| sizes::default_region(&provider).to_owned());
        let size = match sizes::choose(&provider, size.as_deref(), wish) {
            Ok(size) => size,
            Err(what) => {
                let help = "ask for less, name another size, or another provider".to_owned();
                return self.fault(Kind::Deployment { what, help }, span);
            }
        };
        let machine = Machine {
            provider,
            role,
            region,
            size,
            disk_gib,
            is_spot,
            floating,
            ssh_keys,
            span: span.clone(),
        };
        self.blueprint.machines.all.extend(std::iter::repeat_n(machine, replicas));
    }

    fn provider(&mut self, name: &str, span: &Span) -> Option<String> {
        let known = sizes::PROVIDERS;
        if let Some(provider) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
            return Some((*provider).to_owned());
        }
        let hint = similar(name, known.iter().copied()).map(|one| format!("did you mean '{one}'? "));
        let what = if name.is_empty() {
            "a machine has no provider".to_owned()
        } else {
            format!("no provider is called '{name}'")
        };
        let help = format!("{}there are {}", hint.unwrap_or_default(), known.join(", "));
        self.fault(Kind::Deployment { what, help }, span);
        None
    }

    fn role(&mut self, raw: &Raw, span: &Span) -> Role {
        match raw {
            Raw::Text(word) if word.eq_ignore_ascii_case("master") => Role::Master,
            Raw::Text(word) if word.eq_ignore_ascii_case("worker") || word.is_empty() => Role::Worker,
            Raw::Undefined | Raw::Null => Role::Worker,
            other => {
                self.shape(&At { span, what: "role of a machine" }, "'master' or 'worker'", other);
                Role::Worker
            }
        }
    }

    fn flag(&mut self, key: &'static str, options: &Raw, span: &Span) -> bool {
        match options.get(key) {
            Raw::Undefined | Raw::Null => false,
            Raw::Bool(value) => *value,
            other => {
                self.shape(&At { span, what: &format!("{key} of a machine") }, "true or false", other);
                false
            }
        }
    }

    fn strings(&mut self, at: &At<'_>, raw: &Raw) -> Vec<String> {
        let items = match raw {
            Raw::Undefined | Raw::Null => return Vec::new(),
            Raw::List(items) => items.as_slice(),
            one @ Raw::Text(_) => std::slice::from_ref(one),
            other => {
                self.shape(at, "a list of strings", other);
                return Vec::new();
            }
        };
        let mut texts = Vec::new();
        for item in items {
            texts.extend(self.text(at, item).filter(|text| !text.is_empty()));
        }
        texts
    }

    /// A number, which is the least there must be, or a range.
    fn bounds(&mut self, what: &str, raw: &Raw, span: &Span, read: impl Fn(&Raw) -> Option<f64>) -> Bounds {
        let (least, most) = match raw {
            Raw::Undefined | Raw::Null => return Bounds::default(),
            Raw::Map(_) => (raw.get("min"), raw.get("max")),
            one => (one, &Raw::Undefined),
        };
        let mut end = |raw: &Raw| match (raw, read(raw)) {
            (Raw::Undefined | Raw::Null, _) => None,
            (_, Some(value)) if value >= 0.0 && value.is_finite() => Some(value).filter(|value| *value > 0.0),
            (Raw::Number(value), _) => {
                let what = what.to_owned();
                let found = number(*value);
                self.fault(Kind::Shape { what, expected: "a number above 0", found }, span);
                None
            }
            (other, _) => {
                self.shape(&At { span, what }, "a number, or a range of them", other);
                None
            }
        };
        Bounds { min: end(least), max: end(most) }
    }

    /// `memory` is bytes or text such as `'8G'`; `ram`, of the old dialects, is in GiB.
    fn memory_gib(&mut self, options: &Raw, span: &Span) -> Bounds {
        let gib = |raw: &Raw| match raw {
            Raw::Number(value) => Some(value / f64::from(1 << 30)),
            Raw::Text(text) => parse_bytes(text).map(|bytes| bytes as f64 / f64::from(1 << 30)),
            _ => None,
        };
        let given = self.bounds("memory of a machine", options.get("memory"), span, gib);
        let old = self.bounds("ram of a machine", options.get("ram"), span, |raw| match raw {
            Raw::Number(value) => Some(*value),
            _ => None,
        });
        Bounds { min: given.min.or(old.min), max: given.max.or(old.max) }
    }

    /// `disk` and `diskSize` are in GiB.
    fn disk(&mut self, options: &Raw, span: &Span) -> u32 {
        for key in ["disk", "diskSize"] {
            match options.get(key) {
                Raw::Undefined | Raw::Null => {}
                Raw::Number(value) if *value == 0.0 && key == "diskSize" => {}
                Raw::Number(value) if value.fract() == 0.0 && (8.0..=DISK_GIB_MAX).contains(value) => {
                    return *value as u32;
                }
                other => {
                    let what = format!("{key} of a machine");
                    self.shape(&At { span, what: &what }, "GiB, a whole number from 8 to 16384", other);
                }
            }
        }
        DISK_GIB
    }

    fn floating(&mut self, raw: &Raw, span: &Span) -> Floating {
        match raw {
            Raw::Undefined | Raw::Null | Raw::Bool(false) => Floating::None,
            Raw::Bool(true) => Floating::New,
            Raw::Text(text) if text.is_empty() => Floating::None,
            Raw::Text(text) if text.parse::<std::net::Ipv4Addr>().is_ok() => Floating::Of(text.clone()),
            other => {
                let at = At { span, what: "floatingIp of a machine" };
                self.shape(&at, "an IPv4 address that is yours, or true for a new one", other);
                Floating::None
            }
        }
    }
}
