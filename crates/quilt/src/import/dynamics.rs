//! Health checks and dependencies, from compose files and as blueprints write them.

use crate::compose::{Healthcheck, Scalar, Words};
use crate::model::{Health, Probe};

/// What compose has where a check says nothing, in milliseconds (compose-spec, "healthcheck").
const INTERVAL_MS: u32 = 30_000;
const TIMEOUT_MS: u32 = 30_000;
const RETRIES: u32 = 3;
/// What a blueprint can say: a day, and so many failures.
const TIME_MS_MAX: u32 = 24 * 3600 * 1000;
const RETRIES_MAX: u32 = 1_000;

/// A check of a compose file; `None` if it is switched off or not understood.
pub(super) fn health(check: &Healthcheck) -> Option<Health> {
    if check.disable == Some(true) {
        return None;
    }
    let shell = |line: String| vec!["/bin/sh".to_owned(), "-c".to_owned(), line];
    let words = match check.test.as_ref()? {
        Words::Line(line) => shell(line.clone()),
        Words::List(list) => {
            let words: Vec<String> = list.iter().map(Scalar::to_string).collect();
            match words.split_first() {
                Some((kind, rest)) if kind == "CMD" => rest.to_vec(),
                Some((kind, rest)) if kind == "CMD-SHELL" => shell(rest.join(" ")),
                _ => return None,
            }
        }
    };
    if words.first().is_none_or(String::is_empty) {
        return None;
    }
    let ms = |time: Option<&Scalar>, least| {
        time.and_then(|time| time_ms(&time.to_string())).map(|ms| ms.clamp(least, TIME_MS_MAX))
    };
    Some(Health {
        probe: Probe::Command(words.iter().map(|word| super::compose::interpolated(word)).collect()),
        interval_ms: ms(check.interval.as_ref(), 50).unwrap_or(INTERVAL_MS),
        timeout_ms: ms(check.timeout.as_ref(), 1).unwrap_or(TIMEOUT_MS),
        retries: check.retries.unwrap_or(RETRIES).clamp(1, RETRIES_MAX),
        start_period_ms: ms(check.start_period.as_ref(), 0).unwrap_or(0),
        restart_after: None,
    })
}

/// A duration of compose, such as `1m30s`, in milliseconds.
fn time_ms(text: &str) -> Option<u32> {
    let mut total = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let value: f64 = rest[..unit].parse().ok()?;
        let after = &rest[unit..];
        let length = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        total += value
            * match &after[..length] {
                "us" => 0.001,
                "ms" => 1.0,
                "s" => 1_000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                _ => return None,
            };
        rest = &after[length..];
    }
    (0.0..=f64::from(u32::MAX)).contains(&total).then_some(total as u32)
}

/// A check as an option of a container.
pub(super) fn written(health: &Health, quoted: impl Fn(&str) -> String) -> String {
    let mut members = vec![match &health.probe {
        Probe::Command(words) => {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            format!("command: [{}]", words.join(", "))
        }
        Probe::Http { port, path } => format!("http: {{ port: {port}, path: {} }}", quoted(path)),
        Probe::Tcp { port } => format!("tcp: {port}"),
    }];
    for (name, ms) in [
        ("interval", health.interval_ms),
        ("timeout", health.timeout_ms),
        ("startPeriod", health.start_period_ms),
    ] {
        let time = if ms % 1000 == 0 { format!("{}s", ms / 1000) } else { format!("{ms}ms") };
        members.push(format!("{name}: '{time}'"));
    }
    members.push(format!("retries: {}", health.retries));
    members.extend(health.restart_after.map(|count| format!("restartAfter: {count}")));
    format!("{{ {} }}", members.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_compose_are_read() {
        assert_eq!(time_ms("1m30s"), Some(90_000));
        assert_eq!(time_ms("1.5s"), Some(1_500));
        assert_eq!(time_ms("250ms"), Some(250));
        for bad in ["5", "s", "1d", "1s5", "99999999h"] {
            assert_eq!(time_ms(bad), None, "{bad}");
        }
    }
}
