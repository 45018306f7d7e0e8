//! Operators that see the byte streams behind the packets: NetBricks' `bytestream` and `window`.

use packet::flow::FlowHasher;

use super::{Operator, Step};
use crate::Context;
use crate::frame::{Frame, Stack};
use crate::reassembly::{Config, Conversation, Event, Reassembler, Sink, Window};

/// Connections looked at for expiry in one call.
const EXPIRE_WORK: usize = 64;

/// See [`Chain::bytestream`](super::Chain::bytestream).
#[derive(Debug)]
pub struct ByteStream<T, K> {
    reassembler: Reassembler<T>,
    sink: K,
}

impl<T: Default, K: Sink<T>> ByteStream<T, K> {
    pub(super) fn new(config: Config, hasher: FlowHasher, sink: K) -> Self {
        Self { reassembler: Reassembler::new(config, hasher), sink }
    }
}

impl<S: Stack, M, T: Default, K: Sink<T>> Operator<Frame<S, M>> for ByteStream<T, K> {
    type Out = Frame<S, M>;

    #[inline]
    fn apply(&mut self, frame: Frame<S, M>, ctx: &mut Context) -> Step<Self::Out> {
        // What is no TCP, or malformed, has no stream and goes on all the same: another operator's business.
        if let Ok(layers) = frame.layers() {
            self.reassembler.segment(ctx.now_ns(), &layers, frame.bytes(), &mut self.sink);
        }
        Ok(frame)
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.reassembler.next_deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.reassembler.expire(ctx.now_ns(), EXPIRE_WORK, &mut self.sink);
    }

    fn finish(&mut self, _: &mut Context) {
        self.reassembler.finish(&mut self.sink);
    }
}

/// A window for each direction of a connection.
#[derive(Debug, Clone)]
pub struct Windows<const SIZE_MAX: usize>([Option<Window<SIZE_MAX>>; 2]);

impl<const SIZE_MAX: usize> Default for Windows<SIZE_MAX> {
    fn default() -> Self {
        Self([None, None])
    }
}

/// The sink of [`Chain::window`](super::Chain::window): slides a window over each direction and shows it.
#[derive(Debug, Clone)]
pub struct Slide<const SIZE_MAX: usize, F> {
    pub(super) fresh: Window<SIZE_MAX>,
    pub(super) show: F,
}

impl<const SIZE_MAX: usize, F> Sink<Windows<SIZE_MAX>> for Slide<SIZE_MAX, F>
where
    F: FnMut(&packet::flow::FlowKey, u64, &[u8]),
{
    #[inline]
    fn event(&mut self, conversation: &mut Conversation<'_, Windows<SIZE_MAX>>, event: Event<'_>) {
        let Event::Data { offset, bytes, .. } = event else { return };
        let window =
            conversation.state.0[conversation.direction as usize].get_or_insert_with(|| self.fresh.clone());
        window.push(offset, bytes, |at, bytes| (self.show)(conversation.key, at, bytes));
    }
}
