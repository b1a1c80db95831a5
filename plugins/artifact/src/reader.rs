//! Bytes to values, with the place of whatever is wrong.

use std::fmt;

use foretell_sdk::LoadError;

/// What is wrong with an artifact, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    at: usize,
    message: String,
}

impl Fault {
    /// Says inside of what it was found, such as ``column 3``.
    #[must_use]
    pub fn inside(mut self, part: impl fmt::Display) -> Self {
        self.message = format!("{part}: {}", self.message);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.message)
    }
}

impl From<Fault> for LoadError {
    fn from(fault: Fault) -> Self {
        Self::bad_artifact(fault)
    }
}

/// Reads an artifact from front to back. Everything is little-endian.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A fault at the next byte.
    pub fn fault(&self, message: impl fmt::Display) -> Fault {
        self.fault_at(self.at, message)
    }

    /// A fault at a byte before.
    pub fn fault_at(&self, at: usize, message: impl fmt::Display) -> Fault {
        let message = message.to_string();
        Fault { at, message }
    }

    /// The place of the next byte.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The next bytes. `what` names them in the fault, here and below.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn bytes(&mut self, count: usize, what: &str) -> Result<&'a [u8], Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((taken, _)) = rest.split_at_checked(count) else {
            let left = rest.len();
            return Err(self.fault(format_args!("{what} needs {count} bytes, {left} are left")));
        };
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N, what)?);
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// None is left.
    pub fn u8(&mut self, what: &str) -> Result<u8, Fault> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    /// A whole number of four bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u32(&mut self, what: &str) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// A signed whole number of four bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn i32(&mut self, what: &str) -> Result<i32, Fault> {
        Ok(i32::from_le_bytes(self.array(what)?))
    }

    /// A number of eight bytes: any, NaN and infinities too.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn f64(&mut self, what: &str) -> Result<f64, Fault> {
        Ok(f64::from_le_bytes(self.array(what)?))
    }

    /// A finite number of eight bytes.
    ///
    /// # Errors
    /// Fewer are left, or it is NaN or infinite.
    pub fn finite(&mut self, what: &str) -> Result<f64, Fault> {
        let value = self.f64(what)?;
        if value.is_finite() {
            Ok(value)
        } else {
            self.at -= size_of::<f64>();
            Err(self.fault(format_args!("{what} is {value}; it must be finite")))
        }
    }

    /// Finite numbers of eight bytes each.
    ///
    /// # Errors
    /// As [`finite`](Self::finite).
    pub fn finites(&mut self, count: usize, what: &str) -> Result<Vec<f64>, Fault> {
        self.afford(count, size_of::<f64>(), what)?;
        (0..count).map(|_| self.finite(what)).collect()
    }

    /// A count of items that take at least `least` bytes each.
    ///
    /// # Errors
    /// The bytes that are left cannot hold so many.
    pub fn count(&mut self, least: usize, what: &str) -> Result<usize, Fault> {
        let count = self.u32(what)? as usize;
        self.afford(count, least, what)?;
        Ok(count)
    }

    /// Refuses a count of items that the bytes that are left cannot hold, before anything is allocated for them.
    ///
    /// # Errors
    /// As said.
    pub fn afford(&self, count: usize, least: usize, what: &str) -> Result<(), Fault> {
        let left = self.left();
        if count.checked_mul(least).is_some_and(|bytes| bytes <= left) {
            return Ok(());
        }
        Err(self.fault(format_args!(
            "{count} {what} of {least} bytes or more cannot be in the {left} bytes left"
        )))
    }

    /// A text: its length in bytes, then UTF-8.
    ///
    /// # Errors
    /// Fewer bytes are left, or they are not UTF-8.
    pub fn text(&mut self, what: &str) -> Result<String, Fault> {
        let length = self.count(1, what)?;
        let start = self.at;
        let bytes = self.bytes(length, what)?;
        match str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                self.at = start + error.valid_up_to();
                Err(self.fault(format_args!("{what} is not UTF-8")))
            }
        }
    }

    /// A list of texts: how many, then each.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn texts(&mut self, what: &str) -> Result<Vec<String>, Fault> {
        let count = self.count(size_of::<u32>(), what)?;
        (0..count).map(|_| self.text(what)).collect()
    }

    /// A number that may be absent: a byte 0, or a byte 1 and the number.
    ///
    /// # Errors
    /// Fewer bytes are left, or the first is neither.
    pub fn optional(&mut self, what: &str) -> Result<Option<f64>, Fault> {
        match self.u8(what)? {
            0 => Ok(None),
            1 => Ok(Some(self.f64(what)?)),
            other => {
                self.at -= 1;
                Err(self.fault(format_args!(
                    "{what} begins with {other}; use 0 for none, 1 for a number"
                )))
            }
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Bytes are left.
    pub fn finish(&self) -> Result<(), Fault> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.fault(format_args!(
                "{left} bytes stand after the end of the model"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_what_and_where() {
        let mut reader = Reader::new(&[1, 0, 0, 0, 2]);
        assert_eq!(reader.u32("trees"), Ok(1));
        let fault = reader.f64("threshold").unwrap_err().inside("tree 3");
        assert_eq!(
            fault.to_string(),
            "at byte 4: tree 3: threshold needs 8 bytes, 1 are left"
        );
        assert_eq!(
            reader.finish().unwrap_err().to_string(),
            "at byte 4: 1 bytes stand after the end of the model"
        );
    }

    #[test]
    fn a_count_beyond_the_bytes_left_is_refused_before_anything_is_allocated() {
        let mut reader = Reader::new(&[0xff; 12]);
        assert_eq!(
            reader.count(8, "leaves").unwrap_err().to_string(),
            "at byte 4: 4294967295 leaves of 8 bytes or more cannot be in the 8 bytes left"
        );
        assert!(reader.afford(usize::MAX, 8, "leaves").is_err());
    }

    #[test]
    fn a_text_that_is_not_utf_8_is_refused_at_its_first_bad_byte() {
        let mut reader = Reader::new(&[3, 0, 0, 0, b'a', 0xff, b'b']);
        assert_eq!(
            reader.text("name").unwrap_err().to_string(),
            "at byte 5: name is not UTF-8"
        );
    }

    #[test]
    fn numbers_that_must_be_finite_are() {
        let mut reader = Reader::new(&[0, 0, 0, 0, 0, 0, 0xf0, 0x7f]);
        assert_eq!(
            reader.finite("weight").unwrap_err().to_string(),
            "at byte 0: weight is inf; it must be finite"
        );
        assert_eq!(reader.f64("weight"), Ok(f64::INFINITY));
    }
}
