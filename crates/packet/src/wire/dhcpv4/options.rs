//! Options as they lie in a message.

use super::super::{WireError, need};
use super::{OPTIONS_MAX, option};

/// Walks options as pairs of number and data, without fillers; at most [`OPTIONS_MAX`]. Ends at the first error.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    area: &'a [u8],
    rest: [&'a [u8]; 2],
    seen: usize,
}

impl<'a> Options<'a> {
    /// Those of the options field, and of the two others if an option there says that they hold some.
    pub(super) fn of(main: &'a [u8], file: &'a [u8], server_name: &'a [u8]) -> Self {
        let alone = Self { area: main, rest: [&[], &[]], seen: 0 };
        let mut overload = alone.clone().map_while(Result::ok).filter(|(kind, _)| *kind == option::OVERLOAD);
        let Some((_, [which])) = overload.next() else { return alone };
        let field = |bit, field: &'a [u8]| if which & bit != 0 { field } else { &[] };
        Self { rest: [field(1, file), field(2, server_name)], ..alone }
    }

    /// The next option, `None` at the end of the last field.
    fn advance(&mut self) -> Result<Option<(u8, &'a [u8])>, WireError> {
        loop {
            match self.area {
                [option::PAD, rest @ ..] => self.area = rest,
                [] | [option::END, ..] => {
                    let [next, after] = self.rest;
                    (self.area, self.rest) = (next, [after, &[]]);
                    if next.is_empty() && after.is_empty() {
                        return Ok(None);
                    }
                }
                _ => break,
            }
        }
        if self.seen == OPTIONS_MAX {
            return Err(WireError::TooMany { what: "dhcp options", limit: OPTIONS_MAX });
        }
        need("dhcp option", self.area, 2)?;
        let end = 2 + usize::from(self.area[1]);
        need("dhcp option", self.area, end)?;
        let (option, rest) = self.area.split_at(end);
        self.area = rest;
        self.seen += 1;
        Ok(Some((option[0], &option[2..])))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u8, &'a [u8]), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let option = self.advance().transpose();
        if matches!(option, Some(Err(_))) {
            *self = Self { area: &[], rest: [&[], &[]], seen: self.seen };
        }
        option
    }
}
