//! Addresses to classes: the address space cut at every bound of every prefix, and the pieces numbered in order, so that
//! a prefix is a range of numbers and an address of either family becomes a small one.

use super::forest::SIDE_BY_SIDE;

/// A map from the addresses of a family to their classes.
pub(super) trait Classes {
    /// An address as a number.
    type Address: Copy + Default;

    /// `starts`: the first addresses of the classes, ascending, the first of them 0.
    fn new(starts: &[u128]) -> Self;

    /// The classes of some addresses, side by side.
    fn of(&self, addresses: &[Self::Address; SIDE_BY_SIDE]) -> [u32; SIDE_BY_SIDE];

    /// Bytes on the heap.
    fn bytes(&self) -> usize;
}

/// Set in a cell that names a class; other cells name the first of 256 cells below them.
const CLASS: u32 = 1 << 31;

/// IPv4: a trie of strides 16, 8 and 8, so that every address takes three loads and no branch.
///
/// A class that is known early is read again: the first cells, one for each class, lead to themselves.
pub(super) struct V4Classes {
    /// By the upper 16 bits.
    root: Vec<u32>,
    cells: Vec<u32>,
}

impl V4Classes {
    /// The cell for the `1 << bits` addresses from `first` on; `class` is the class of an address not behind them.
    fn cell(&mut self, starts: &[u64], class: &mut usize, first: u64, bits: u32) -> u32 {
        while starts.get(*class + 1).is_some_and(|&start| start <= first) {
            *class += 1;
        }
        if starts.get(*class + 1).is_none_or(|&start| start >= first + (1 << bits)) {
            return *class as u32 | CLASS;
        }
        let below = self.cells.len();
        self.cells.resize(below + 256, 0);
        for slot in 0..256 {
            let first = first + ((slot as u64) << (bits - 8));
            self.cells[below + slot] = self.cell(starts, class, first, bits - 8);
        }
        below as u32
    }

    /// One step down, by one byte of the address.
    #[inline(always)]
    fn step(&self, cell: u32, byte: u8) -> u32 {
        let below = !((cell as i32 >> 31) as u32); // all ones where the cell leads down
        self.cells[((cell & !CLASS) + (u32::from(byte) & below)) as usize]
    }
}

impl Classes for V4Classes {
    type Address = u32;

    fn new(starts: &[u128]) -> Self {
        let starts: Vec<u64> = starts.iter().map(|&start| start as u64).collect();
        let cells = (0..starts.len() as u32).map(|class| class | CLASS).collect();
        let mut map = Self { root: Vec::with_capacity(1 << 16), cells };
        let mut class = 0;
        for slot in 0..1u64 << 16 {
            let cell = map.cell(&starts, &mut class, slot << 16, 16);
            map.root.push(cell);
        }
        map
    }

    #[inline(always)]
    fn of(&self, addresses: &[u32; SIDE_BY_SIDE]) -> [u32; SIDE_BY_SIDE] {
        let mut cells = [0; SIDE_BY_SIDE];
        for (cell, address) in cells.iter_mut().zip(addresses) {
            *cell = self.root[(address >> 16) as usize];
        }
        for (cell, address) in cells.iter_mut().zip(addresses) {
            *cell = self.step(*cell, (address >> 8) as u8);
        }
        for (cell, address) in cells.iter_mut().zip(addresses) {
            *cell = self.step(*cell, *address as u8) & !CLASS;
        }
        cells
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.root[..]) + size_of_val(&self.cells[..])
    }
}

/// IPv6: a binary search without branches.
pub(super) struct V6Classes {
    starts: Vec<u128>,
}

impl Classes for V6Classes {
    type Address = u128;

    fn new(starts: &[u128]) -> Self {
        Self { starts: starts.to_vec() }
    }

    #[inline(always)]
    fn of(&self, addresses: &[u128; SIDE_BY_SIDE]) -> [u32; SIDE_BY_SIDE] {
        let mut classes = [0; SIDE_BY_SIDE];
        let mut length = self.starts.len();
        while length > 1 {
            let half = length / 2;
            for (class, address) in classes.iter_mut().zip(addresses) {
                let above = self.starts[*class as usize + half] <= *address;
                *class += if above { half as u32 } else { 0 };
            }
            length -= half;
        }
        classes
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.starts[..])
    }
}

/// The first addresses of all classes that `bounds` (first and last addresses) cut the addresses up to `last` into.
pub(super) fn starts(bounds: impl Iterator<Item = (u128, u128)>, last: u128) -> Vec<u128> {
    let mut starts = vec![0];
    for (first, end) in bounds {
        starts.push(first);
        if end < last {
            starts.push(end + 1);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// First and last class of a range of addresses whose bounds are among `starts`.
pub(super) fn range(starts: &[u128], (first, last): (u128, u128)) -> (u32, u32) {
    let class = |address: u128| (starts.partition_point(|&start| start <= address) - 1) as u32;
    (class(first), class(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree<M: Classes>(starts: &[u128], addresses: &[u128], narrow: impl Fn(u128) -> M::Address) {
        let map = M::new(starts);
        for address in addresses {
            let [class, ..] = map.of(&[narrow(*address); SIDE_BY_SIDE]);
            assert_eq!(class, range(starts, (*address, *address)).0, "{address:#x} among {starts:x?}");
        }
    }

    #[test]
    fn classes_are_what_the_bounds_say() {
        let v4 = u128::from(u32::MAX);
        let bounds =
            [(0, v4), (0x0a00_0000, 0x0aff_ffff), (0x0a01_0203, 0x0a01_0203), (0xffff_ff00, v4), (0, 0)];
        let cut = starts(bounds.into_iter(), v4);
        assert_eq!(cut, [0, 1, 0x0a00_0000, 0x0a01_0203, 0x0a01_0204, 0x0b00_0000, 0xffff_ff00]);
        let near: Vec<u128> = cut
            .iter()
            .flat_map(|&start| [start.saturating_sub(1), start, start + 1, start ^ 0x8000])
            .collect();
        agree::<V4Classes>(&cut, &near, |address| address as u32);
        agree::<V6Classes>(&cut, &near, |address| address);
        for lone in [vec![0], vec![0, v4]] {
            agree::<V4Classes>(&lone, &[0, 1, v4 - 1, v4], |address| address as u32);
        }
        let six =
            starts([(0, u128::MAX), (1 << 127, 1 << 127), (u128::MAX, u128::MAX)].into_iter(), u128::MAX);
        agree::<V6Classes>(&six, &[0, 1 << 127, (1 << 127) + 1, u128::MAX - 1, u128::MAX], |address| address);
    }
}
