//! [`FunctionModule`].

use netbricks::functions::{Kind, Setup};
use netbricks::{Args, ArgsError, Contained, Drops, NetworkFunction, Report};
use packet::Batch;

use crate::engine::{Context, Gate, Module};

/// Runs a network function of [`netbricks`], or a [`Line`](netbricks::Line) of them, as a module.
///
/// *Input and output gates*: the function's, gate for gate; with two, what comes in at gate 0, the inside, leaves at
/// output gate 1, the outside, and the other way round, and an answer leaves at the gate of its question.
///
/// What the function drops is in [`drops`](Self::drops) and in the module's status; what it leaves in a batch is
/// dropped and counted by the engine. A function that keeps packets back lets them out on time.
///
/// ```
/// use netbricks::functions::{Kind, Setup};
/// use netbricks::Args;
/// use packet::{Pool, PoolConfig};
/// use softnic::engine::Module;
/// use softnic::modules::FunctionModule;
///
/// let setup = Setup { pool: Pool::new(PoolConfig::default())?, key: 1, seed: 1 };
/// let kind = Kind::find("MacSwap").expect("a function");
/// let module = FunctionModule::build(kind, &Args::default(), &setup)?;
/// assert_eq!((module.class(), module.inputs(), module.outputs()), ("MacSwap", 2, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FunctionModule {
    class: &'static str,
    function: Box<dyn NetworkFunction>,
    /// Used again for every call.
    inner: netbricks::Context,
}

impl FunctionModule {
    /// Runs `function`.
    pub fn new(function: Box<dyn NetworkFunction>) -> Self {
        let inner = netbricks::Context::new(function.gates());
        Self { class: "NetworkFunction", function, inner }
    }

    /// Builds and runs a function of a kind, whose class is then the module's. A panic costs its state and one batch.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    pub fn build(kind: &'static Kind, args: &Args, setup: &Setup) -> Result<Self, ArgsError> {
        let function = kind.build(&mut args.clone(), setup)?;
        let (args, setup) = (args.clone(), setup.clone());
        // What was right once may be wrong now, if it names a file: then it stays broken.
        let make = move || kind.build(&mut args.clone(), &setup).unwrap_or_else(|error| panic!("{error}"));
        let contained = Contained::new(function, Box::new(make));
        Ok(Self { class: kind.class, ..Self::new(Box::new(contained)) })
    }

    /// The function, to be asked and changed by [`Engine::with_module`](crate::engine::Engine::with_module).
    pub fn function(&mut self) -> &mut dyn NetworkFunction {
        &mut *self.function
    }

    /// What the function says of itself.
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        self.function.report(&mut report);
        report
    }

    /// What the function dropped, by cause. A line's functions count for themselves, in its report.
    pub fn drops(&self) -> &Drops {
        self.inner.drops()
    }

    /// Whether it has an inside and an outside, and nothing else.
    pub fn has_two_gates(&self) -> bool {
        self.inner.gates() == 2
    }

    /// Packets that the function keeps inside.
    pub fn kept(&self) -> u64 {
        self.function.held() as u64
    }

    /// Hands on what has left the function, whole batches as they are.
    fn hand_on(&mut self, ctx: &mut Context<'_>) {
        for gate in 0..self.inner.gates() {
            self.inner.drain(gate, |batch| ctx.emit_batch(gate, batch));
        }
    }
}

impl Module for FunctionModule {
    fn class(&self) -> &'static str {
        self.class
    }

    fn inputs(&self) -> Gate {
        self.inner.gates()
    }

    fn outputs(&self) -> Gate {
        self.inner.gates()
    }

    fn process(&mut self, ctx: &mut Context<'_>, gate: Gate, batch: &mut Batch) {
        self.inner.set_now_ns(ctx.now_ns());
        self.function.process(gate, batch, &mut self.inner);
        self.hand_on(ctx);
    }

    fn timed(&self) -> bool {
        true
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.function.deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        self.inner.set_now_ns(ctx.now_ns());
        self.function.expire(&mut self.inner);
        self.hand_on(ctx);
    }

    fn held(&self) -> usize {
        self.function.held()
    }

    fn status(&self) -> String {
        let drops = self.inner.drops().iter().map(|(cause, count)| format!("dropped {count}, {cause}"));
        drops.collect::<Vec<_>>().join("; ")
    }
}
