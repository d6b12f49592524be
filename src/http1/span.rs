//! Where the parts of a head stand in its bytes: values are slices of it, not copies.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// Fields for which there is room without an allocation.
const USUAL: usize = 100;

/// Where a field stands in its head.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    name: (u32, u32),
    value: (u32, u32),
}

/// Room for the fields that the parser finds.
pub(super) struct Slots<'b> {
    few: [MaybeUninit<httparse::Header<'b>>; USUAL],
    many: Vec<MaybeUninit<httparse::Header<'b>>>,
    most: usize,
}

/// Room for where they stand.
pub(super) struct Spans {
    few: [Span; USUAL],
    many: Vec<Span>,
}

// === impl Span ===

impl Span {
    /// Returns name and value; `None`: they are no name or no value.
    pub(super) fn field(&self, head: &Bytes) -> Option<(HeaderName, HeaderValue)> {
        let (start, end) = self.name;
        let name = head.get(start as usize..end as usize)?;
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_maybe_shared(slice(head, self.value)).ok()?;
        Some((name, value))
    }
}

pub(super) fn slice(head: &Bytes, (start, end): (u32, u32)) -> Bytes {
    head.slice(start as usize..end as usize)
}

/// Returns where `part` lies in `whole`, whose part it is.
pub(super) fn place(whole: &[u8], part: &[u8]) -> (u32, u32) {
    if part.is_empty() {
        // It may lie nowhere.
        return (0, 0);
    }
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    (start as u32, (start + part.len()) as u32)
}

// === impl Slots ===

impl<'b> Slots<'b> {
    pub(super) fn new(most: usize) -> Self {
        let beyond = if most > USUAL { most } else { 0 };
        Self {
            few: [const { MaybeUninit::uninit() }; USUAL],
            many: vec![MaybeUninit::uninit(); beyond],
            most,
        }
    }

    pub(super) fn get(&mut self) -> &mut [MaybeUninit<httparse::Header<'b>>] {
        match self.few.get_mut(..self.most) {
            Some(few) => few,
            None => &mut self.many,
        }
    }
}

// === impl Spans ===

impl Spans {
    pub(super) fn new(most: usize) -> Self {
        let beyond = if most > USUAL { most } else { 0 };
        Self {
            few: [Span::default(); USUAL],
            many: vec![Span::default(); beyond],
        }
    }

    /// Notes where the fields of a head stand.
    pub(super) fn fill(&mut self, head: &[u8], fields: &[httparse::Header<'_>]) -> &[Span] {
        let room = if self.many.is_empty() {
            &mut self.few[..]
        } else {
            &mut self.many[..]
        };
        for (span, field) in room.iter_mut().zip(fields) {
            *span = Span {
                name: place(head, field.name.as_bytes()),
                value: place(head, field.value),
            };
        }
        &room[..fields.len()]
    }
}
