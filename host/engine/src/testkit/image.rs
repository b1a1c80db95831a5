//! A signature as the canonical ABI lays it out in a guest's memory.

use foretell_types::signature::{Column, Domain, Example, Input, Output, Role, Signature};
use foretell_types::tensor::{Elements, Tensor};

/// Bytes of a memory, from `base` on.
pub(super) struct Image {
    base: u32,
    bytes: Vec<u8>,
}

impl Image {
    pub(super) const fn new(base: u32) -> Self {
        Self {
            base,
            bytes: Vec::new(),
        }
    }

    /// The bytes as text of a WAT data segment.
    pub(super) fn escaped(&self) -> String {
        self.bytes
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect()
    }

    /// The first free address, aligned to 16.
    pub(super) fn end(&self) -> u32 {
        (self.base + self.bytes.len() as u32).next_multiple_of(16)
    }

    /// Lays the signature out; gives its address.
    pub(super) fn signature(&mut self, signature: &Signature) -> u32 {
        let mut record = Record::default();
        record.text(self, &signature.doc);
        record.list(self, &signature.inputs, 4, Self::input);
        record.list(self, &signature.outputs, 4, Self::output);
        record.list(self, &signature.examples, 8, Self::example);
        let promises = signature.promises;
        record.byte(u8::from(promises.deterministic) | u8::from(promises.independent_rows) << 1);
        let bytes = record.finish(4);
        self.place(&bytes, 4)
    }

    fn place(&mut self, bytes: &[u8], align: u32) -> u32 {
        let at = (self.base + self.bytes.len() as u32).next_multiple_of(align);
        self.bytes.resize((at - self.base) as usize, 0);
        self.bytes.extend_from_slice(bytes);
        at
    }

    fn input(&mut self, input: &Input) -> Vec<u8> {
        let mut record = Record::default();
        record.text(self, &input.name);
        record.text(self, &input.doc);
        record.byte(input.datatype as u8);
        record.numbers(self, &input.shape, |axis| axis.to_le_bytes());
        record.list(self, &input.columns, 8, Self::column);
        record.finish(4)
    }

    fn column(&mut self, column: &Column) -> Vec<u8> {
        let mut record = Record::default();
        record.text(self, &column.name);
        record.text(self, &column.doc);
        record.align(8);
        let (case, payload) = match &column.domain {
            Domain::Real(bounds) => (
                0,
                [bounds.min.to_le_bytes(), bounds.max.to_le_bytes()].concat(),
            ),
            Domain::Integer(bounds) => (
                1,
                [bounds.min.to_le_bytes(), bounds.max.to_le_bytes()].concat(),
            ),
            Domain::Truth => (2, Vec::new()),
            Domain::Category(vocabulary) => {
                let mut payload = Record::default();
                payload.list(self, &vocabulary.values, 4, |image, text| {
                    let mut record = Record::default();
                    record.text(image, text);
                    record.finish(4)
                });
                payload.option(vocabulary.unseen);
                (3, payload.finish(8))
            }
        };
        record.byte(case);
        record.align(8);
        record.0.extend_from_slice(&payload);
        record.0.resize(48, 0);
        record.option(column.absent);
        record.finish(8)
    }

    fn output(&mut self, output: &Output) -> Vec<u8> {
        let mut record = Record::default();
        record.text(self, &output.name);
        record.text(self, &output.doc);
        record.byte(output.datatype as u8);
        record.numbers(self, &output.shape, |axis| axis.to_le_bytes());
        record.byte(match output.role {
            Role::Prediction => 0,
            Role::Label => 1,
            Role::Confidence => 2,
            Role::Other => 3,
        });
        record.list(self, &output.classes, 4, |image, text| {
            let mut record = Record::default();
            record.text(image, text);
            record.finish(4)
        });
        record.finish(4)
    }

    fn example(&mut self, example: &Example) -> Vec<u8> {
        let mut record = Record::default();
        record.text(self, &example.name);
        record.list(self, &example.inputs, 4, Self::tensor);
        record.list(self, &example.outputs, 4, Self::tensor);
        record.align(8);
        record.0.extend_from_slice(&example.tolerance.to_le_bytes());
        record.finish(8)
    }

    fn tensor(&mut self, tensor: &Tensor) -> Vec<u8> {
        let mut record = Record::default();
        record.numbers(self, tensor.shape(), |axis| axis.to_le_bytes());
        record.byte(tensor.datatype() as u8);
        match tensor.elements() {
            Elements::Bool(v) | Elements::Uint8(v) => record.numbers(self, v, |v| [v]),
            Elements::Uint16(v) | Elements::Fp16(v) | Elements::Bf16(v) => {
                record.numbers(self, v, u16::to_le_bytes)
            }
            Elements::Uint32(v) => record.numbers(self, v, u32::to_le_bytes),
            Elements::Uint64(v) => record.numbers(self, v, u64::to_le_bytes),
            Elements::Int8(v) => record.numbers(self, v, i8::to_le_bytes),
            Elements::Int16(v) => record.numbers(self, v, i16::to_le_bytes),
            Elements::Int32(v) => record.numbers(self, v, i32::to_le_bytes),
            Elements::Int64(v) => record.numbers(self, v, i64::to_le_bytes),
            Elements::Fp32(v) => record.numbers(self, v, f32::to_le_bytes),
            Elements::Fp64(v) => record.numbers(self, v, f64::to_le_bytes),
            Elements::Bytes(v) => {
                record.numbers(self, &v.joined, |v| [v]);
                record.numbers(self, &v.ends, u32::to_le_bytes);
            }
        }
        // The longest case, byte strings, is two lists.
        record.0.resize(28, 0);
        record.finish(4)
    }
}

/// A record that is being laid out: fields in order, each aligned to itself.
#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn align(&mut self, align: usize) {
        self.0.resize(self.0.len().next_multiple_of(align), 0);
    }

    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn pair(&mut self, pointer: u32, length: usize) {
        self.align(4);
        self.0.extend_from_slice(&pointer.to_le_bytes());
        self.0.extend_from_slice(&(length as u32).to_le_bytes());
    }

    fn text(&mut self, image: &mut Image, text: &str) {
        let at = image.place(text.as_bytes(), 1);
        self.pair(at, text.len());
    }

    fn numbers<T: Copy, const N: usize>(
        &mut self,
        image: &mut Image,
        values: &[T],
        bytes: impl Fn(T) -> [u8; N],
    ) {
        let laid: Vec<u8> = values.iter().flat_map(|value| bytes(*value)).collect();
        let at = image.place(&laid, N as u32);
        self.pair(at, values.len());
    }

    fn list<T>(
        &mut self,
        image: &mut Image,
        items: &[T],
        align: u32,
        lay: impl Fn(&mut Image, &T) -> Vec<u8>,
    ) {
        let laid: Vec<u8> = items.iter().flat_map(|item| lay(image, item)).collect();
        let at = image.place(&laid, align);
        self.pair(at, items.len());
    }

    fn option(&mut self, value: Option<f64>) {
        self.align(8);
        self.byte(u8::from(value.is_some()));
        self.align(8);
        self.0
            .extend_from_slice(&value.unwrap_or_default().to_le_bytes());
    }

    fn finish(mut self, align: usize) -> Vec<u8> {
        self.align(align);
        self.0
    }
}
