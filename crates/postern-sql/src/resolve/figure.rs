//! The name of a result column that has no alias (PostgreSQL's `FigureColname`).

use crate::tree::Tree;
use pg_query::protobuf::{AExprKind, MinMaxOp, SqlValueFunctionOp, SubLinkType, XmlExprOp};

/// What PostgreSQL would call it; `None` for `?column?`.
pub(crate) fn figure_name(node: &Tree) -> Option<&str> {
    figure(node).map(|(name, _)| name)
}

/// The name, and whether it is a good one: a cast or CASE around has a weaker one.
fn figure(node: &Tree) -> Option<(&str, bool)> {
    let is = |name: &'static str| Some((name, true));
    // Bounded by the depth of the tree; each step goes down one level.
    let mut at = node;
    let mut weak: Option<&str> = None;
    loop {
        let found = match at.kind() {
            "ColumnRef" => at.get("fields").names().last().map(|name| (*name, true)),
            "AIndirection" => match at.get("indirection").names().last() {
                Some(name) => Some((*name, true)),
                None => {
                    at = at.get("arg");
                    continue;
                }
            },
            "FuncCall" => at.get("funcname").names().last().map(|name| (*name, true)),
            "AExpr" if at.number("kind") == AExprKind::AexprNullif as i64 => is("nullif"),
            "TypeCast" => {
                let own = at.get("type_name").get("names").names().last().copied();
                weak = weak.or(own);
                at = at.get("arg");
                continue;
            }
            "CollateClause" => {
                at = at.get("arg");
                continue;
            }
            "CaseExpr" => {
                weak = weak.or(Some("case"));
                at = at.get("defresult");
                continue;
            }
            "GroupingFunc" => is("grouping"),
            "MergeSupportFunc" => is("merge_action"),
            "SubLink" => sub_link(at).map(|name| (name, true)),
            "AArrayExpr" => is("array"),
            "RowExpr" => is("row"),
            "CoalesceExpr" => is("coalesce"),
            "MinMaxExpr" if at.number("op") == MinMaxOp::IsLeast as i64 => is("least"),
            "MinMaxExpr" => is("greatest"),
            "SqlvalueFunction" | "SqlValueFunction" => value_function(at.number("op")).and_then(is),
            "XmlExpr" => xml(at.number("op")).and_then(is),
            "XmlSerialize" => is("xmlserialize"),
            "JsonParseExpr" => is("json"),
            "JsonScalarExpr" => is("json_scalar"),
            "JsonSerializeExpr" => is("json_serialize"),
            "JsonObjectConstructor" => is("json_object"),
            "JsonArrayConstructor" | "JsonArrayQueryConstructor" => is("json_array"),
            "JsonObjectAgg" => is("json_objectagg"),
            "JsonArrayAgg" => is("json_arrayagg"),
            "JsonFuncExpr" => json(at.number("op")).and_then(is),
            _ => None,
        };
        return found.or(weak.map(|name| (name, false)));
    }
}

fn sub_link(node: &Tree) -> Option<&str> {
    let kind = i32::try_from(node.number("sub_link_type")).ok()?;
    match SubLinkType::try_from(kind).ok()? {
        SubLinkType::ExistsSublink => Some("exists"),
        SubLinkType::ArraySublink => Some("array"),
        SubLinkType::ExprSublink => {
            let mut query = node.get("subselect");
            while query.get("larg") != &Tree::Nothing {
                query = query.get("larg");
            }
            if !query.get("values_lists").items().is_empty() {
                return Some("column1");
            }
            let first = query.get("target_list").items().first()?;
            let name = first.text("name");
            if name.is_empty() {
                // Sub-selects in sub-selects: the depth of the tree bounds this, too.
                return Some(figure_name(first.get("val")).unwrap_or("?column?"));
            }
            Some(name)
        }
        _ => None,
    }
}

fn value_function(op: i64) -> Option<&'static str> {
    use SqlValueFunctionOp as F;
    Some(match F::try_from(i32::try_from(op).ok()?).ok()? {
        F::SvfopCurrentDate => "current_date",
        F::SvfopCurrentTime | F::SvfopCurrentTimeN => "current_time",
        F::SvfopCurrentTimestamp | F::SvfopCurrentTimestampN => "current_timestamp",
        F::SvfopLocaltime | F::SvfopLocaltimeN => "localtime",
        F::SvfopLocaltimestamp | F::SvfopLocaltimestampN => "localtimestamp",
        F::SvfopCurrentRole => "current_role",
        F::SvfopCurrentUser => "current_user",
        F::SvfopUser => "user",
        F::SvfopSessionUser => "session_user",
        F::SvfopCurrentCatalog => "current_catalog",
        F::SvfopCurrentSchema => "current_schema",
        F::SqlvalueFunctionOpUndefined => return None,
    })
}

fn xml(op: i64) -> Option<&'static str> {
    use XmlExprOp as X;
    Some(match X::try_from(i32::try_from(op).ok()?).ok()? {
        X::IsXmlconcat => "xmlconcat",
        X::IsXmlelement => "xmlelement",
        X::IsXmlforest => "xmlforest",
        X::IsXmlparse => "xmlparse",
        X::IsXmlpi => "xmlpi",
        X::IsXmlroot => "xmlroot",
        X::IsXmlserialize => "xmlserialize",
        X::IsDocument | X::Undefined => return None,
    })
}

fn json(op: i64) -> Option<&'static str> {
    use pg_query::protobuf::JsonExprOp as J;
    Some(match J::try_from(i32::try_from(op).ok()?).ok()? {
        J::JsonExistsOp => "json_exists",
        J::JsonQueryOp => "json_query",
        J::JsonValueOp => "json_value",
        J::JsonTableOp | J::Undefined => return None,
    })
}
