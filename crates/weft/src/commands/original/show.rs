//! `quilt ps`: machines and containers.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quilt::daemon::Client;
use quilt::daemon::tables::{Connection, Container, Image, Machine, is_public};

use super::flags::Flags;
use super::{client, failed};

/// Characters of a command that are shown.
const COMMAND_MAX: usize = 30;
/// Spaces between columns.
const GAP: usize = 4;

pub(super) fn run(flags: &Flags) -> miette::Result<ExitCode> {
    print!("{}", text(&mut client(flags)?, !flags.is_set("no-trunc"))?);
    Ok(ExitCode::SUCCESS)
}

/// Both tables.
pub(super) fn text(client: &mut Client, truncate: bool) -> miette::Result<String> {
    let what = |what| move |error| failed(format!("unable to query {what}: {error}"));
    let machines: Vec<Machine> = client.query("db.Machine").map_err(what("machines"))?;
    let mut text = columns(&machine_rows(&machines), GAP) + "\n";
    if machines.iter().any(|machine| ["connected", "reconnecting"].contains(&machine.status.as_str())) {
        let connections: Vec<Connection> = client.query("db.Connection").map_err(what("connections"))?;
        let containers: Vec<Container> = client.query("db.Container").map_err(what("containers"))?;
        let images: Vec<Image> = client.query("db.Image").map_err(what("images"))?;
        text += &columns(&container_rows(&containers, &machines, &connections, &images, truncate), GAP);
    }
    Ok(text)
}

fn machine_rows(machines: &[Machine]) -> Vec<Vec<String>> {
    let head =
        ["MACHINE", "ROLE", "PROVIDER", "REGION", "SIZE", "PUBLIC IP", "STATUS"].map(str::to_owned).to_vec();
    let row = |machine: &Machine| {
        [
            short(&machine.stitch_id),
            &machine.role,
            &machine.provider,
            &machine.region,
            &machine.size,
            address(machine),
            &machine.status,
        ]
        .map(str::to_owned)
        .to_vec()
    };
    std::iter::once(head).chain(machines.iter().map(row)).collect()
}

fn container_rows(
    containers: &[Container],
    machines: &[Machine],
    connections: &[Connection],
    images: &[Image],
    truncate: bool,
) -> Vec<Vec<String>> {
    let head = ["CONTAINER", "MACHINE", "COMMAND", "LABELS", "STATUS", "CREATED", "PUBLIC IP"]
        .map(str::to_owned)
        .to_vec();
    let mut public: HashMap<&str, Vec<String>> = HashMap::new();
    for connection in connections.iter().filter(|connection| is_public(&connection.from)) {
        public.entry(&connection.to).or_default().push(match connection.min_port == connection.max_port {
            true => connection.min_port.to_string(),
            false => format!("{}-{}", connection.min_port, connection.max_port),
        });
    }
    let by_ip: HashMap<&str, &Machine> =
        machines.iter().map(|machine| (machine.private_ip.as_str(), machine)).collect();
    let status_of: HashMap<&str, &str> =
        images.iter().map(|image| (image.name.as_str(), image.status.as_str())).collect();
    let mut on: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
    for container in containers {
        let machine = by_ip.get(container.minion.as_str()).map_or("", |machine| machine.stitch_id.as_str());
        on.entry(machine).or_default().push(container);
    }
    let mut rows = vec![head];
    for (at, (machine, containers)) in on.into_iter().enumerate() {
        if at > 0 {
            rows.push(vec![String::new(); 7]);
        }
        for container in containers {
            let ports: Vec<String> = container
                .labels
                .iter()
                .filter_map(|label| public.get(label.as_str()))
                .flatten()
                .cloned()
                .collect();
            let status = match (container.status.as_str(), container.minion.as_str()) {
                ("", "") => status_of.get(container.image.as_str()).copied().unwrap_or_default(),
                ("", _) => "scheduled",
                (status, _) => status,
            };
            rows.push(vec![
                short(&container.stitch_id).to_owned(),
                short(machine).to_owned(),
                command(container, truncate),
                container.labels.join(", "),
                status.to_owned(),
                ago(&container.created),
                published(by_ip.get(container.minion.as_str()).copied(), &ports),
            ]);
        }
    }
    rows
}

/// The first twelve characters.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn address(machine: &Machine) -> &str {
    if machine.floating_ip.is_empty() { &machine.public_ip } else { &machine.floating_ip }
}

fn command(container: &Container, truncate: bool) -> String {
    if container.image.is_empty() {
        return String::new();
    }
    let whole = format!("{} {}", container.image, container.command.join(" "));
    if truncate && whole.chars().count() > COMMAND_MAX {
        return whole.chars().take(COMMAND_MAX).chain("...".chars()).collect();
    }
    whole
}

fn published(machine: Option<&Machine>, ports: &[String]) -> String {
    let address = machine.map(address).filter(|address| !address.is_empty());
    match (address, ports) {
        (None, _) | (_, []) => String::new(),
        (Some(address), [port]) => format!("{address}:{port}"),
        (Some(address), ports) => format!("{address}:[{}]", ports.join(",")),
    }
}

/// How long ago a time of RFC 3339 was, in words; nothing for the year 1.
fn ago(created: &str) -> String {
    let Some(created) = seconds(created) else { return String::new() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{} ago", duration(now.saturating_sub(created)))
}

/// Seconds after 1970 of `2017-07-01T13:23:37…Z`.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // http://howardhinnant.github.io/date_algorithms.html, `days_from_civil`
    let shifted = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)?;
    let of_day =
        number(11, 13).unwrap_or(0) * 3600 + number(14, 16).unwrap_or(0) * 60 + number(17, 19).unwrap_or(0);
    let milliseconds = text.get(19..20).filter(|dot| *dot == ".").and(number(20, 23)).unwrap_or(0);
    Some(Duration::from_secs(days * 86_400 + of_day) + Duration::from_millis(milliseconds))
}

/// A duration in the words of Docker.
fn duration(passed: Duration) -> String {
    let seconds = passed.as_secs();
    match (seconds, seconds / 60, seconds / 3600) {
        (0, ..) => "Less than a second".into(),
        (1, ..) => "1 second".into(),
        (seconds @ 2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, minutes @ 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".into(),
        (_, _, hours @ 2..48) => format!("{hours} hours"),
        (_, _, hours @ 48..336) => format!("{} days", hours / 24),
        (_, _, hours @ 336..1440) => format!("{} weeks", hours / 168),
        (_, _, hours @ 1440..17_520) => format!("{} months", hours / 720),
        (_, _, hours) => format!("{} years", hours / 8760),
    }
}

/// Rows in columns as Go's `tabwriter` lays them out: all cells but the last of a row are padded.
pub(super) fn columns(rows: &[Vec<String>], gap: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|at| width(at).unwrap_or(0) + gap).collect();
    let mut text = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            text += cell;
            if at + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', widths[at] - cell.chars().count()));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_containers_is_the_originals() {
        let machine = |id: &str, private: &str, public: &str| Machine {
            stitch_id: id.into(),
            private_ip: private.into(),
            public_ip: public.into(),
            ..Machine::default()
        };
        let container = |id: &str, minion: &str, image: &str, labels: &[&str]| Container {
            stitch_id: id.into(),
            minion: minion.into(),
            image: image.into(),
            command: vec!["cmd".into(), "1".into()],
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            created: "0001-01-01T00:00:00Z".into(),
            ..Container::default()
        };
        let connection = |from: &str, to: &str, min, max| Connection {
            from: from.into(),
            to: to.into(),
            min_port: min,
            max_port: max,
        };
        let rows = container_rows(
            &[
                container("3", "1.1.1.1", "image1", &["red"]),
                container("4", "", "image2-with-a-very-long-name", &[]),
            ],
            &[machine("5", "1.1.1.1", "7.7.7.7")],
            &[
                connection("public", "red", 80, 80),
                connection("public", "red", 100, 101),
                connection("red", "red", 9, 9),
            ],
            &[],
            true,
        );
        let expected = "\
CONTAINER    MACHINE    COMMAND                              LABELS    STATUS       CREATED    PUBLIC IP
4                       image2-with-a-very-long-name c...                                      
                                                                                               
3            5          image1 cmd 1                         red       scheduled               7.7.7.7:[80,100-101]
";
        assert_eq!(columns(&rows, GAP), expected);
    }

    #[test]
    fn times_are_told_as_docker_tells_them() {
        let seconds = |text: &str| seconds(text).map(|time| time.as_secs());
        assert_eq!(seconds("2017-07-01T13:23:37.5Z"), Some(1_498_915_417));
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("0001-01-01T00:00:00Z"), None);
        assert_eq!(seconds("nonsense"), None);
        for (passed, words) in
            [(0, "Less than a second"), (59, "59 seconds"), (61, "About a minute"), (7200, "2 hours")]
        {
            assert_eq!(duration(Duration::from_secs(passed)), words);
        }
    }
}
