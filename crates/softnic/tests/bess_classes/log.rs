//! What the daemon writes into its log, for the classes that have no other way to say something.

use std::fmt::{self, Write};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the messages of this process.
struct Keep;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}

impl Subscriber for Keep {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("softnic")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        SAID.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Keeps what is said from now on.
pub(crate) fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Keep).unwrap());
}

/// The messages that begin so.
pub(crate) fn said(beginning: &str) -> Vec<String> {
    SAID.lock().unwrap().iter().filter(|text| text.starts_with(beginning)).cloned().collect()
}

/// Waits until so many messages begin so.
pub(crate) fn wait_for(beginning: &str, count: usize) -> Vec<String> {
    let start = Instant::now();
    loop {
        let said = said(beginning);
        if said.len() >= count {
            return said;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{beginning}: {said:?}");
        std::thread::yield_now();
    }
}
