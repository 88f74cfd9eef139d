//! The parse tree in one uniform shape.
//!
//! libpg_query's tree has some 270 kinds of node. A walk written kind by kind would sooner or later miss
//! one, and what it misses escapes the policy. Its types can be serialised, and serialising visits every
//! field of every node; so the tree is taken through a serialiser that builds [`Tree`] instead of text.
//! Empty fields are left out.

use serde::ser::{self, Serialize};
use std::fmt;

/// Deeper trees are refused. An operator is three levels here; libpg_query hands out up to some 20,000.
const MAX_DEPTH: usize = 8_000;

/// A value in the parse tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    /// An absent field.
    Nothing,
    /// A flag.
    Flag(bool),
    /// A number or an enumeration.
    Number(i64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// A node with its kind and its fields that are not empty.
    Node(&'static str, Vec<(&'static str, Tree)>),
}

impl Tree {
    /// The tree of a typed node.
    ///
    /// # Errors
    /// When it is nested too deeply.
    pub(crate) fn of<T: Serialize>(typed: &T) -> Result<Tree, Unbuildable> {
        typed.serialize(Builder { depth: 0 })
    }

    /// The kind of node; empty for other values.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Tree::Node(kind, _) => kind,
            _ => "",
        }
    }

    /// The fields of a node, none for other values.
    pub(crate) fn fields(&self) -> &[(&'static str, Tree)] {
        match self {
            Tree::Node(_, fields) => fields,
            _ => &[],
        }
    }

    /// A field of a node, or [`Tree::Nothing`].
    pub(crate) fn get(&self, name: &str) -> &Tree {
        self.fields()
            .iter()
            .find(|(field, _)| *field == name)
            .map_or(&Tree::Nothing, |(_, value)| value)
    }

    /// The items of a list, whether it is a plain field or a List node.
    pub(crate) fn items(&self) -> &[Tree] {
        match self {
            Tree::List(items) => items,
            Tree::Node("List", _) => self.get("items").items(),
            _ => &[],
        }
    }

    /// A string field, empty when absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Tree::Text(text) => text,
            _ => "",
        }
    }

    /// A flag field.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Tree::Flag(true))
    }

    /// A number field, 0 when absent.
    pub(crate) fn number(&self, name: &str) -> i64 {
        match self.get(name) {
            Tree::Number(number) => *number,
            _ => 0,
        }
    }

    /// The strings of a list of String nodes, such as a qualified name.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.items()
            .iter()
            .filter(|item| item.kind() == "String")
            .map(|item| item.text("sval"))
            .collect()
    }

    /// The value of a constant as text: string, number or boolean.
    pub(crate) fn constant(&self) -> Option<String> {
        match self.kind() {
            "AConst" => self.get("val").constant(),
            "String" => Some(self.text("sval").to_owned()),
            "Integer" => Some(self.number("ival").to_string()),
            "Float" => Some(self.text("fval").to_owned()),
            "Boolean" => Some(self.flag("boolval").to_string()),
            "TypeCast" => self.get("arg").constant(),
            _ => None,
        }
    }

    /// Shows every node of the tree to `see`.
    pub(crate) fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Tree)) {
        see(self);
        match self {
            Tree::List(items) => items.iter().for_each(|item| item.visit(see)),
            Tree::Node(_, fields) => fields.iter().for_each(|(_, value)| value.visit(see)),
            _ => {}
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Tree::Nothing | Tree::Flag(false) | Tree::Number(0) => true,
            Tree::Text(text) => text.is_empty(),
            Tree::List(items) => items.is_empty(),
            _ => false,
        }
    }
}

/// The tree is too deep or holds a value of a type that the grammar does not use.
#[derive(Debug)]
pub(crate) struct Unbuildable;

impl fmt::Display for Unbuildable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parse tree can't be read")
    }
}

impl std::error::Error for Unbuildable {}

impl ser::Error for Unbuildable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Unbuildable
    }
}

#[derive(Clone, Copy)]
struct Builder {
    depth: usize,
}

impl Builder {
    fn deeper(self) -> Result<Builder, Unbuildable> {
        if self.depth >= MAX_DEPTH {
            return Err(Unbuildable);
        }
        Ok(Builder {
            depth: self.depth.saturating_add(1),
        })
    }
}

struct ListBuilder {
    inner: Builder,
    items: Vec<Tree>,
}

/// Half of all nodes only wrap the node proper, in their one field.
const WRAPPER: &str = "Node";

struct NodeBuilder {
    inner: Builder,
    kind: &'static str,
    fields: Vec<(&'static str, Tree)>,
    /// What is in a [`WRAPPER`].
    wrapped: Tree,
}

impl ser::SerializeSeq for ListBuilder {
    type Ok = Tree;
    type Error = Unbuildable;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unbuildable> {
        self.items.push(value.serialize(self.inner)?);
        Ok(())
    }
    fn end(self) -> Result<Tree, Unbuildable> {
        Ok(Tree::List(self.items))
    }
}

impl ser::SerializeStruct for NodeBuilder {
    type Ok = Tree;
    type Error = Unbuildable;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unbuildable> {
        let value = value.serialize(self.inner)?;
        if self.kind == WRAPPER {
            self.wrapped = value;
        } else if !value.is_empty() {
            self.fields.push((name, value));
        }
        Ok(())
    }
    fn end(self) -> Result<Tree, Unbuildable> {
        if self.kind == WRAPPER {
            return Ok(self.wrapped);
        }
        Ok(Tree::Node(self.kind, self.fields))
    }
}

impl ser::Serializer for Builder {
    type Ok = Tree;
    type Error = Unbuildable;
    type SerializeSeq = ListBuilder;
    type SerializeTuple = ser::Impossible<Tree, Unbuildable>;
    type SerializeTupleStruct = ser::Impossible<Tree, Unbuildable>;
    type SerializeTupleVariant = ser::Impossible<Tree, Unbuildable>;
    type SerializeMap = ser::Impossible<Tree, Unbuildable>;
    type SerializeStruct = NodeBuilder;
    type SerializeStructVariant = ser::Impossible<Tree, Unbuildable>;

    fn serialize_bool(self, v: bool) -> Result<Tree, Unbuildable> {
        Ok(Tree::Flag(v))
    }
    fn serialize_i8(self, v: i8) -> Result<Tree, Unbuildable> {
        Ok(Tree::Number(v.into()))
    }
    fn serialize_i16(self, v: i16) -> Result<Tree, Unbuildable> {
        Ok(Tree::Number(v.into()))
    }
    fn serialize_i32(self, v: i32) -> Result<Tree, Unbuildable> {
        Ok(Tree::Number(v.into()))
    }
    fn serialize_i64(self, v: i64) -> Result<Tree, Unbuildable> {
        Ok(Tree::Number(v))
    }
    fn serialize_u8(self, v: u8) -> Result<Tree, Unbuildable> {
        Ok(Tree::Number(v.into()))
    }
    fn serialize_u16(self, v: u16) -> Result<Tree, Unbuildable> {
        Ok(Tree::Number(v.into()))
    }
    fn serialize_u32(self, v: u32) -> Result<Tree, Unbuildable> {
        Ok(Tree::Number(v.into()))
    }
    fn serialize_u64(self, v: u64) -> Result<Tree, Unbuildable> {
        // Bit sets of a planned query; a parse tree has none.
        Ok(Tree::Number(i64::try_from(v).unwrap_or(i64::MAX)))
    }
    fn serialize_f32(self, _: f32) -> Result<Tree, Unbuildable> {
        Err(Unbuildable)
    }
    fn serialize_f64(self, v: f64) -> Result<Tree, Unbuildable> {
        // Costs of a planned query; a parse tree has none but zero.
        if v == 0.0 {
            Ok(Tree::Nothing)
        } else {
            Err(Unbuildable)
        }
    }
    fn serialize_char(self, _: char) -> Result<Tree, Unbuildable> {
        Err(Unbuildable)
    }
    fn serialize_str(self, v: &str) -> Result<Tree, Unbuildable> {
        Ok(Tree::Text(v.to_owned()))
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<Tree, Unbuildable> {
        Err(Unbuildable)
    }
    fn serialize_none(self) -> Result<Tree, Unbuildable> {
        Ok(Tree::Nothing)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree, Unbuildable> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Tree, Unbuildable> {
        Ok(Tree::Nothing)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Tree, Unbuildable> {
        Ok(Tree::Nothing)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<Tree, Unbuildable> {
        Err(Unbuildable)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Tree, Unbuildable> {
        value.serialize(self.deeper()?)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Tree, Unbuildable> {
        value.serialize(self.deeper()?)
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<ListBuilder, Unbuildable> {
        Ok(ListBuilder {
            inner: self.deeper()?,
            items: Vec::with_capacity(length.unwrap_or(0).min(1024)),
        })
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unbuildable> {
        Err(Unbuildable)
    }
    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Unbuildable> {
        Err(Unbuildable)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unbuildable> {
        Err(Unbuildable)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unbuildable> {
        Err(Unbuildable)
    }
    fn serialize_struct(self, kind: &'static str, _: usize) -> Result<NodeBuilder, Unbuildable> {
        Ok(NodeBuilder {
            inner: self.deeper()?,
            kind,
            fields: Vec::new(),
            wrapped: Tree::Nothing,
        })
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unbuildable> {
        Err(Unbuildable)
    }
}
