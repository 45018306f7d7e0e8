//! `weft top`: rates of containers, links and drops, live.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use quilt::runtime;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::widgets::{Block, Cell, Row, Table};
use ratatui::{DefaultTerminal, Frame};
use softnic::daemon::{Client, Snapshot};

use super::{Which, print_json, report};
use crate::style::{bytes, columns, count};

/// Watch traffic and drops, live.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft top --once\n\nKeys: q or Ctrl-C ends.")]
pub(crate) struct Top {
    #[command(flatten)]
    which: Which,
    /// Pause between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Measure once, print a table and end
    #[arg(long)]
    once: bool,
    /// Print all counters as JSON and end
    #[arg(long)]
    json: bool,
}

impl Top {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let deployment = self.which.find()?;
        let mut dataplane = runtime::dataplane(&deployment).map_err(report)?;
        if self.json {
            return print_json(&dataplane.snapshot().map_err(report)?);
        }
        let mut view = View::new(deployment.name(), &mut dataplane)?;
        if self.once || !std::io::stdout().is_terminal() {
            std::thread::sleep(Duration::from_secs(self.every));
            view.refresh(&mut dataplane)?;
            print!("{}", view.text());
            return Ok(());
        }
        let mut terminal = ratatui::init();
        let result = view.watch(&mut terminal, &mut dataplane, Duration::from_secs(self.every));
        ratatui::restore();
        result
    }
}

/// Two snapshots, and what happened between them.
struct View {
    name: String,
    before: Snapshot,
    now: Snapshot,
    taken: Instant,
    seconds: f64,
}

/// One table of the view.
struct Section {
    title: &'static str,
    rows: Vec<Vec<String>>,
}

impl View {
    fn new(name: &str, dataplane: &mut Client) -> miette::Result<Self> {
        let now = dataplane.snapshot().map_err(report)?;
        Ok(Self { name: name.to_owned(), before: now.clone(), now, taken: Instant::now(), seconds: 1.0 })
    }

    fn refresh(&mut self, dataplane: &mut Client) -> miette::Result<()> {
        let now = dataplane.snapshot().map_err(report)?;
        self.before = std::mem::replace(&mut self.now, now);
        self.seconds = self.taken.elapsed().as_secs_f64().max(1e-3);
        self.taken = Instant::now();
        Ok(())
    }

    fn watch(
        &mut self,
        terminal: &mut DefaultTerminal,
        dataplane: &mut Client,
        every: Duration,
    ) -> miette::Result<()> {
        let failed = |error: std::io::Error| miette::miette!("the terminal: {error}");
        loop {
            terminal.draw(|frame| self.draw(frame)).map_err(failed)?;
            let due = self.taken + every;
            while event::poll(due.saturating_duration_since(Instant::now())).map_err(failed)? {
                match event::read().map_err(failed)? {
                    Event::Key(key) if key.kind == KeyEventKind::Press => {
                        let interrupt =
                            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                        if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                            return Ok(());
                        }
                    }
                    Event::Resize(..) => break,
                    _ => {}
                }
            }
            if Instant::now() >= due {
                self.refresh(dataplane)?;
            }
        }
    }

    fn summary(&self) -> String {
        let flows = &self.now.fabric.flows;
        format!(
            "{}: {} open connections of {} at most, {} refused, {} cut, worker {:.0} % busy",
            self.name,
            flows.active,
            flows.max,
            flows.refused,
            flows.cut,
            self.now.busy_since(&self.before) * 100.0
        )
    }

    fn rate(&self, now: u64, before: u64) -> f64 {
        now.saturating_sub(before) as f64 / self.seconds
    }

    /// Containers, links, drops and denied pairs, those with most traffic first.
    fn sections(&self) -> [Section; 4] {
        [self.containers(), self.links(), self.drops(), self.denied()]
    }

    fn containers(&self) -> Section {
        let old: std::collections::HashMap<_, _> =
            self.before.fabric.endpoints.iter().map(|endpoint| (endpoint.name.as_str(), endpoint)).collect();
        let mut lines: Vec<(f64, Vec<String>)> = Vec::new();
        for endpoint in &self.now.fabric.endpoints {
            let before = old.get(endpoint.name.as_str()).copied().unwrap_or(endpoint);
            let sent = self.rate(endpoint.sent_bytes, before.sent_bytes);
            let received = self.rate(endpoint.received_bytes, before.received_bytes);
            lines.push((
                sent + received,
                vec![
                    endpoint.name.clone(),
                    if endpoint.up { "up" } else { "down" }.to_owned(),
                    format!("{}/s", bytes(sent)),
                    format!("{}/s", count(self.rate(endpoint.sent_packets, before.sent_packets))),
                    format!("{}/s", bytes(received)),
                    format!("{}/s", count(self.rate(endpoint.received_packets, before.received_packets))),
                    endpoint.dropped_packets.to_string(),
                ],
            ));
        }
        section("CONTAINER,LINK,SENT,PACKETS,RECEIVED,PACKETS,DROPPED", lines)
    }

    fn links(&self) -> Section {
        let old: std::collections::HashMap<_, _> =
            self.before.fabric.rules.iter().map(|rule| (rule.id, rule)).collect();
        let mut lines = Vec::new();
        for rule in &self.now.fabric.rules {
            let before = old.get(&rule.id).copied().unwrap_or(rule);
            let rate = self.rate(rule.bytes, before.bytes);
            lines.push((
                rate,
                vec![
                    format!("{} -> {}", rule.from, rule.to),
                    rule.label.clone(),
                    rule.flows.to_string(),
                    format!("{}/s", bytes(rate)),
                    format!("{}/s", count(self.rate(rule.packets, before.packets))),
                ],
            ));
        }
        section("ALLOWED,LINE,CONNECTIONS,BYTES,PACKETS", lines)
    }

    fn drops(&self) -> Section {
        let old: std::collections::HashMap<_, _> = self.before.fabric.drops.iter().copied().collect();
        let mut lines = Vec::new();
        for (reason, total) in &self.now.fabric.drops {
            let rate = self.rate(*total, old.get(reason).copied().unwrap_or(0));
            lines.push((rate, vec![reason.to_string(), total.to_string(), format!("{}/s", count(rate))]));
        }
        section("DROPPED BECAUSE,PACKETS,RATE", lines)
    }

    fn denied(&self) -> Section {
        let mut lines = Vec::new();
        for pair in &self.now.fabric.denied {
            let to = if pair.port == 0 {
                pair.destination.clone()
            } else {
                format!("{}:{}", pair.destination, pair.port)
            };
            lines.push((
                pair.packets as f64,
                vec![pair.source.clone(), to, pair.packets.to_string(), pair.reason.to_string()],
            ));
        }
        section("DENIED,TO,PACKETS,WHY", lines)
    }

    fn text(&self) -> String {
        let mut text = self.summary() + "\n";
        for section in self.sections() {
            if !section.rows.is_empty() {
                let header = section.title.split(',').map(str::to_owned).collect();
                let rows: Vec<_> = std::iter::once(header).chain(section.rows).collect();
                text = text + "\n" + &columns(&rows);
            }
        }
        text
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let [top, rest] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(frame.area());
        frame.render_widget(self.summary().bold(), top);
        let areas = Layout::vertical([
            Constraint::Fill(3),
            Constraint::Fill(2),
            Constraint::Fill(2),
            Constraint::Fill(2),
        ])
        .split(rest);
        for (section, area) in self.sections().into_iter().zip(areas.iter()) {
            let titles: Vec<_> = section.title.split(',').collect();
            let widths =
                titles.iter().enumerate().map(|(at, _)| Constraint::Fill(if at == 0 { 3 } else { 2 }));
            let rows = section.rows.into_iter().map(|cells| Row::new(cells.into_iter().map(Cell::from)));
            let header = Row::new(titles.iter().map(|title| Cell::from(*title))).style(Style::new().bold());
            frame.render_widget(Table::new(rows, widths).header(header).block(Block::bordered()), *area);
        }
    }
}

/// A section with its lines in the order of their weight; names decide between equals.
fn section(title: &'static str, mut lines: Vec<(f64, Vec<String>)>) -> Section {
    lines.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Section { title, rows: lines.into_iter().map(|(_, cells)| cells).collect() }
}
