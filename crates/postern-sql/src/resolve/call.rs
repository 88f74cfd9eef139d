//! Functions, operators and casts: which of them a statement may call, and the types of their results.

use super::scope::Level;
use super::value::{Field, Places, Read, Ty};
use super::walk::{R, Walk};
use super::{Action, Object, Place, ResolveError};
use crate::setting;
use crate::tree::Tree;
use postern_catalog::{Function, Operator, TypeKind};
use std::sync::Arc;

const RECORD: u32 = 2249;
const BOOL: u32 = 16;
const INT8: u32 = 20;
/// `anyelement`, `anynonarray`, `anyenum`, `anycompatible`, `anycompatiblenonarray`.
const ANY_ELEMENT: [u32; 5] = [2283, 2776, 3500, 5077, 5079];
/// `anyarray`, `anycompatiblearray`.
const ANY_ARRAY: [u32; 2] = [2277, 5078];
/// `"any"`.
const ANY: u32 = 2276;

impl<'a> Walk<'a> {
    /// A function call in an expression.
    pub(crate) fn function_call(
        &mut self,
        node: &Tree,
        level: &Level<'_>,
        at: Places,
        reads: &mut Vec<Read>,
    ) -> R<Ty> {
        let (types, names) = (
            self.arguments(node, level, at, reads)?,
            node.get("funcname").names(),
        );
        self.special(&names, node);
        self.call(&names, &types, node.flag("func_variadic"))
    }

    /// Everything in a call but its name; gives the types of the arguments.
    fn arguments(&mut self, node: &Tree, level: &Level<'_>, at: Places, reads: &mut Vec<Read>) -> R<Vec<Ty>> {
        let argument = at.with(Place::Argument);
        let mut types = Vec::new();
        for item in node.get("args").items() {
            types.push(self.expression(item, level, argument, reads)?);
        }
        for sort in node.get("agg_order").items() {
            let ty = self.expression(sort, level, argument, reads)?;
            if node.flag("agg_within_group") {
                types.push(ty);
            }
        }
        self.parts(node.get("agg_filter"), level, at.with(Place::Condition), reads)?;
        let over = node.get("over");
        if over != &Tree::Nothing {
            level.windowed.set(true);
            self.window(over, level)?;
        }
        Ok(types)
    }

    /// Calls that do more than compute.
    fn special(&mut self, names: &[&str], node: &Tree) {
        match names.last().copied() {
            Some("set_config") => {
                let name = setting::of_call(node).name.unwrap_or_else(|| "*".to_owned());
                self.act(Action::Set, Object::Setting(name));
            }
            Some("pg_notify") => {
                let channel = node.get("args").items().first().and_then(Tree::constant);
                self.act(
                    Action::Notify,
                    Object::Channel(channel.unwrap_or_else(|| "*".to_owned())),
                );
            }
            _ => {}
        }
    }

    /// Notes that a function is called; gives the type of its result.
    pub(crate) fn call(&mut self, names: &[&str], types: &[Ty], variadic: bool) -> R<Ty> {
        let found = self.candidates(names, types, variadic)?;
        let Some((first, others)) = found.split_first() else {
            return self.cast_or_field(names, types);
        };
        let ty = self.result(first, types);
        let same = others.iter().all(|other| match (&ty, self.result(other, types)) {
            (Ty::Oid(one), Ty::Oid(other)) => *one == other,
            _ => false,
        });
        Ok(if same { ty } else { Ty::Unknown })
    }

    /// The functions that a call may mean, noted as called. None when there is no function of that name, or
    /// none that takes a row and the row has such a field.
    fn candidates(&mut self, names: &[&str], types: &[Ty], variadic: bool) -> R<Vec<&'a Function>> {
        let all = self.functions(names, types.len())?;
        let mut fitting: Vec<&'a Function> = all
            .iter()
            .copied()
            .filter(|function| variadic || self.fits(function, types))
            .collect();
        self.charge(all.len())?;
        if let Some(exact) = fitting.iter().copied().find(|function| is_exact(function, types)) {
            fitting = vec![exact];
        }
        if fitting.is_empty() {
            if let (Some(name), [ty]) = (names.last(), types)
                && let Some(fields) = self.fields_of(ty)?
                && fields.iter().any(|field| &*field.name == *name)
            {
                return Ok(Vec::new());
            }
            fitting = all;
        }
        for function in &fitting {
            self.act_call(function.oid);
            self.argument_casts(function, types)?;
        }
        Ok(fitting)
    }

    /// Whether some function of this name takes such a row.
    pub(crate) fn takes_row(&mut self, name: &str, row: &Ty) -> R<bool> {
        let found = self.functions(&[name], 1)?;
        Ok(found
            .iter()
            .any(|function| self.fits(function, std::slice::from_ref(row))))
    }

    /// `typename(x)` is a cast, `field(row)` is a field.
    fn cast_or_field(&mut self, names: &[&str], types: &[Ty]) -> R<Ty> {
        if let [ty] = types {
            if let Some(to) = self.type_named(names)? {
                let to = Ty::Oid(to.oid);
                self.cast(ty, &to)?;
                return Ok(to);
            }
            if let ([name], Some(fields)) = (names, self.fields_of(ty)?)
                && let Some(field) = fields.iter().find(|field| &*field.name == *name)
            {
                return Ok(field.ty.clone());
            }
        }
        let (name, count) = (names.join("."), types.len());
        Err(ResolveError::new(
            "42883",
            format!("function {name} with {count} arguments does not exist"),
        ))
    }

    /// Whether the types of the arguments leave a function possible. In doubt it is.
    fn fits(&self, function: &Function, types: &[Ty]) -> bool {
        types.iter().enumerate().all(|(at, ty)| {
            let parameter = parameter(function, at);
            if parameter == ANY || ANY_ELEMENT.contains(&parameter) {
                return true;
            }
            let catalog = self.names.catalog;
            let is_row = match ty {
                Ty::Row(_) => true,
                Ty::Oid(oid) => catalog.relation_of_type(*oid).is_some(),
                Ty::Unknown | Ty::Untyped => return true,
            };
            let kind = catalog.type_by_oid(parameter).map(|t| t.kind);
            if is_row {
                return parameter == RECORD || kind == Some(TypeKind::Composite);
            }
            let wants_array = ANY_ARRAY.contains(&parameter)
                || catalog
                    .type_by_oid(parameter)
                    .is_some_and(|t| t.element.is_some());
            let Ty::Oid(oid) = ty else { return true };
            let is_array = catalog
                .type_by_oid(catalog.base_type(*oid))
                .is_some_and(|t| t.element.is_some());
            wants_array == is_array || (is_array && !wants_array && self.is_cast_by_function(*oid, parameter))
        })
    }

    fn is_cast_by_function(&self, from: u32, to: u32) -> bool {
        self.names.catalog.casts_to(to).any(|cast| cast.source == from)
    }

    /// The type of a function's result.
    fn result(&self, function: &Function, types: &[Ty]) -> Ty {
        let catalog = self.names.catalog;
        let result = function.result;
        if result == RECORD && function.outputs.len() > 1 {
            return Ty::Row(Arc::new(
                function
                    .outputs
                    .iter()
                    .map(|output| Field {
                        name: output.name.as_str().into(),
                        ty: self.given(output.type_oid, function, types),
                    })
                    .collect(),
            ));
        }
        if result == RECORD
            || catalog
                .type_by_oid(result)
                .is_some_and(|t| t.kind != TypeKind::Pseudo)
        {
            return Ty::Oid(result);
        }
        self.given(result, function, types)
    }

    /// What a polymorphic type stands for in this call.
    fn given(&self, ty: u32, function: &Function, types: &[Ty]) -> Ty {
        let catalog = self.names.catalog;
        let wants_array = ANY_ARRAY.contains(&ty);
        if !wants_array && !ANY_ELEMENT.contains(&ty) {
            let pseudo = catalog.type_by_oid(ty).is_none_or(|t| t.kind == TypeKind::Pseudo);
            return if pseudo { Ty::Unknown } else { Ty::Oid(ty) };
        }
        for (at, given) in types.iter().enumerate() {
            let Ty::Oid(oid) = given else { continue };
            let parameter = parameter(function, at);
            let array = catalog.base_type(*oid);
            let element = if ANY_ARRAY.contains(&parameter) {
                catalog.type_by_oid(array).and_then(|t| t.element)
            } else if ANY_ELEMENT.contains(&parameter) {
                Some(*oid)
            } else {
                None
            };
            let Some(element) = element else { continue };
            let found = if wants_array {
                catalog.array_of(element)
            } else {
                Some(element)
            };
            return found.map_or(Ty::Unknown, Ty::Oid);
        }
        Ty::Unknown
    }

    /// A function in FROM: the type of its rows, and the name of its only OUT parameter.
    pub(crate) fn function_in_from(
        &mut self,
        node: &Tree,
        level: &Level<'_>,
        reads: &mut Vec<Read>,
    ) -> R<(Ty, Option<String>)> {
        if node.kind() != "FuncCall" {
            // CURRENT_DATE, COALESCE and the like can stand there, too.
            return Ok((self.expression(node, level, Places::NOWHERE, reads)?, None));
        }
        let types = self.arguments(node, level, Places::NOWHERE, reads)?;
        let names = node.get("funcname").names();
        self.special(&names, node);
        let found = self.candidates(&names, &types, node.flag("func_variadic"))?;
        // If they differ in the shape of their rows, PostgreSQL can only mean the one without OUT parameters
        // or say that the call is ambiguous.
        let meant = found
            .iter()
            .find(|f| f.outputs.is_empty())
            .or_else(|| found.first());
        match meant {
            None => Ok((self.cast_or_field(&names, &types)?, None)),
            Some(function) => {
                let only = match function.outputs.as_slice() {
                    [only] if !only.name.is_empty() => Some(only.name.clone()),
                    _ => None,
                };
                Ok((self.result(function, &types), only))
            }
        }
    }

    /// Casts by functions of users that the arguments may need.
    fn argument_casts(&mut self, function: &Function, types: &[Ty]) -> R<()> {
        for (at, ty) in types.iter().enumerate() {
            let to = parameter(function, at);
            if let Ty::Oid(from) = ty
                && *from != to
            {
                self.cast(ty, &Ty::Oid(to))?;
            }
        }
        Ok(())
    }

    /// Notes the functions of users that a cast may call.
    pub(crate) fn cast(&mut self, from: &Ty, to: &Ty) -> R<()> {
        let catalog = self.names.catalog;
        let Ty::Oid(to) = to else { return Ok(()) };
        // Of an array each element is cast, of a domain what it is over.
        let element = |oid: u32| catalog.type_by_oid(oid).and_then(|t| t.element);
        let below = |oid: u32| {
            let base = catalog.base_type(oid);
            [Some(oid), Some(base), element(base)]
        };
        let from = match from {
            Ty::Oid(oid) => Some(below(*oid)),
            // A literal is read by the type itself.
            Ty::Untyped => return Ok(()),
            Ty::Unknown | Ty::Row(_) => None,
        };
        let mut called = Vec::new();
        for target in below(*to).into_iter().flatten() {
            for cast in catalog.casts_to(target) {
                let may = from.is_none_or(|from| from.contains(&Some(cast.source)));
                if may && !self.is_built_in(cast.function) {
                    called.push(cast.function);
                }
            }
        }
        self.charge(called.len().saturating_add(4))?;
        for function in called {
            self.act_call(function);
        }
        Ok(())
    }

    /// Notes the functions of users that an operator may call; gives the type of its result. A prefix operator
    /// has 0 for its left type.
    pub(crate) fn operator(&mut self, names: &[&str], left: &Ty, right: &Ty) -> R<Ty> {
        let catalog = self.names.catalog;
        let Some((name, qualifiers)) = names.split_last() else {
            return Ok(Ty::Unknown);
        };
        let schemas: Vec<&str> = match qualifiers.last() {
            Some(schema) => vec![*schema],
            None => self.path().collect(),
        };
        self.charge(10)?;
        let base = |ty: &Ty| {
            ty.oid()
                .map(|oid| if oid == 0 { 0 } else { catalog.base_type(oid) })
        };
        // PostgreSQL takes a literal to be of the type of the other side.
        let wanted = match (left, right) {
            (Ty::Untyped, Ty::Oid(_)) => base(right).map(|ty| (ty, ty)),
            (Ty::Oid(oid), Ty::Untyped) if *oid != 0 => base(left).map(|ty| (ty, ty)),
            _ => base(left).zip(base(right)),
        };
        let exact = |operator: &&'a Operator| Some((operator.left, operator.right)) == wanted;
        let mut any = false;
        let mut called = Vec::new();
        let mut result = None;
        for schema in &schemas {
            let mut operators = catalog.operators(schema, name);
            if let Some(found) = operators.find(exact) {
                // No later schema can have a better one.
                result = Some(found.result);
                any = true;
                if !self.is_built_in(found.function) {
                    called.push(found.function);
                }
                break;
            }
            for operator in catalog.operators(schema, name) {
                any = true;
                if !self.is_built_in(operator.function) {
                    called.push(operator.function);
                }
            }
        }
        if !any {
            return Err(ResolveError::new(
                "42883",
                format!("operator does not exist: {name}"),
            ));
        }
        self.charge(called.len())?;
        for function in called {
            self.act_call(function);
        }
        let compares = matches!(
            *name,
            "=" | "<>" | "<" | ">" | "<=" | ">=" | "~~" | "!~~" | "~" | "!~"
        );
        Ok(match result {
            Some(result) => Ty::Oid(result),
            None if compares => Ty::Oid(BOOL),
            None => numeric_result(name, base(left), base(right)),
        })
    }
}

/// Arithmetic on whole numbers of different sizes.
fn numeric_result(name: &str, left: Option<u32>, right: Option<u32>) -> Ty {
    const WHOLE: [u32; 3] = [21, 23, INT8];
    match (left, right) {
        (Some(left), Some(right))
            if matches!(name, "+" | "-" | "*" | "/" | "%")
                && WHOLE.contains(&left)
                && WHOLE.contains(&right) =>
        {
            Ty::Oid(if left == INT8 || right == INT8 { INT8 } else { 23 })
        }
        _ => Ty::Unknown,
    }
}

/// The type that a function wants for an argument.
fn parameter(function: &Function, at: usize) -> u32 {
    let last = function.arguments.len().saturating_sub(1);
    if function.variadic != 0 && at >= last {
        return function.variadic;
    }
    function.arguments.get(at).copied().unwrap_or_default()
}

/// All types are known and are just those that the function wants.
fn is_exact(function: &Function, types: &[Ty]) -> bool {
    function.variadic == 0
        && function.arguments.len() == types.len()
        && function
            .arguments
            .iter()
            .zip(types)
            .all(|(wanted, ty)| ty.oid() == Some(*wanted))
}
