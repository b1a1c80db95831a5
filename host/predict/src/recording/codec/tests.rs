use proptest::prelude::*;

use super::*;

/// A tensor whose elements are these bits, as many as there are.
fn tensor(datatype: Datatype, axes: &[u32], words: &[u64]) -> Tensor {
    let count = axes.iter().product::<u32>() as usize;
    let words = || words.iter().cycle().take(count).copied();
    macro_rules! of {
        ($variant:ident, $from:expr) => {
            Elements::$variant(words().map($from).collect())
        };
    }
    let elements = match datatype {
        Datatype::Bool => of!(Bool, |word| word as u8 & 1),
        Datatype::Uint8 => of!(Uint8, |word| word as u8),
        Datatype::Uint16 => of!(Uint16, |word| word as u16),
        Datatype::Uint32 => of!(Uint32, |word| word as u32),
        Datatype::Uint64 => of!(Uint64, |word| word),
        Datatype::Int8 => of!(Int8, |word| word as i8),
        Datatype::Int16 => of!(Int16, |word| word as i16),
        Datatype::Int32 => of!(Int32, |word| word as i32),
        Datatype::Int64 => of!(Int64, |word| word as i64),
        Datatype::Fp16 => of!(Fp16, |word| word as u16),
        Datatype::Bf16 => of!(Bf16, |word| word as u16),
        Datatype::Fp32 => of!(Fp32, |word| f32::from_bits(word as u32)),
        Datatype::Fp64 => of!(Fp64, f64::from_bits),
        Datatype::Bytes => {
            let mut blobs = Blobs::default();
            for word in words() {
                let length = word as usize % 12;
                assert!(blobs.push(&word.to_be_bytes().repeat(2)[..length]));
            }
            Elements::Bytes(blobs)
        }
    };
    Tensor::new(axes.to_vec(), elements).unwrap()
}

/// All that can be told apart of a tensor, by other means than the codec's.
fn bits(tensor: &Tensor) -> (Datatype, Vec<u32>, Vec<Vec<u8>>) {
    fn all<T>(values: &[T], bits: impl Fn(&T) -> u64) -> Vec<Vec<u8>> {
        let words = values
            .iter()
            .map(|value| bits(value).to_be_bytes().to_vec());
        words.collect()
    }
    let words = match tensor.elements() {
        Elements::Bool(values) | Elements::Uint8(values) => all(values, |v| u64::from(*v)),
        Elements::Uint16(values) | Elements::Fp16(values) | Elements::Bf16(values) => {
            all(values, |v| u64::from(*v))
        }
        Elements::Uint32(values) => all(values, |v| u64::from(*v)),
        Elements::Uint64(values) => all(values, |v| *v),
        Elements::Int8(values) => all(values, |v| i64::from(*v) as u64),
        Elements::Int16(values) => all(values, |v| i64::from(*v) as u64),
        Elements::Int32(values) => all(values, |v| i64::from(*v) as u64),
        Elements::Int64(values) => all(values, |v| *v as u64),
        Elements::Fp32(values) => all(values, |v| u64::from(v.to_bits())),
        Elements::Fp64(values) => all(values, |v| v.to_bits()),
        Elements::Bytes(blobs) => blobs.iter().map(<[u8]>::to_vec).collect(),
    };
    (tensor.datatype(), tensor.shape().to_vec(), words)
}

fn named(tensors: &[NamedTensor]) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
    tensors
        .iter()
        .map(|named| (named.name.as_str(), &named.tensor))
}

fn bytes_of(content: &Content) -> Vec<u8> {
    let mut out = begin(0);
    write(&mut out, named(&content.inputs));
    write(&mut out, named(&content.outputs));
    out
}

fn any_word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        // What arithmetic would not keep: signalling and quiet NaN with a payload, of either sign, and zeros.
        prop::sample::select(vec![
            0x7FF0_0000_0000_0001,
            0xFFF8_0000_DEAD_BEEF,
            0x7FC1_2345_7F80_0001,
            0x8000_0000_8000_0000,
            0,
            u64::MAX,
        ]),
    ]
}

prop_compose! {
    fn any_named()(
        name in "[a-zé ]{0,12}",
        datatype in prop::sample::select(&Datatype::ALL[..]),
        axes in prop::collection::vec(0..4_u32, 0..=4),
        words in prop::collection::vec(any_word(), 1..20),
    ) -> NamedTensor {
        NamedTensor { name, tensor: tensor(datatype, &axes, &words) }
    }
}

prop_compose! {
    fn any_content()(
        inputs in prop::collection::vec(any_named(), 0..4),
        outputs in prop::collection::vec(any_named(), 0..4),
    ) -> Content {
        Content { inputs, outputs }
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_bit_for_bit(content in any_content()) {
        let written = bytes_of(&content);
        let found = read(&written).unwrap();
        for (was, is) in [(&content.inputs, &found.inputs), (&content.outputs, &found.outputs)] {
            prop_assert_eq!(was.len(), is.len());
            for (was, is) in was.iter().zip(is) {
                prop_assert_eq!(&was.name, &is.name);
                prop_assert_eq!(bits(&was.tensor), bits(&is.tensor));
            }
        }
        prop_assert_eq!(bytes_of(&found), written, "equal values have equal bytes");
    }

    #[test]
    fn bytes_that_were_cut_or_changed_are_no_panic(
        content in any_content(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let written = bytes_of(&content);
        let at = at.index(written.len());
        prop_assert!(read(&written[..at]).is_none(), "cut");
        let mut longer = written.clone();
        longer.push(byte);
        prop_assert!(read(&longer).is_none(), "something behind it");
        let mut changed = written;
        changed[at] = byte;
        let _ = read(&changed);
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = read(&[&[FORM][..], &bytes].concat());
    }

    #[test]
    fn only_the_same_bits_are_the_same(named in any_named(), flip in any::<bool>()) {
        let mut other = named.tensor.clone();
        if flip && let (shape, Elements::Fp64(values)) = named.tensor.clone().into_parts() && !values.is_empty() {
            let values = values.iter().map(|value| f64::from_bits(value.to_bits() ^ 1)).collect();
            other = Tensor::new(shape, Elements::Fp64(values)).unwrap();
        }
        let expected = bits(&named.tensor) == bits(&other);
        prop_assert_eq!(same(std::slice::from_ref(&named), &[other]), expected);
    }
}

#[test]
fn a_promise_of_more_than_there_is_makes_nothing() {
    // A million million tensors; a name of all memory; a tensor of 2^28 elements.
    let [many, long] = [1_u64 << 40, u64::MAX].map(u64::to_le_bytes);
    let one = 1_u64.to_le_bytes();
    let none = 0_u64.to_le_bytes();
    let huge = [12, 1].into_iter().chain((1_u32 << 28).to_le_bytes());
    for tail in [
        many.to_vec(),
        [one, long].concat(),
        [one, none].concat().into_iter().chain(huge).collect(),
        // Nine axes, and a datatype that there is not.
        [one, none].concat().into_iter().chain([12, 9]).collect(),
        [one, none].concat().into_iter().chain([14, 0]).collect(),
    ] {
        let bytes = [vec![FORM], tail].concat();
        assert_eq!(read(&bytes), None, "{bytes:?}");
    }
    assert_eq!(read(&[]), None);
    assert_eq!(read(&[FORM + 1; 17]), None);
}

#[test]
fn the_form_is_the_one_that_is_stored() {
    let mut blobs = Blobs::default();
    assert!(blobs.push(b"ab") && blobs.push(b""));
    let content = Content {
        inputs: vec![NamedTensor {
            name: "x".into(),
            tensor: Tensor::new(vec![1, 2], Elements::Int16(vec![1, -2])).unwrap(),
        }],
        outputs: vec![NamedTensor {
            name: String::new(),
            tensor: Tensor::new(vec![2], Elements::Bytes(blobs)).unwrap(),
        }],
    };
    let (none, one) = ([0_u8; 8], 1_u64.to_le_bytes());
    let input = [b'x', 6, 2, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0xFE, 0xFF];
    let output = [13, 1, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, b'a', b'b'];
    let expected = [&[FORM][..], &one, &one, &input, &one, &none, &output].concat();
    assert_eq!(bytes_of(&content), expected);
    assert_eq!(read(&expected), Some(content));
}
