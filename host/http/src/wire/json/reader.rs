//! A reader of JSON that is asked for what should come next.
//!
//! Exactly RFC 8259, in UTF-8 without byte order mark, and stricter where two readers could understand different things:
//! duplicate keys are refused, and so is what is nested deeper than [`MAX_DEPTH`] or has more than [`MAX_KEYS`] keys.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

use foretell_predict::PredictError;
use foretell_types::{ErrorKind, Mismatch};

use crate::text::shown;

/// Arrays and objects within each other, at most.
pub(crate) const MAX_DEPTH: usize = 64;

/// Keys of an object, at most: far more than any model has features, and few enough to be looked at in milliseconds.
const MAX_KEYS: usize = 1 << 16;

/// Keys of an object that are compared one by one; beyond it they are hashed.
const FEW_KEYS: usize = 16;

/// Why a body is not what it should be.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault {
    /// `Malformed`, or a kind of [`Mismatch`].
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

impl Fault {
    /// What is wrong with a body as a whole, at no place of it.
    pub(crate) fn invalid(problem: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::InvalidInput,
            message: problem.into(),
        }
    }
}

impl From<Fault> for PredictError {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            ErrorKind::Malformed => Self::Malformed(fault.message),
            kind => Self::Mismatch(Mismatch::new(kind, fault.message)),
        }
    }
}

/// A step on the way to where the reader is.
enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

/// A position to which a reader can return.
#[derive(Clone, Copy)]
pub(crate) struct Mark(usize);

/// A number as it stands in the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Number<'a> {
    pub(crate) text: &'a str,
    /// Whether it has neither fraction nor exponent.
    pub(crate) whole: bool,
}

/// Reads one JSON text from front to back.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    steps: Vec<Step<'a>>,
}

impl<'a> Reader<'a> {
    /// A reader at the begin of a body.
    ///
    /// # Errors
    /// `Malformed` for what is not UTF-8, begins with a byte order mark, or is empty.
    pub(crate) fn new(body: &'a [u8]) -> Result<Self, Fault> {
        let malformed = |message: &str| Fault {
            kind: ErrorKind::Malformed,
            message: message.to_owned(),
        };
        let text = std::str::from_utf8(body)
            .map_err(|_| malformed("the body is not UTF-8; send JSON in UTF-8"))?;
        if text.starts_with('\u{feff}') {
            return Err(malformed(
                "the body begins with a byte order mark; send JSON in UTF-8 without it",
            ));
        }
        let mut reader = Self {
            text,
            at: 0,
            steps: Vec::new(),
        };
        match reader.peek() {
            Some(_) => Ok(reader),
            None => Err(malformed("the body is empty; send JSON")),
        }
    }

    /// Refuses what stands after the value.
    pub(crate) fn finish(mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.malformed("more follows the end of the JSON")),
        }
    }

    /// The first byte of what comes next; `None` at the end.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.at = self.past_blanks(self.at);
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn past_blanks(&self, mut at: usize) -> usize {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(at) {
            at += 1;
        }
        at
    }

    /// Bytes that are still to come: bounds what a stated size may reserve.
    pub(crate) fn remaining(&self) -> usize {
        self.text.len() - self.at
    }

    /// Where the reader is.
    pub(crate) fn mark(&mut self) -> Mark {
        self.peek();
        Mark(self.at)
    }

    /// Reads once more from `mark`, and returns to where the reader is. `step` names the place in faults.
    pub(crate) fn again<T>(
        &mut self,
        mark: Mark,
        step: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let back = std::mem::replace(&mut self.at, mark.0);
        self.steps.push(Step::Key(Cow::Borrowed(step)));
        let value = read(self)?;
        self.steps.pop();
        self.at = back;
        Ok(value)
    }

    /// The first key of the object that is the first item of a list, if that is what comes next. Nothing is read.
    pub(crate) fn first_key_of_first_item(&mut self) -> Option<Cow<'a, str>> {
        let back = self.at;
        let is_object = self.take(b'[') && self.take(b'{');
        let key = if is_object { self.string().ok() } else { None };
        self.at = back;
        key
    }

    /// Reads an object: `each` gets every key and must read its value.
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &Cow<'a, str>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.open(b'{', "an object")?;
        let mut seen = Keys::default();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            if seen.len() >= MAX_KEYS {
                return Err(self.malformed(&format!("an object has more than {MAX_KEYS} keys")));
            }
            if !seen.add(key.clone()) {
                return Err(self.malformed(&format!("the key `{}` stands twice", shown(&key))));
            }
            self.expect(b':', "`:` after a key")?;
            self.steps.push(Step::Key(key.clone()));
            each(self, &key)?;
            self.steps.pop();
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',', "`,` or `}` in an object")?;
        }
    }

    /// Reads an array: `each` must read one item. Returns how many there were.
    pub(crate) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        self.runs(|reader, index| each(reader, index).map(|()| 1))
    }

    /// Reads an array: `each` must read one item, or several with what stands between them, and say how many. Returns how
    /// many there were.
    pub(crate) fn runs(
        &mut self,
        mut each: impl FnMut(&mut Self, usize) -> Result<usize, Fault>,
    ) -> Result<usize, Fault> {
        self.open(b'[', "a list")?;
        if self.take(b']') {
            return Ok(0);
        }
        let mut index = 0;
        self.steps.push(Step::Index(0));
        loop {
            index += each(self, index)?;
            if self.take(b']') {
                break;
            }
            self.expect(b',', "`,` or `]` in a list")?;
            if let Some(step) = self.steps.last_mut() {
                *step = Step::Index(index);
            }
        }
        self.steps.pop();
        Ok(index)
    }

    /// Reads items of an array, at most `most`, for as long as `quick` can: it is given what follows and returns the bytes
    /// of the item at its begin. Returns how many were read; where it ends, the next item is for others to read.
    pub(crate) fn run(
        &mut self,
        most: usize,
        mut quick: impl FnMut(&'a [u8]) -> Option<usize>,
    ) -> usize {
        let mut read = 0;
        // The comma before an item is passed over only together with it.
        let mut at = self.at;
        loop {
            at = self.past_blanks(at);
            let rest = self.text.as_bytes().get(at..).unwrap_or_default();
            let Some(len) = quick(rest) else {
                return read;
            };
            read += 1;
            self.at = self.past_blanks(at + len);
            if read == most || self.text.as_bytes().get(self.at) != Some(&b',') {
                return read;
            }
            at = self.at + 1;
        }
    }

    fn open(&mut self, bracket: u8, what: &str) -> Result<(), Fault> {
        if !self.take(bracket) {
            return Err(self.unexpected(what));
        }
        if self.steps.len() >= MAX_DEPTH {
            return Err(self.malformed(&format!(
                "lists and objects are nested deeper than {MAX_DEPTH}"
            )));
        }
        Ok(())
    }

    /// Reads a text.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        if !self.take(b'"') {
            return Err(self.unexpected("a text"));
        }
        let from = self.at;
        let plain = self.plain_end()?;
        if self.text.as_bytes().get(plain) == Some(&b'"') {
            self.at = plain + 1;
            return Ok(Cow::Borrowed(&self.text[from..plain]));
        }
        let mut text = String::with_capacity(2 * (plain - from) + 16);
        loop {
            let from = self.at;
            let plain = self.plain_end()?;
            text.push_str(&self.text[from..plain]);
            self.at = plain + 1;
            // `plain_end` stops at a quote or a backslash.
            if self.text.as_bytes().get(plain) == Some(&b'"') {
                return Ok(Cow::Owned(text));
            }
            text.push(self.escape()?);
        }
    }

    /// Where the run of plain characters from here ends: at a quote or a backslash.
    fn plain_end(&mut self) -> Result<usize, Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        let run = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
        match run.map(|run| (self.at + run, rest.get(run))) {
            Some((end, Some(b'"' | b'\\'))) => Ok(end),
            Some((end, _)) => {
                self.at = end;
                Err(self.malformed("a control character stands in a text; write it as \\u00XX"))
            }
            None => {
                self.at = self.text.len();
                Err(self.malformed("a text has no end"))
            }
        }
    }

    /// The character of an escape, after its backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let byte = self.text.as_bytes().get(self.at).copied();
        self.at += 1;
        let character = match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => {
                self.at -= 1;
                return Err(self.malformed("a text has an unknown escape"));
            }
        };
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let first = self.four_digits()?;
        let code = match first {
            0xd800..=0xdbff if self.text[self.at..].starts_with("\\u") => {
                self.at += 2;
                let second = self.four_digits()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.malformed("half of a surrogate pair stands alone in a text"));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            code => code,
        };
        char::from_u32(code)
            .ok_or_else(|| self.malformed("half of a surrogate pair stands alone in a text"))
    }

    fn four_digits(&mut self) -> Result<u32, Fault> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let code = digits.and_then(|digits| {
            digits.iter().try_fold(0, |code, digit| {
                Some(code << 4 | char::from(*digit).to_digit(16)?)
            })
        });
        match code {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => Err(self.malformed("\\u wants four hexadecimal digits")),
        }
    }

    /// Reads a number, without its value.
    pub(crate) fn number(&mut self) -> Result<Number<'a>, Fault> {
        self.peek();
        let bytes = &self.text.as_bytes()[self.at..];
        let digits = |from: usize| {
            from + bytes.get(from..).map_or(0, |rest| {
                rest.iter().take_while(|b| b.is_ascii_digit()).count()
            })
        };
        let minus = usize::from(bytes.first() == Some(&b'-'));
        let mut end = digits(minus);
        let leading_zero = bytes.get(minus) == Some(&b'0') && end > minus + 1;
        let mut good = end > minus && !leading_zero;
        let mut whole = true;
        if bytes.get(end) == Some(&b'.') {
            whole = false;
            let fraction = digits(end + 1);
            good &= fraction > end + 1;
            end = fraction;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            whole = false;
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            good &= exponent > end + 1 + sign;
            end = exponent;
        }
        if !good {
            return Err(self.unexpected("a number"));
        }
        let text = &self.text[self.at..self.at + end];
        self.at += end;
        Ok(Number { text, whole })
    }

    /// Reads `true` or `false`.
    pub(crate) fn truth(&mut self) -> Result<bool, Fault> {
        if self.word("true") {
            Ok(true)
        } else if self.word("false") {
            Ok(false)
        } else {
            Err(self.unexpected("true or false"))
        }
    }

    /// Reads `null`.
    pub(crate) fn null(&mut self) -> Result<(), Fault> {
        if self.word("null") {
            Ok(())
        } else {
            Err(self.unexpected("null"))
        }
    }

    fn word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Reads any value and forgets it.
    pub(crate) fn skip(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'{') => self.object(|reader, _| reader.skip()),
            Some(b'[') => self.array(|reader, _| reader.skip()).map(drop),
            Some(b'"') => self.string().map(drop),
            Some(b't' | b'f') => self.truth().map(drop),
            Some(b'n') => self.null(),
            Some(_) => self.number().map(drop),
            None => Err(self.unexpected("a value")),
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), Fault> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.unexpected(what))
        }
    }

    /// Something else stands where a syntax rule wants something.
    pub(crate) fn unexpected(&mut self, wanted: &str) -> Fault {
        let found = self.found();
        self.malformed(&format!("{found} stands where {wanted} should"))
    }

    /// Something stands where, say, `INT8 wants a whole number`: `InvalidInput` if it is a value of another kind.
    pub(crate) fn another_kind(&mut self, wanted: &str) -> Fault {
        let problem = format!("{} stands where {wanted}", self.found());
        let rest = &self.text[self.at..];
        if ["\"", "[", "{", "true", "false", "null"]
            .iter()
            .any(|begin| rest.starts_with(begin))
        {
            self.invalid(&problem)
        } else {
            self.malformed(&problem)
        }
    }

    /// What stands here, for messages.
    fn found(&mut self) -> String {
        match self.peek() {
            None => "the end of the body".to_owned(),
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "a list".to_owned(),
            Some(b'"') => "a text".to_owned(),
            Some(_) => {
                let word: String = self.text[self.at..]
                    .chars()
                    .take_while(|c| {
                        !matches!(c, ',' | ']' | '}' | '{' | '[' | '"') && !c.is_whitespace()
                    })
                    .take(24)
                    .collect();
                let character: String = self.text[self.at..].chars().take(1).collect();
                format!(
                    "`{}`",
                    shown(if word.is_empty() { &character } else { &word })
                )
            }
        }
    }

    /// A fault of syntax or form at this place.
    pub(crate) fn malformed(&self, problem: &str) -> Fault {
        self.fault(ErrorKind::Malformed, problem)
    }

    /// A value that cannot be an input, at this place.
    pub(crate) fn invalid(&self, problem: &str) -> Fault {
        self.fault(ErrorKind::InvalidInput, problem)
    }

    /// Refuses more rows than a version takes, before anything is made of them.
    pub(crate) fn at_most(&self, max_rows: u32, rows: usize) -> Result<(), Fault> {
        if rows <= max_rows as usize {
            return Ok(());
        }
        Err(self.invalid(&format!(
            "more than {max_rows} rows are given, this version takes at most {max_rows} in one request; send fewer"
        )))
    }

    fn fault(&self, kind: ErrorKind, problem: &str) -> Fault {
        let mut message = String::from("at ");
        for step in &self.steps {
            // Writing to a string cannot fail.
            let _written = match step {
                Step::Key(key) => write!(
                    message,
                    "/{}",
                    shown(&key.replace('~', "~0").replace('/', "~1"))
                ),
                Step::Index(index) => write!(message, "/{index}"),
            };
            if message.len() > 400 {
                message.push_str("/…");
                break;
            }
        }
        if self.steps.is_empty() {
            message.push_str("the top");
        }
        let _written = write!(message, " (byte {}): {problem}", self.at);
        Fault { kind, message }
    }
}

/// The keys of one object.
#[derive(Default)]
struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }

    /// `false` if the key is there already.
    fn add(&mut self, key: Cow<'a, str>) -> bool {
        if self.many.is_empty() && self.few.len() < FEW_KEYS {
            let new = !self.few.contains(&key);
            self.few.push(key);
            return new;
        }
        self.many.extend(self.few.drain(..));
        self.many.insert(key)
    }
}

#[cfg(test)]
mod tests;
