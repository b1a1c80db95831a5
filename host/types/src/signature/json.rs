//! The JSON of what serde cannot derive: non-finite numbers, datatypes, tensors.

use serde::de::{self, Deserializer, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use crate::tensor::{Blobs, Datatype, Elements, Tensor};

/// A number, or one of the three texts for what JSON lacks.
#[derive(Clone, Copy)]
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            v if v.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            v => serializer.serialize_f64(v),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a number, \"NaN\", \"Infinity\" or \"-Infinity\"")
            }
            fn visit_f64<E>(self, v: f64) -> Result<Number, E> {
                Ok(Number(v))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Number, E> {
                Ok(Number(v as f64))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Number, E> {
                Ok(Number(v as f64))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Number, E> {
                match v {
                    "NaN" => Ok(Number(f64::NAN)),
                    "Infinity" => Ok(Number(f64::INFINITY)),
                    "-Infinity" => Ok(Number(f64::NEG_INFINITY)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(v), &self)),
                }
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

pub(super) mod number {
    use super::{Deserialize, Deserializer, Number, Serialize, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        value: &f64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Number(*value).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<f64, D::Error> {
        Ok(Number::deserialize(deserializer)?.0)
    }
}

pub(super) mod optional_number {
    use super::{Deserialize, Deserializer, Number, Serialize, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Number).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Number>::deserialize(deserializer)?.map(|number| number.0))
    }
}

pub(super) mod datatype {
    use super::{Datatype, Deserialize, Deserializer, Serializer, de};

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Datatype,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.as_str())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Datatype, D::Error> {
        let name = String::deserialize(deserializer)?;
        Datatype::parse(&name)
            .ok_or_else(|| de::Error::unknown_variant(&name, &["BOOL", "…", "FP64", "BYTES"]))
    }
}

/// A tensor's stored form. Half floats are their bit patterns, byte strings lists of bytes.
#[derive(Serialize, Deserialize)]
struct StoredTensor {
    #[serde(with = "datatype")]
    datatype: Datatype,
    shape: Vec<u32>,
    data: Data,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Data {
    Whole(Vec<i64>),
    Large(Vec<u64>),
    Real(Vec<Number>),
    Bytes(Vec<Vec<u8>>),
}

pub(super) mod tensors {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        tensors: &[Tensor],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(tensors.len()))?;
        for tensor in tensors {
            list.serialize_element(&store(tensor))?;
        }
        list.end()
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Tensor>, D::Error> {
        Vec::<StoredTensor>::deserialize(deserializer)?
            .into_iter()
            .map(|stored| restore(stored).map_err(de::Error::custom))
            .collect()
    }
}

fn store(tensor: &Tensor) -> StoredTensor {
    fn whole<T: Copy + Into<i64>>(values: &[T]) -> Data {
        Data::Whole(values.iter().map(|v| (*v).into()).collect())
    }
    let data = match tensor.elements() {
        Elements::Bool(v) | Elements::Uint8(v) => whole(v),
        Elements::Uint16(v) | Elements::Fp16(v) | Elements::Bf16(v) => whole(v),
        Elements::Uint32(v) => whole(v),
        Elements::Uint64(v) => Data::Large(v.clone()),
        Elements::Int8(v) => whole(v),
        Elements::Int16(v) => whole(v),
        Elements::Int32(v) => whole(v),
        Elements::Int64(v) => Data::Whole(v.clone()),
        Elements::Fp32(v) => Data::Real(v.iter().map(|v| Number(f64::from(*v))).collect()),
        Elements::Fp64(v) => Data::Real(v.iter().map(|v| Number(*v)).collect()),
        Elements::Bytes(v) => Data::Bytes(v.iter().map(<[u8]>::to_vec).collect()),
    };
    StoredTensor {
        datatype: tensor.datatype(),
        shape: tensor.shape().to_vec(),
        data,
    }
}

fn restore(stored: StoredTensor) -> Result<Tensor, String> {
    fn whole<T: TryFrom<i128>>(data: &Data) -> Result<Vec<T>, String> {
        let fits = |v: i128| T::try_from(v).map_err(|_| format!("{v} does not fit its datatype"));
        match data {
            Data::Whole(values) => values.iter().map(|v| fits(i128::from(*v))).collect(),
            Data::Large(values) => values.iter().map(|v| fits(i128::from(*v))).collect(),
            Data::Real(values) if values.is_empty() => Ok(Vec::new()),
            _ => Err("whole numbers expected".to_owned()),
        }
    }
    fn real(data: &Data) -> Result<Vec<f64>, String> {
        match data {
            Data::Whole(values) => Ok(values.iter().map(|v| *v as f64).collect()),
            Data::Large(values) => Ok(values.iter().map(|v| *v as f64).collect()),
            Data::Real(values) => Ok(values.iter().map(|v| v.0).collect()),
            Data::Bytes(_) => Err("numbers expected".to_owned()),
        }
    }
    let data = &stored.data;
    let elements = match stored.datatype {
        Datatype::Bool => Elements::Bool(whole(data)?),
        Datatype::Uint8 => Elements::Uint8(whole(data)?),
        Datatype::Uint16 => Elements::Uint16(whole(data)?),
        Datatype::Uint32 => Elements::Uint32(whole(data)?),
        Datatype::Uint64 => Elements::Uint64(whole(data)?),
        Datatype::Int8 => Elements::Int8(whole(data)?),
        Datatype::Int16 => Elements::Int16(whole(data)?),
        Datatype::Int32 => Elements::Int32(whole(data)?),
        Datatype::Int64 => Elements::Int64(whole(data)?),
        Datatype::Fp16 => Elements::Fp16(whole(data)?),
        Datatype::Bf16 => Elements::Bf16(whole(data)?),
        Datatype::Fp32 => Elements::Fp32(real(data)?.into_iter().map(|v| v as f32).collect()),
        Datatype::Fp64 => Elements::Fp64(real(data)?),
        Datatype::Bytes => {
            let mut blobs = Blobs::default();
            match data {
                Data::Bytes(strings) => {
                    if !strings.iter().all(|string| blobs.push(string)) {
                        return Err("byte strings of more than 4 GiB".to_owned());
                    }
                }
                Data::Whole(values) if values.is_empty() => {}
                _ => return Err("lists of bytes expected".to_owned()),
            }
            Elements::Bytes(blobs)
        }
    };
    Tensor::new(stored.shape, elements).map_err(|fault| fault.to_string())
}
