//! Network functions in confined processes, as instances of a site.

use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use netbricks::functions::{self, Setup as FunctionSetup};
use netbricks::{Context, Gate, Line, NetworkFunction, Report};
use packet::Batch;
use softnic::bess::Failure;
use softnic::bess::class::{Argument, Setup, decode};
use softnic::engine::Module;
use softnic::modules::FunctionModule;

use super::proto;

/// The word with which the program runs one function, confined.
static ROLE: OnceLock<&'static str> = OnceLock::new();

/// Says it; what was said first counts.
pub(super) fn set_role(role: &'static str) {
    let _ = ROLE.set(role);
}

/// A line of them, and the thread that has started their processes: a confined process ends with that.
struct Isolated {
    line: Line,
    _starter: Sender<()>,
}

impl Isolated {
    fn start(words: Vec<String>, setup: FunctionSetup, role: &'static str) -> Result<Self, Failure> {
        let (starter, ends) = channel::<()>();
        let (tell, told) = channel();
        let start = move || {
            let _ = tell.send(functions::build_isolated(&words, &setup, role, false));
            // Nothing is ever said: this is the end of whoever has the other side.
            let _ = ends.recv();
        };
        let thread = std::thread::Builder::new().name("confined".to_owned()).spawn(start);
        thread.map_err(|error| Failure::invalid(error.to_string()))?;
        let line = told.recv().map_err(|_| Failure::invalid("no thread to start a function".to_owned()))?;
        let line = line.map_err(|error| Failure::invalid(error.to_string()))?;
        Ok(Self { line, _starter: starter })
    }
}

impl NetworkFunction for Isolated {
    fn gates(&self) -> Gate {
        self.line.gates()
    }

    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        self.line.process(gate, batch, ctx);
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.line.deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.line.expire(ctx);
    }

    fn held(&self) -> usize {
        self.line.held()
    }

    fn finish(&mut self, ctx: &mut Context) {
        self.line.finish(ctx);
    }

    fn report(&self, report: &mut Report) {
        self.line.report(report);
    }
}

pub(super) fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: proto::IsolatedArg = decode(argument)?;
    if arg.words.is_empty() {
        return Err(Failure::invalid("'words' must name a network function and its arguments"));
    }
    let role = ROLE.get().ok_or_else(|| Failure::invalid("this program has no confined processes"))?;
    let seed = setup.seed();
    let key = u128::from(seed) << 64 | u128::from(seed.rotate_left(29));
    let own = FunctionSetup { pool: setup.pool(), key, seed };
    Ok(Box::new(FunctionModule::new(Box::new(Isolated::start(arg.words, own, role)?))))
}
