//! Health checks, dependencies and updates of blueprints.

use std::collections::HashMap;

use super::super::raw::Raw;
use super::{At, Lower};
use crate::check::CONTAINERS_MAX;
use crate::model::{Health, Party, Probe, Span, Update};

/// Options of a health check.
const HEALTH_OPTIONS: [&str; 8] =
    ["command", "http", "interval", "restartAfter", "retries", "startPeriod", "tcp", "timeout"];
/// Options of an update.
const UPDATE_OPTIONS: [&str; 3] = ["batch", "drain", "pause"];

/// What a health check has that says no more than what is asked, in milliseconds.
const INTERVAL_MS: u32 = 5_000;
const TIMEOUT_MS: u32 = 2_000;
const RETRIES: u32 = 3;
const START_PERIOD_MS: u32 = 10_000;
/// The longest time that can be said, a day, in milliseconds.
const TIME_MS_MAX: u32 = 24 * 3600 * 1000;
/// The shortest interval between two checks, in milliseconds.
const INTERVAL_MS_MIN: u32 = 50;
/// Most failures in a row that can be asked for.
const FAILURES_MAX: u32 = 1_000;

/// Containers whose dependencies can be looked up once all names are known.
pub(super) struct Dependent {
    names: Vec<String>,
    on: Raw,
    span: Span,
}

impl Lower<'_> {
    /// Notes what the containers made at one place depend on.
    pub(super) fn note_dependencies(&mut self, names: Vec<String>, on: &Raw, span: &Span) {
        if !on.is_absent() {
            self.dependents.push(Dependent { names, on: on.clone(), span: span.clone() });
        }
    }

    /// Looks up what containers depend on.
    pub(super) fn dependencies(&mut self) {
        let mut found = HashMap::new();
        for Dependent { names, on, span } in std::mem::take(&mut self.dependents) {
            let what = format!("dependsOn of container '{}'", names.first().map_or("", String::as_str));
            let Raw::List(entries) = &on else {
                self.shape(&At { span: &span, what: &what }, "a list of containers and services", &on);
                continue;
            };
            let mut parties = Vec::new();
            for entry in entries {
                match self.party(entry, &what, &span) {
                    Some(Party::PublicInternet) => {
                        self.shape(
                            &At { span: &span, what: &what },
                            "a list of containers and services",
                            entry,
                        );
                    }
                    Some(party) if !parties.contains(&party) => parties.push(party),
                    _ => {}
                }
            }
            found.extend(names.into_iter().map(|name| (name, parties.clone())));
        }
        for container in &mut self.blueprint.containers {
            if let Some(parties) = found.remove(&container.name) {
                container.depends_on = parties;
            }
        }
    }

    pub(super) fn health(&mut self, at: &At<'_>, raw: &Raw) -> Option<Health> {
        if raw.is_absent() {
            return None;
        }
        let expected = "an object with one of command, http and tcp, such as { tcp: 5432 }";
        if !matches!(raw, Raw::Map(_)) {
            self.shape(at, expected, raw);
            return None;
        }
        self.unknown_options(at.what, raw, &HEALTH_OPTIONS, at.span);
        let asked: Vec<&str> =
            ["command", "http", "tcp"].into_iter().filter(|kind| !raw.get(kind).is_absent()).collect();
        let probe = match asked[..] {
            ["command"] => self.probe_command(at, raw.get("command")),
            ["http"] => self.probe_http(at, raw.get("http")),
            ["tcp"] => self.single_port(at, raw.get("tcp")).map(|port| Probe::Tcp { port }),
            _ => {
                let found = if asked.is_empty() { "none of these".into() } else { asked.join(" and ") };
                self.shape(at, expected, &Raw::Text(found));
                None
            }
        };
        let mut time = |name: &str, min, default| {
            let what = format!("{name} of {}", at.what);
            self.time(&At { span: at.span, what: &what }, raw.get(name), min).unwrap_or(default)
        };
        let interval_ms = time("interval", INTERVAL_MS_MIN, INTERVAL_MS);
        let timeout_ms = time("timeout", 1, TIMEOUT_MS);
        let start_period_ms = time("startPeriod", 0, START_PERIOD_MS);
        let mut failures = |name: &str| {
            let what = format!("{name} of {}", at.what);
            self.number(&At { span: at.span, what: &what }, raw.get(name), FAILURES_MAX)
        };
        let retries = failures("retries").unwrap_or(RETRIES);
        let restart_after = failures("restartAfter");
        Some(Health { probe: probe?, interval_ms, timeout_ms, retries, start_period_ms, restart_after })
    }

    fn probe_command(&mut self, at: &At<'_>, raw: &Raw) -> Option<Probe> {
        let what = format!("command of {}", at.what);
        let words = self.words(&At { span: at.span, what: &what }, raw);
        if words.first().is_none_or(String::is_empty) {
            self.shape(&At { span: at.span, what: &what }, "a command", &Raw::Text("an empty one".into()));
            return None;
        }
        Some(Probe::Command(words))
    }

    fn probe_http(&mut self, at: &At<'_>, raw: &Raw) -> Option<Probe> {
        let what = format!("http of {}", at.what);
        let at = At { span: at.span, what: &what };
        let (port, path) = match raw {
            Raw::Map(_) => {
                self.unknown_options(&what, raw, &["path", "port"], at.span);
                (raw.get("port"), raw.get("path"))
            }
            port => (port, &Raw::Undefined),
        };
        let port = self.single_port(&at, port)?;
        let path = self.text(&at, path).unwrap_or_else(|| "/".into());
        if !path.starts_with('/') || path.contains(|c: char| c.is_control() || c == ' ') {
            self.shape(&at, "a port, or { port, path } with a path such as '/health'", &Raw::Text(path));
            return None;
        }
        Some(Probe::Http { port, path })
    }

    fn single_port(&mut self, at: &At<'_>, raw: &Raw) -> Option<u16> {
        let ports = self.ports(at.what, raw, at.span)?;
        if ports.min != ports.max {
            self.shape(at, "a single port", &Raw::Text(ports.to_string()));
            return None;
        }
        Some(ports.min)
    }

    pub(super) fn update(&mut self, at: &At<'_>, raw: &Raw) -> Option<Update> {
        if raw.is_absent() {
            return None;
        }
        if !matches!(raw, Raw::Map(_)) {
            self.shape(at, "an object such as { batch: 1, pause: '5s' }", raw);
            return None;
        }
        self.unknown_options(at.what, raw, &UPDATE_OPTIONS, at.span);
        let default = Update::default();
        let what = format!("batch of {}", at.what);
        let batch = self.number(&At { span: at.span, what: &what }, raw.get("batch"), CONTAINERS_MAX as u32);
        let mut time = |name: &str, default| {
            let what = format!("{name} of {}", at.what);
            self.time(&At { span: at.span, what: &what }, raw.get(name), 0).unwrap_or(default)
        };
        Some(Update {
            batch: batch.unwrap_or(default.batch),
            pause_ms: time("pause", default.pause_ms),
            drain_ms: time("drain", default.drain_ms),
        })
    }

    /// A time with its unit, in milliseconds.
    pub(super) fn time(&mut self, at: &At<'_>, raw: &Raw, min_ms: u32) -> Option<u32> {
        let time = match raw {
            Raw::Undefined | Raw::Null => return None,
            Raw::Text(text) => parse_time(text).filter(|time| (min_ms..=TIME_MS_MAX).contains(time)),
            _ => None,
        };
        if time.is_none() {
            let expected = match min_ms {
                0 => "a time with its unit, up to '24h', such as '5s'",
                INTERVAL_MS_MIN => "a time with its unit, from '50ms' to '24h', such as '5s'",
                _ => "a time with its unit, above '0ms' and up to '24h', such as '500ms'",
            };
            self.shape(at, expected, raw);
        }
        time
    }

    /// A whole number from 1 on.
    fn number(&mut self, at: &At<'_>, raw: &Raw, max: u32) -> Option<u32> {
        match raw {
            Raw::Undefined | Raw::Null => None,
            Raw::Number(value) if value.fract() == 0.0 && (1.0..=f64::from(max)).contains(value) => {
                Some(*value as u32)
            }
            other => {
                let expected = if max == FAILURES_MAX {
                    "a whole number from 1 to 1000"
                } else {
                    "a whole number from 1 to 10000"
                };
                self.shape(at, expected, other);
                None
            }
        }
    }
}

/// `500ms`, `1.5s`, `2m`, `1h`, in milliseconds.
fn parse_time(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let value: f64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" | "min" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return None,
    };
    let time = (value * unit).round();
    (0.0..=f64::from(u32::MAX)).contains(&time).then_some(time as u32)
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn times_have_units() {
        assert_eq!(parse_time("500ms"), Some(500));
        assert_eq!(parse_time("1.5s"), Some(1_500));
        assert_eq!(parse_time("2 m"), Some(120_000));
        assert_eq!(parse_time("1h"), Some(3_600_000));
        assert_eq!(parse_time("0s"), Some(0));
        for bad in ["5", "s", "", "5 days", "-1s", "1e9s", "99999999h", "1..5s"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
