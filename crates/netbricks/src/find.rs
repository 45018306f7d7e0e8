//! Finding one function among those that others run.

use std::any::Any;

use crate::{Contained, Line, NetworkFunction};

/// A change that is made again to a function that takes the place of the one it was made to.
pub(crate) type Change = Box<dyn FnMut(&mut dyn NetworkFunction) + Send>;

/// A function that was looked for.
pub(crate) struct Found<'a, F> {
    pub(crate) function: &'a mut F,
    /// The change that whoever contains it makes again.
    pub(crate) lasting: Option<&'a mut Option<Change>>,
}

/// The function of type `F`: this one, or the first of a line, contained or not. Not one that is broken at the moment.
pub(crate) fn find<F: NetworkFunction>(function: &mut dyn NetworkFunction) -> Option<Found<'_, F>> {
    let any: &mut dyn Any = function;
    if any.is::<F>() {
        return any.downcast_mut().map(|function| Found { function, lasting: None });
    }
    if any.is::<Line>() {
        return any.downcast_mut::<Line>()?.functions_mut().find_map(find);
    }
    if any.is::<Contained>() {
        let (function, lasting) = any.downcast_mut::<Contained>()?.parts_mut();
        let found = find(function?)?;
        // The innermost is the one that makes it anew.
        return Some(Found { lasting: found.lasting.or(Some(lasting)), ..found });
    }
    let boxed = any.downcast_mut::<Box<dyn NetworkFunction>>()?;
    find(&mut **boxed)
}

/// Changes the function of type `F`; whoever contains it makes a change that succeeded again, in the place of the one
/// before, when it makes the function anew. `None` where there is no such function.
pub(crate) fn change<F: NetworkFunction, R, E>(
    function: &mut dyn NetworkFunction,
    mut change: impl FnMut(&mut F) -> Result<R, E> + Send + 'static,
) -> Option<Result<R, E>> {
    let found = find::<F>(function)?;
    let said = change(found.function);
    if let (Ok(_), Some(lasting)) = (&said, found.lasting) {
        *lasting = Some(Box::new(move |anew| {
            // It succeeded once; should it fail now, the function is as it was made.
            let _ = find::<F>(anew).map(|found| change(found.function));
        }));
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Gate};
    use packet::{Batch, Pool, PoolConfig};

    /// Panics on more packets than it may take.
    struct Most(usize);

    impl Most {
        fn set(&mut self, most: usize) -> Result<usize, &'static str> {
            if most == 0 { Err("none") } else { Ok(std::mem::replace(&mut self.0, most)) }
        }
    }

    impl NetworkFunction for Most {
        fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
            assert!(batch.len() <= self.0, "as the test wants");
            ctx.send_batch(gate ^ 1, batch);
        }
    }

    struct Other;

    impl NetworkFunction for Other {
        fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
            ctx.send_batch(gate ^ 1, batch);
        }
    }

    fn most() -> Box<dyn NetworkFunction> {
        Box::new(Most(1))
    }

    #[test]
    fn functions_are_found_in_lines_and_boxes_and_where_they_are_contained() {
        let mut line = Line::new();
        line.push("other", Box::new(Other));
        assert!(find::<Most>(&mut line).is_none());
        line.push("most", Box::new(Contained::new(most(), Box::new(most))));
        line.push("most", Box::new(Most(7)));
        assert_eq!(find::<Most>(&mut line).map(|found| found.function.0), Some(1), "the first");
        assert!(find::<Other>(&mut line).is_some_and(|found| found.lasting.is_none()));
        let mut boxed: Box<dyn NetworkFunction> = Box::new(most());
        assert_eq!(find::<Most>(&mut boxed).map(|found| found.function.0), Some(1));
    }

    #[test]
    fn the_last_change_that_succeeded_outlives_a_panic() {
        let pool = Pool::new(PoolConfig { buffers: 32, room: 64, ..PoolConfig::default() }).unwrap();
        let mut line = Line::new();
        line.push("most", Box::new(Contained::new(most(), Box::new(most))));
        let mut ctx = Context::new(2);
        let mut passes = |line: &mut Line, count: usize| {
            let mut batch = Batch::new();
            (0..count).for_each(|_| batch.push(pool.packet(b"x").unwrap()).unwrap());
            let before = ctx.sent();
            line.process(0, &mut batch, &mut ctx);
            ctx.drain(1, Batch::clear);
            ctx.sent() - before == count as u64
        };
        assert!(passes(&mut line, 1) && !passes(&mut line, 2));
        for (most, said) in [(3, Ok(1)), (2, Ok(3)), (0, Err("none"))] {
            assert_eq!(change::<Most, _, _>(&mut line, move |function| function.set(most)), Some(said));
        }
        assert!(passes(&mut line, 2) && !passes(&mut line, 3));
        assert!(passes(&mut line, 2), "it was made anew, and changed again");
        assert_eq!(change::<Other, (), ()>(&mut line, |_| Ok(())), None);
    }
}
