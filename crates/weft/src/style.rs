//! How output looks: colours only where a terminal shows them, errors with their place in the blueprint.

use std::io::{IsTerminal, Write};

use miette::{GraphicalReportHandler, GraphicalTheme, Report};

/// Prepares for failures: a reader that goes away (`weft ps | head`) ends the program quietly, a full disk behind
/// standard output with an error.
pub(crate) fn install() {
    let earlier = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if message.contains("Broken pipe") {
            std::process::exit(0);
        }
        // What `print!` panics with.
        if let Some(problem) = message.strip_prefix("failed printing to stdout: ") {
            show(&miette::miette!("standard output: {problem}"));
            std::process::exit(crate::FAILED.into());
        }
        earlier(info);
    }));
}

/// Whether standard error shows colours (`NO_COLOR`, <https://no-color.org>).
fn colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether standard output shows colours.
pub(crate) fn colour_out() -> bool {
    colour(std::io::stdout().is_terminal())
}

/// Prints an error, pointing into the blueprint where it has a place there.
pub(crate) fn show(report: &Report) {
    let theme = if colour(std::io::stderr().is_terminal()) {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let mut text = String::new();
    let rendered =
        GraphicalReportHandler::new_themed(theme).with_links(false).render_report(&mut text, report.as_ref());
    if rendered.is_err() {
        text = format!("{report:?}");
    }
    // Nobody is left to tell if this fails.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// A column of text that says which words are good and which are not.
pub(crate) fn tint(text: &str, good: bool) -> String {
    match (colour_out(), good) {
        (false, _) => text.to_owned(),
        (true, true) => format!("\x1b[32m{text}\x1b[0m"),
        (true, false) => format!("\x1b[31m{text}\x1b[0m"),
    }
}

/// Lays rows out in columns as wide as their widest cell, two spaces apart; colour codes have no width.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let width = |text: &String| shown_width(text);
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(width).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, wide) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', wide - width(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Characters of a text that show.
fn shown_width(text: &str) -> usize {
    let mut escaped = false;
    let shows = |c: char| {
        let was = escaped;
        escaped = if was { c != 'm' } else { c == '\x1b' };
        !was && !escaped
    };
    text.chars().map(shows).filter(|shows| *shows).count()
}

/// A count of bytes, for people.
pub(crate) fn bytes(count: f64) -> String {
    scaled(count, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// A count, for people.
pub(crate) fn count(count: f64) -> String {
    scaled(count, 1000.0, &["", "k", "M", "G", "T"])
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let number = if unit == 0 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") };
    format!("{number} {}", units[unit]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_colours_have_no_width() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = columns(&[row(["a", "b"]), row(["\x1b[32mlong\x1b[0m", "c"])]);
        assert_eq!(text, "a     b\n\x1b[32mlong\x1b[0m  c\n");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            (bytes(512.0), bytes(1536.0), bytes(300e6)),
            ("512 B".into(), "1.5 KiB".into(), "286 MiB".into())
        );
        assert_eq!((count(12.0), count(1_500_000.0)), ("12".into(), "1.5 M".into()));
    }
}
