//! Live views: tables of rates that a terminal shows until a key ends it.

use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::widgets::{Block, Cell, Row, Table};
use ratatui::{DefaultTerminal, Frame};

use crate::style::columns;

/// One table of a view.
pub(crate) struct Section {
    /// The columns' titles, separated by commas.
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<Vec<String>>,
    /// How much of the screen it gets, beside the others.
    pub(crate) weight: u16,
}

impl Section {
    /// A section with its lines in the order of their weight; names decide between equals.
    pub(crate) fn sorted(title: &'static str, weight: u16, mut lines: Vec<(f64, Vec<String>)>) -> Self {
        lines.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        Self { title, rows: lines.into_iter().map(|(_, cells)| cells).collect(), weight }
    }
}

/// What is looked at again and again.
pub(crate) trait Live {
    /// Looks again.
    fn refresh(&mut self) -> miette::Result<()>;

    /// When it last looked.
    fn taken(&self) -> Instant;

    /// One line on all of it.
    fn summary(&self) -> String;

    /// The tables.
    fn sections(&self) -> Vec<Section>;
}

/// All of a view as text.
pub(crate) fn text(view: &impl Live) -> String {
    let mut text = view.summary() + "\n";
    for section in view.sections() {
        if !section.rows.is_empty() {
            let header = section.title.split(',').map(str::to_owned).collect();
            let rows: Vec<_> = std::iter::once(header).chain(section.rows).collect();
            text = text + "\n" + &columns(&rows);
        }
    }
    text
}

/// Shows a view on the terminal until q or Ctrl-C.
pub(crate) fn watch(view: &mut impl Live, every: Duration) -> miette::Result<()> {
    let mut terminal = ratatui::init();
    let result = show(view, &mut terminal, every);
    ratatui::restore();
    result
}

fn show(view: &mut impl Live, terminal: &mut DefaultTerminal, every: Duration) -> miette::Result<()> {
    let failed = |error: std::io::Error| miette::miette!("the terminal: {error}");
    loop {
        terminal.draw(|frame| draw(view, frame)).map_err(failed)?;
        let due = view.taken() + every;
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
            view.refresh()?;
        }
    }
}

fn draw(view: &impl Live, frame: &mut Frame<'_>) {
    let [top, rest] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(frame.area());
    frame.render_widget(view.summary().bold(), top);
    let sections = view.sections();
    let areas = Layout::vertical(sections.iter().map(|section| Constraint::Fill(section.weight))).split(rest);
    for (section, area) in sections.into_iter().zip(areas.iter()) {
        let titles: Vec<_> = section.title.split(',').collect();
        let widths = titles.iter().enumerate().map(|(at, _)| Constraint::Fill(if at == 0 { 3 } else { 2 }));
        let rows = section.rows.into_iter().map(|cells| Row::new(cells.into_iter().map(Cell::from)));
        let header = Row::new(titles.iter().map(|title| Cell::from(*title))).style(Style::new().bold());
        frame.render_widget(Table::new(rows, widths).header(header).block(Block::bordered()), *area);
    }
}
