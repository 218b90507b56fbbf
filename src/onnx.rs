//! The messages of the ONNX format, by the field numbers of its `onnx.proto` (IR version 8 and what later ones added to
//! the same messages), so that a program reads and writes model files without an engine.
//!
//! What no model here can use is not read, and so not written again: training, distribution over devices, types of values
//! other than tensors, metadata of anything smaller than the model. Every message has a `Default`, decodes with
//! [`prost::Message::decode`] and compares by value.

use prost::{Enumeration, Message, Oneof};

/// A file: a graph, and what it is to be understood with.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    /// The version of the format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// The program that wrote the file.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// The version of that program.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// A name space for the model, as a reversed domain name.
    #[prost(string, tag = "4")]
    pub domain: String,
    /// The version of the model itself.
    #[prost(int64, tag = "5")]
    pub model_version: i64,
    /// What the model is, for people.
    #[prost(string, tag = "6")]
    pub doc_string: String,
    /// What is computed.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// The operator sets that nodes are understood by.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Named strings; the contract is one.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// Operators that the file itself defines.
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<FunctionProto>,
}

/// A set of operators in one version.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetIdProto {
    /// Whose set; empty for ONNX's own.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Its version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A named string.
#[derive(Clone, PartialEq, Message)]
pub struct StringStringEntryProto {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The string.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// An operator that a file defines by other operators.
#[derive(Clone, PartialEq, Message)]
pub struct FunctionProto {
    /// The operator's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Names of what it reads.
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    /// Names of what it makes.
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    /// Names of attributes that have to be given.
    #[prost(string, repeated, tag = "6")]
    pub attribute: Vec<String>,
    /// The operators that it stands for.
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<NodeProto>,
    /// What it is, for people.
    #[prost(string, tag = "8")]
    pub doc_string: String,
    /// The operator sets of its own nodes.
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// The domain of the operator.
    #[prost(string, tag = "10")]
    pub domain: String,
    /// Attributes with a default.
    #[prost(message, repeated, tag = "11")]
    pub attribute_proto: Vec<AttributeProto>,
    /// Types of its tensors.
    #[prost(message, repeated, tag = "12")]
    pub value_info: Vec<ValueInfoProto>,
    /// Which of several functions of one name.
    #[prost(string, tag = "13")]
    pub overload: String,
}

/// Nodes in an order in which they can be computed, with their constants.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    /// The nodes; each reads what is ahead of it.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// The graph's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Constants.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// What it computes, for people.
    #[prost(string, tag = "10")]
    pub doc_string: String,
    /// What has to be given.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// What is wanted.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// Types of tensors in between.
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfoProto>,
    /// How quantised tensors are to be understood.
    #[prost(message, repeated, tag = "14")]
    pub quantization_annotation: Vec<TensorAnnotation>,
    /// Constants of which most values are zero.
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensorProto>,
}

/// Names of the scale and the zero point of a quantised tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorAnnotation {
    /// The tensor.
    #[prost(string, tag = "1")]
    pub tensor_name: String,
    /// The name of each parameter's tensor.
    #[prost(message, repeated, tag = "2")]
    pub quant_parameter_tensor_names: Vec<StringStringEntryProto>,
}

/// An operator applied to tensors.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    /// Names of the tensors that it reads; empty for one that is left out.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of the tensors that it makes.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// The node's own name, for messages.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Its attributes.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// What it is there for, for people.
    #[prost(string, tag = "6")]
    pub doc_string: String,
    /// Whose operator; empty for ONNX's own.
    #[prost(string, tag = "7")]
    pub domain: String,
    /// Which of several functions of one name.
    #[prost(string, tag = "8")]
    pub overload: String,
}

/// A named constant of a node. [`type`](Self::type) says which of the fields holds it.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    /// The attribute's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// [`AttributeType::Float`].
    #[prost(float, tag = "2")]
    pub f: f32,
    /// [`AttributeType::Int`].
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// [`AttributeType::String`].
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    /// [`AttributeType::Tensor`].
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    /// [`AttributeType::Graph`].
    #[prost(message, optional, tag = "6")]
    pub g: Option<GraphProto>,
    /// [`AttributeType::Floats`].
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    /// [`AttributeType::Ints`].
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// [`AttributeType::Strings`].
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    /// [`AttributeType::Tensors`].
    #[prost(message, repeated, tag = "10")]
    pub tensors: Vec<TensorProto>,
    /// [`AttributeType::Graphs`].
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<GraphProto>,
    /// What it is, for people.
    #[prost(string, tag = "13")]
    pub doc_string: String,
    /// Which kind of attribute it is.
    #[prost(enumeration = "AttributeType", tag = "20")]
    pub r#type: i32,
    /// In a function: the function's attribute that is meant.
    #[prost(string, tag = "21")]
    pub ref_attr_name: String,
    /// [`AttributeType::SparseTensor`].
    #[prost(message, optional, tag = "22")]
    pub sparse_tensor: Option<SparseTensorProto>,
    /// [`AttributeType::SparseTensors`].
    #[prost(message, repeated, tag = "23")]
    pub sparse_tensors: Vec<SparseTensorProto>,
}

/// The kinds of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
#[expect(missing_docs, reason = "each is what it is called")]
pub enum AttributeType {
    Undefined = 0,
    Float = 1,
    Int = 2,
    String = 3,
    Tensor = 4,
    Graph = 5,
    Floats = 6,
    Ints = 7,
    Strings = 8,
    Tensors = 9,
    Graphs = 10,
    SparseTensor = 11,
    SparseTensors = 12,
    TypeProto = 13,
    TypeProtos = 14,
}

/// A tensor's values, row-major: in the field of their type, or little-endian in [`raw_data`](Self::raw_data).
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// The size along each axis.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// A [`DataType`], as a number.
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Which part of a larger tensor these values are.
    #[prost(message, optional, tag = "3")]
    pub segment: Option<Segment>,
    /// Values of `f32` and of complex numbers of two.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Values of whole numbers of 32 bits and fewer, and bits of small floating-point numbers.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Strings.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub string_data: Vec<Vec<u8>>,
    /// Values of `i64`.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// The tensor's name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// The bytes of all values.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    /// Values of `f64` and of complex numbers of two.
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// Values of `u32` and `u64`.
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    /// What it is, for people.
    #[prost(string, tag = "12")]
    pub doc_string: String,
    /// Where another file has the values.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// Whether they are there or here.
    #[prost(enumeration = "DataLocation", tag = "14")]
    pub data_location: i32,
}

/// From where to where a part of a tensor reaches.
#[derive(Clone, PartialEq, Message)]
pub struct Segment {
    /// The first value.
    #[prost(int64, tag = "1")]
    pub begin: i64,
    /// The one behind the last.
    #[prost(int64, tag = "2")]
    pub end: i64,
}

/// A tensor of which most values are zero.
#[derive(Clone, PartialEq, Message)]
pub struct SparseTensorProto {
    /// The others, one after the other, and the tensor's name.
    #[prost(message, optional, tag = "1")]
    pub values: Option<TensorProto>,
    /// Where each is.
    #[prost(message, optional, tag = "2")]
    pub indices: Option<TensorProto>,
    /// The size along each axis.
    #[prost(int64, repeated, tag = "3")]
    pub dims: Vec<i64>,
}

/// The types of a tensor's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
#[expect(missing_docs, reason = "each is what it is called")]
pub enum DataType {
    Undefined = 0,
    Float = 1,
    Uint8 = 2,
    Int8 = 3,
    Uint16 = 4,
    Int16 = 5,
    Int32 = 6,
    Int64 = 7,
    String = 8,
    Bool = 9,
    Float16 = 10,
    Double = 11,
    Uint32 = 12,
    Uint64 = 13,
    Complex64 = 14,
    Complex128 = 15,
    Bfloat16 = 16,
    Float8e4m3fn = 17,
    Float8e4m3fnuz = 18,
    Float8e5m2 = 19,
    Float8e5m2fnuz = 20,
    Uint4 = 21,
    Int4 = 22,
    Float4e2m1 = 23,
    Float8e8m0 = 24,
    Uint2 = 25,
    Int2 = 26,
}

/// Where a tensor's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum DataLocation {
    /// In the tensor.
    Default = 0,
    /// In another file.
    External = 1,
}

/// A name with a type.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    /// The tensor's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
    /// What it is, for people.
    #[prost(string, tag = "3")]
    pub doc_string: String,
}

/// A type of values.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    /// The type, if it is that of tensors.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
    /// What values of the type mean, by ONNX's words for it.
    #[prost(string, tag = "6")]
    pub denotation: String,
}

/// A type of tensors.
#[derive(Clone, PartialEq, Message)]
pub struct TensorTypeProto {
    /// The [`DataType`] of their values, as a number.
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// Their shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A shape that may leave sizes open.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    /// The size along each axis.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// The size along an axis.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    /// The size, if it is known.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
    /// What the axis means, by ONNX's words for it.
    #[prost(string, tag = "3")]
    pub denotation: String,
}

/// A size, or the name of one.
#[derive(Clone, PartialEq, Oneof)]
pub enum DimensionValue {
    /// The size.
    #[prost(int64, tag = "1")]
    DimValue(i64),
    /// A name that stands for the same size everywhere.
    #[prost(string, tag = "2")]
    DimParam(String),
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Files that this program wrote lose nothing on the way through these types.
    #[test]
    fn shipped_models_are_written_again_as_they_are() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let mut compared = 0;
        for entry in std::fs::read_dir(models).expect("a folder").flatten() {
            // Trunks are written by the trainer, which packs fewer fields.
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".onnx") && !name.ends_with(".trunk.onnx") {
                let bytes = std::fs::read(entry.path()).expect("a file");
                let proto = ModelProto::decode(bytes.as_slice()).expect("a model");
                assert!(proto.encode_to_vec() == bytes, "{name} changes");
                compared += 1;
            }
        }
        assert!(compared > 5, "{compared} files");
    }
}
