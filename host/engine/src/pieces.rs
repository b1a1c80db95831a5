//! Code without its pages of zeros.
//!
//! Compiled code holds the image of memory from which instances begin. Much of that is what `load` has freed, in pages of
//! zeros, and whoever loads a version would read them, hash them, and leave holes in their place.
//!
//! The layout: length of the code, number of pieces, for each piece its place and its length, all as 64-bit numbers with the
//! lowest byte first; then the bytes of all pieces. No piece is empty, no two touch, they ascend, and what lies between them is
//! zero.

/// What is left out is whole pages of the code.
const PAGE: usize = 4096;
/// Bytes of a number.
const NUMBER: usize = 8;

/// Code in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pieces<'a> {
    len: usize,
    pieces: Vec<(usize, &'a [u8])>,
}

impl<'a> Pieces<'a> {
    /// Of code as it is.
    pub(crate) fn of(code: &'a [u8]) -> Self {
        let mut pieces = Vec::new();
        let mut begin = 0;
        let mut piece = |from: usize, to: usize| {
            if from < to {
                pieces.push((from, &code[from..to]));
            }
        };
        for (index, page) in code.chunks(PAGE).enumerate() {
            if *page == [0; PAGE][..page.len()] {
                piece(begin, index * PAGE);
                begin = index * PAGE + page.len();
            }
        }
        piece(begin, code.len());
        Self {
            len: code.len(),
            pieces,
        }
    }

    /// Of what [`encode`](Self::encode) wrote; `None` of anything else.
    pub(crate) fn decode(mut encoded: &'a [u8]) -> Option<Self> {
        let mut number = || -> Option<usize> {
            let (number, rest) = encoded.split_first_chunk::<NUMBER>()?;
            encoded = rest;
            usize::try_from(u64::from_le_bytes(*number)).ok()
        };
        let (len, count) = (number()?, number()?);
        let mut places = Vec::new();
        let mut last = None;
        for _ in 0..count {
            let (place, piece) = (number()?, number()?);
            if piece == 0 || last.is_some_and(|last| place <= last) {
                return None;
            }
            last = Some(place.checked_add(piece)?);
            places.push((place, piece));
        }
        let mut pieces = Vec::with_capacity(places.len());
        for (place, len) in places {
            let (piece, rest) = encoded.split_at_checked(len)?;
            encoded = rest;
            pieces.push((place, piece));
        }
        (last.unwrap_or(0) <= len && encoded.is_empty()).then_some(Self { len, pieces })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes() + (2 + 2 * self.pieces.len()) * NUMBER);
        let mut number = |number: usize| out.extend_from_slice(&(number as u64).to_le_bytes());
        number(self.len);
        number(self.pieces.len());
        for (place, piece) in &self.pieces {
            number(*place);
            number(piece.len());
        }
        for (_, piece) in &self.pieces {
            out.extend_from_slice(piece);
        }
        out
    }

    /// The code as it was.
    pub(crate) fn whole(&self) -> Vec<u8> {
        let mut code = vec![0; self.len];
        for (place, piece) in &self.pieces {
            code[*place..place + piece.len()].copy_from_slice(piece);
        }
        code
    }

    /// Bytes of the code, zeros included.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all pieces.
    fn bytes(&self) -> usize {
        self.pieces.iter().map(|(_, piece)| piece.len()).sum()
    }

    /// Where each piece stands.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        self.pieces.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Code of pages that are zero or not, and the rest of one.
    fn code() -> impl Strategy<Value = Vec<u8>> {
        let pages = proptest::collection::vec(prop_oneof![Just(0), 1_u8..], 0..6);
        (pages, 0..PAGE, 0_u8..2).prop_map(|(pages, rest, last)| {
            let mut code = Vec::new();
            for first in pages {
                code.push(first);
                code.resize(code.len() + PAGE - 1, 0);
            }
            code.resize(code.len() + rest, last);
            code
        })
    }

    #[test]
    fn pieces_that_are_empty_or_touch_or_overlap_or_leave_the_code_are_refused() {
        let of = |len: usize, places: &[(usize, usize)]| {
            let mut numbers = vec![len, places.len()];
            numbers.extend(places.iter().flat_map(|(place, len)| [*place, *len]));
            let mut encoded: Vec<u8> = numbers
                .iter()
                .flat_map(|number| (*number as u64).to_le_bytes())
                .collect();
            encoded.resize(
                encoded.len() + places.iter().map(|place| place.1).sum::<usize>(),
                7,
            );
            Pieces::decode(&encoded).map(|pieces| pieces.whole())
        };
        assert_eq!(of(5, &[(0, 1), (3, 2)]), Some(vec![7, 0, 0, 7, 7]));
        assert_eq!(of(2, &[]), Some(vec![0, 0]));
        for wrong in [
            [(0, 0), (3, 2)],
            [(0, 3), (3, 2)],
            [(0, 4), (3, 2)],
            [(3, 2), (0, 1)],
            [(0, 1), (3, 3)],
        ] {
            assert_eq!(of(5, &wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn code_comes_back_as_it_was_and_takes_no_page_of_zeros(code in code()) {
            let pieces = Pieces::of(&code);
            let encoded = pieces.encode();
            prop_assert_eq!(Pieces::decode(&encoded), Some(pieces.clone()));
            let kept = code.chunks(PAGE).filter(|page| page.iter().any(|byte| *byte != 0));
            prop_assert_eq!(pieces.bytes(), kept.map(<[u8]>::len).sum::<usize>());
            prop_assert_eq!(pieces.whole(), code);
        }

        #[test]
        fn what_was_cut_off_is_refused(code in code(), at: prop::sample::Index) {
            let encoded = Pieces::of(&code).encode();
            prop_assert_eq!(Pieces::decode(&encoded[..at.index(encoded.len())]), None);
        }

        #[test]
        fn other_numbers_are_refused_or_are_another_code(code in code(), at: prop::sample::Index, other in 0..8 * PAGE) {
            let pieces = Pieces::of(&code);
            let mut encoded = pieces.encode();
            let at = at.index(2 + 2 * pieces.pieces.len()) * NUMBER;
            encoded[at..at + NUMBER].copy_from_slice(&(other as u64).to_le_bytes());
            // None is taken for another: what is read is what was written, and every piece lies within.
            if let Some(read) = Pieces::decode(&encoded) {
                prop_assert_eq!(&read.encode(), &encoded);
                prop_assert_eq!(read.whole().len(), read.len());
            }
        }
    }
}
