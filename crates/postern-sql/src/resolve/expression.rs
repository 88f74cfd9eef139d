//! Expressions.
//!
//! Every node that is not treated here by its kind is walked through by its fields, so that nothing in an
//! expression is missed.

use super::scope::Level;
use super::value::{Field, Places, Read, Ty, Value};
use super::walk::{R, Walk};
use super::{Place, ResolveError};
use crate::tree::Tree;
use pg_query::protobuf::{AExprKind, SubLinkType};
use std::sync::Arc;

const BOOL: u32 = 16;
const INT4: u32 = 23;

impl Walk<'_> {
    /// The value of an expression, where it goes noted; an absent one is a constant.
    pub(crate) fn value(&mut self, node: &Tree, level: &Level<'_>, at: Places) -> R<Value> {
        match node.kind() {
            "" if node == &Tree::Nothing => Ok(Value::default()),
            "ColumnRef" => self.deeper(|walk| walk.column_value(node, level, at)),
            "AIndirection" if node.get("arg").kind() == "ColumnRef" => self.selected_column(node, level, at),
            "FuncCall" => match self.called_column(node, level)? {
                Some(value) => {
                    self.note(&value, at)?;
                    Ok(value)
                }
                None => self.computed(node, level, at),
            },
            "TypeCast" if node.get("type_name").get("typmods") == &Tree::Nothing => {
                self.deeper(|walk| walk.cast_value(node, level, at))
            }
            _ => self.computed(node, level, at),
        }
    }

    fn computed(&mut self, node: &Tree, level: &Level<'_>, at: Places) -> R<Value> {
        let mut reads = Vec::new();
        let ty = self.expression(node, level, at, &mut reads)?;
        Ok(Value {
            known: self.inserted(node)?,
            ..Value::derived(ty, reads)
        })
    }

    /// `column(t)` is that column, where no function of the name takes the row.
    fn called_column(&mut self, node: &Tree, level: &Level<'_>) -> R<Option<Value>> {
        let names = node.get("funcname").names();
        let ([name], [argument]) = (names.as_slice(), node.get("args").items()) else {
            return Ok(None);
        };
        if argument.kind() != "ColumnRef" {
            return Ok(None);
        }
        let super::column::Found::Row(item) = self.reference(argument, level)? else {
            return Ok(None);
        };
        let Some(value) = item.column(name, self.via)? else {
            return Ok(None);
        };
        Ok((!self.takes_row(name, &item.row_type())?).then_some(value))
    }

    /// A cast to the type that a value has already leaves it as it is.
    fn cast_value(&mut self, node: &Tree, level: &Level<'_>, at: Places) -> R<Value> {
        let value = self.value(node.get("arg"), level, at)?;
        let to = self.type_of(node.get("type_name"))?;
        if to.oid().is_some() && to.oid() == value.ty.oid() {
            return Ok(value);
        }
        self.cast(&value.ty, &to)?;
        Ok(Value {
            known: self.inserted(node)?,
            inner: value.inner,
            reads: value.reads,
            ty: to,
            ..Value::default()
        })
    }

    /// `(t).column` is that column.
    fn selected_column(&mut self, node: &Tree, level: &Level<'_>, at: Places) -> R<Value> {
        let steps = node.get("indirection").items();
        if let [step] = steps
            && step.kind() == "String"
            && let super::column::Found::Row(item) = self.reference(node.get("arg"), level)?
            && let Some(value) = item.column(step.text("sval"), self.via)?
        {
            self.note(&value, at)?;
            return Ok(value);
        }
        let mut reads = Vec::new();
        let ty = self.expression(node, level, at, &mut reads)?;
        Ok(Value::derived(ty, reads))
    }

    /// Walks an expression, adds what it reads to `reads`, and tells its type.
    pub(crate) fn expression(
        &mut self,
        node: &Tree,
        level: &Level<'_>,
        at: Places,
        reads: &mut Vec<Read>,
    ) -> R<Ty> {
        self.deeper(|walk| walk.by_kind(node, level, at, reads))
    }

    fn by_kind(&mut self, node: &Tree, level: &Level<'_>, at: Places, reads: &mut Vec<Read>) -> R<Ty> {
        match node.kind() {
            "" => {
                self.parts(node, level, at, reads)?;
                Ok(Ty::Unknown)
            }
            "ColumnRef" => {
                let value = self.column_value(node, level, at)?;
                reads.extend_from_slice(value.reads.as_slice());
                Ok(value.ty)
            }
            "ParamRef" => {
                self.parameters = true;
                Ok(Ty::Untyped)
            }
            "AConst" => Ok(self.constant(node)),
            "TypeCast" => {
                let from = self.expression(node.get("arg"), level, at, reads)?;
                let to = self.type_of(node.get("type_name"))?;
                self.cast(&from, &to)?;
                Ok(to)
            }
            "FuncCall" => self.function_call(node, level, at, reads),
            "AExpr" => self.operation(node, level, at, reads),
            "SubLink" => self.sub_link(node, level, at, reads),
            "CaseExpr" => self.case(node, level, at, reads),
            "AIndirection" => self.indirection(node, level, at, reads),
            "RowExpr" => self.row_expression(node, level, at, reads),
            "AArrayExpr" => {
                let ty = self.alternatives(node.get("elements").items(), level, at, reads)?;
                let array = ty.oid().and_then(|oid| self.names.catalog.array_of(oid));
                Ok(array.map_or(Ty::Unknown, Ty::Oid))
            }
            "CoalesceExpr" | "MinMaxExpr" => self.alternatives(node.get("args").items(), level, at, reads),
            "BoolExpr" | "NullTest" | "BooleanTest" | "CurrentOfExpr" => {
                self.fields(node, level, at, reads)?;
                Ok(Ty::Oid(BOOL))
            }
            "GroupingFunc" => {
                self.fields(node, level, at, reads)?;
                Ok(Ty::Oid(INT4))
            }
            "CollateClause" | "NamedArgExpr" => self.expression(node.get("arg"), level, at, reads),
            "SetToDefault" => Ok(Ty::Untyped),
            "TypeName" => self.type_of(node),
            "SortBy" => {
                self.sort_operator(node)?;
                self.expression(node.get("node"), level, at.with(Place::Order), reads)
            }
            "WindowDef" => {
                level.windowed.set(true);
                self.window(node, level)?;
                Ok(Ty::Unknown)
            }
            "SelectStmt" => {
                let columns = self.query(node, Some(level))?;
                for column in &columns {
                    self.note(&column.value, at)?;
                    reads.extend_from_slice(column.value.reads.as_slice());
                }
                Ok(Ty::Unknown)
            }
            "SqlvalueFunction" | "SqlValueFunction" => Ok(value_function_type(node.number("op"))),
            "RangeVar" => Err(ResolveError::unsupported("a table in this place")),
            _ => {
                self.fields(node, level, at, reads)?;
                Ok(Ty::Unknown)
            }
        }
    }

    /// Walks what a list or a node consists of.
    pub(crate) fn parts(
        &mut self,
        tree: &Tree,
        level: &Level<'_>,
        at: Places,
        reads: &mut Vec<Read>,
    ) -> R<()> {
        match tree {
            Tree::List(items) => items
                .iter()
                .try_for_each(|item| self.parts(item, level, at, reads)),
            Tree::Node(..) => self.expression(tree, level, at, reads).map(|_| ()),
            Tree::Nothing | Tree::Flag(_) | Tree::Number(_) | Tree::Text(_) => Ok(()),
        }
    }

    fn fields(&mut self, node: &Tree, level: &Level<'_>, at: Places, reads: &mut Vec<Read>) -> R<()> {
        let mut fields = node.fields().iter();
        fields.try_for_each(|(_, value)| self.parts(value, level, at, reads))
    }

    fn constant(&mut self, node: &Tree) -> Ty {
        match node.get("val").kind() {
            "Integer" => {
                self.literals = true;
                Ty::Oid(INT4)
            }
            "Float" => {
                self.literals = true;
                let text = node.get("val").text("fval");
                Ty::Oid(if text.parse::<i64>().is_ok() { 20 } else { 1700 })
            }
            "Boolean" => Ty::Oid(BOOL),
            "BitString" => {
                self.literals = true;
                Ty::Oid(1560)
            }
            "String" => {
                self.literals = true;
                Ty::Untyped
            }
            _ => Ty::Untyped,
        }
    }

    /// Expressions of which one is the value.
    fn alternatives(
        &mut self,
        items: &[Tree],
        level: &Level<'_>,
        at: Places,
        reads: &mut Vec<Read>,
    ) -> R<Ty> {
        let mut ty = Ty::Untyped;
        for item in items {
            let other = self.expression(item, level, at, reads)?;
            ty = either(ty, other);
        }
        Ok(ty)
    }

    fn row_expression(&mut self, node: &Tree, level: &Level<'_>, at: Places, reads: &mut Vec<Read>) -> R<Ty> {
        let values = self.row(node.get("args").items(), level, at)?;
        let mut fields = Vec::new();
        for (number, value) in values.into_iter().enumerate() {
            reads.extend_from_slice(value.reads.as_slice());
            fields.push(Field {
                name: format!("f{}", number.saturating_add(1)).into(),
                ty: value.ty,
            });
        }
        Ok(Ty::Row(Arc::new(fields)))
    }

    fn case(&mut self, node: &Tree, level: &Level<'_>, at: Places, reads: &mut Vec<Read>) -> R<Ty> {
        let condition = at.with(Place::Condition);
        self.parts(node.get("arg"), level, condition, reads)?;
        let mut ty = Ty::Untyped;
        for when in node.get("args").items() {
            self.parts(when.get("expr"), level, condition, reads)?;
            let other = self.expression(when.get("result"), level, at, reads)?;
            ty = either(ty, other);
        }
        if node.get("arg") != &Tree::Nothing {
            self.operator(&["="], &Ty::Unknown, &Ty::Unknown)?;
        }
        if node.get("defresult") != &Tree::Nothing {
            let other = self.expression(node.get("defresult"), level, at, reads)?;
            ty = either(ty, other);
        }
        Ok(ty)
    }

    fn operation(&mut self, node: &Tree, level: &Level<'_>, at: Places, reads: &mut Vec<Read>) -> R<Ty> {
        let name = node.get("name").names();
        let left = match node.get("lexpr") {
            Tree::Nothing => None,
            operand => Some(self.expression(operand, level, at, reads)?),
        };
        let operand = node.get("rexpr");
        let right = match operand.items() {
            [] => self.expression(operand, level, at, reads)?,
            items => self.alternatives(items, level, at, reads)?,
        };
        let kind = i32::try_from(node.number("kind"))
            .ok()
            .and_then(|kind| AExprKind::try_from(kind).ok());
        use AExprKind as K;
        match kind {
            Some(K::AexprOp) => match left {
                Some(left) => self.operator(&name, &left, &right),
                None => self.operator(&name, &Ty::Oid(0), &right),
            },
            Some(K::AexprNullif) => {
                let left = left.unwrap_or_default();
                self.operator(&name, &left, &right)?;
                Ok(left)
            }
            Some(K::AexprOpAny | K::AexprOpAll) => {
                let element = match right
                    .oid()
                    .and_then(|oid| self.names.catalog.type_by_oid(oid)?.element)
                {
                    Some(element) => Ty::Oid(element),
                    None => right,
                };
                self.operator(&name, &left.unwrap_or_default(), &element)?;
                Ok(Ty::Oid(BOOL))
            }
            Some(K::AexprBetween | K::AexprNotBetween | K::AexprBetweenSym | K::AexprNotBetweenSym) => {
                let left = left.unwrap_or_default();
                for name in ["<", ">", "<=", ">="] {
                    self.operator(&[name], &left, &right)?;
                }
                Ok(Ty::Oid(BOOL))
            }
            Some(_) => {
                self.operator(&name, &left.unwrap_or_default(), &right)?;
                Ok(Ty::Oid(BOOL))
            }
            None => Err(ResolveError::unsupported("this operator")),
        }
    }

    fn sub_link(&mut self, node: &Tree, level: &Level<'_>, at: Places, reads: &mut Vec<Read>) -> R<Ty> {
        let test = node.get("testexpr");
        let kind = i32::try_from(node.number("sub_link_type")).ok();
        let kind = kind.and_then(|kind| SubLinkType::try_from(kind).ok());
        let compared = matches!(
            kind,
            Some(SubLinkType::AnySublink | SubLinkType::AllSublink | SubLinkType::RowcompareSublink)
        );
        let at = if compared { at.with(Place::Condition) } else { at };
        let left = match test {
            Tree::Nothing => Ty::Unknown,
            test => self.expression(test, level, at, reads)?,
        };
        let columns = self.query(node.get("subselect"), Some(level))?;
        if kind == Some(SubLinkType::ExistsSublink) {
            return Ok(Ty::Oid(BOOL));
        }
        for column in &columns {
            self.note(&column.value, at)?;
            reads.extend_from_slice(column.value.reads.as_slice());
        }
        let first = columns
            .into_iter()
            .next()
            .map_or(Ty::Unknown, |column| column.value.ty);
        match kind {
            Some(SubLinkType::ExprSublink) => Ok(first),
            Some(SubLinkType::ArraySublink) => {
                let array = first.oid().and_then(|oid| self.names.catalog.array_of(oid));
                Ok(array.map_or(Ty::Unknown, Ty::Oid))
            }
            _ if compared => {
                let name = node.get("oper_name").names();
                let name = if name.is_empty() { vec!["="] } else { name };
                self.operator(&name, &left, &first)?;
                Ok(Ty::Oid(BOOL))
            }
            _ => Ok(Ty::Unknown),
        }
    }
}

/// The type of CASE, COALESCE and the like from two of their branches.
fn either(one: Ty, other: Ty) -> Ty {
    match (one, other) {
        (Ty::Untyped, ty) | (ty, Ty::Untyped) => ty,
        (Ty::Oid(one), Ty::Oid(other)) if one == other => Ty::Oid(one),
        _ => Ty::Unknown,
    }
}

fn value_function_type(op: i64) -> Ty {
    use pg_query::protobuf::SqlValueFunctionOp as F;
    let op = i32::try_from(op).ok().and_then(|op| F::try_from(op).ok());
    Ty::Oid(match op {
        Some(F::SvfopCurrentDate) => 1082,
        Some(F::SvfopCurrentTime | F::SvfopCurrentTimeN) => 1266,
        Some(F::SvfopCurrentTimestamp | F::SvfopCurrentTimestampN) => 1184,
        Some(F::SvfopLocaltime | F::SvfopLocaltimeN) => 1083,
        Some(F::SvfopLocaltimestamp | F::SvfopLocaltimestampN) => 1114,
        Some(
            F::SvfopCurrentRole
            | F::SvfopCurrentUser
            | F::SvfopUser
            | F::SvfopSessionUser
            | F::SvfopCurrentCatalog
            | F::SvfopCurrentSchema,
        ) => 19,
        Some(F::SqlvalueFunctionOpUndefined) | None => return Ty::Unknown,
    })
}
