//! What is known about the value of an expression.

use super::Inserted;
use std::sync::Arc;

/// A column that is read, and the view in whose definition that stands (0: in the statement itself).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Read {
    pub(crate) relation: u32,
    pub(crate) column: i16,
    pub(crate) via: u32,
}

/// A column of a relation instance.
pub(crate) type Spot = (usize, i16);

/// A small set. Most have one member.
#[derive(Clone, Debug, Default)]
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Arc<[T]>),
}

impl<T: Copy + Ord> Few<T> {
    pub(crate) fn of(mut items: Vec<T>) -> Few<T> {
        items.sort_unstable();
        items.dedup();
        match items.as_slice() {
            [] => Few::None,
            [one] => Few::One(*one),
            _ => Few::Many(items.into()),
        }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(one) => std::slice::from_ref(one),
            Few::Many(many) => many,
        }
    }

    pub(crate) fn map(&self, change: impl Fn(T) -> T) -> Few<T> {
        match self {
            Few::None => Few::None,
            Few::One(one) => Few::One(change(*one)),
            Few::Many(many) => Few::Many(many.iter().map(|item| change(*item)).collect()),
        }
    }
}

/// The type of an expression, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) enum Ty {
    /// PostgreSQL knows it, this crate does not.
    #[default]
    Unknown,
    /// A literal or parameter whose type PostgreSQL makes out from where it stands.
    Untyped,
    /// This type.
    Oid(u32),
    /// A row that no named type describes.
    Row(Arc<Vec<Field>>),
}

impl Ty {
    pub(crate) fn oid(&self) -> Option<u32> {
        match self {
            Ty::Oid(oid) => Some(*oid),
            _ => None,
        }
    }
}

/// A field of a row.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) ty: Ty,
}

/// The value of an expression.
#[derive(Clone, Debug, Default)]
pub(crate) struct Value {
    pub(crate) ty: Ty,
    /// What RowDescription says of it.
    pub(crate) described: Option<(u32, i16)>,
    /// The column of a base relation that it is, unchanged.
    pub(crate) direct: Option<(u32, i16)>,
    /// Every column that goes into it, those of views and those behind them.
    pub(crate) reads: Few<Read>,
    /// If it is held to a value from outside, so are these.
    pub(crate) carriers: Few<Spot>,
    /// It equals this column.
    pub(crate) source: Option<Spot>,
    /// It is this.
    pub(crate) known: Option<Inserted>,
    /// What a column of a view uses on its own to be computed: it is used when the column is.
    pub(crate) inner: Option<Arc<[(Read, Places)]>>,
}

impl Value {
    /// Computed from columns.
    pub(crate) fn derived(ty: Ty, reads: Vec<Read>) -> Value {
        Value {
            ty,
            reads: Few::of(reads),
            ..Value::default()
        }
    }

    /// The same value where instances have other numbers.
    pub(crate) fn moved(&self, shift: &impl Fn(usize) -> usize) -> Value {
        let spot = |(instance, column): Spot| (shift(instance), column);
        Value {
            carriers: self.carriers.map(spot),
            source: self.source.map(spot),
            ..self.clone()
        }
    }

    /// It can't be held to a value any more without changing what it depends on.
    pub(crate) fn loose(mut self) -> Value {
        self.carriers = Few::None;
        self
    }

    /// What remains of it when it is one of several that may be the value.
    pub(crate) fn or(&self, other: &Value) -> Value {
        Value {
            ty: match (&self.ty, &other.ty) {
                (Ty::Unknown | Ty::Untyped, ty) => ty.clone(),
                (ty, _) => ty.clone(),
            },
            described: None,
            direct: self.direct.filter(|_| self.direct == other.direct),
            reads: join(&self.reads, &other.reads),
            carriers: join(&self.carriers, &other.carriers),
            source: self.source.filter(|_| self.source == other.source),
            known: if self.known == other.known {
                self.known.clone()
            } else {
                None
            },
            inner: match (&self.inner, &other.inner) {
                (None, inner) | (inner, None) => inner.clone(),
                (Some(one), Some(other)) => Some([&**one, &**other].concat().into()),
            },
        }
    }
}

fn join<T: Copy + Ord>(a: &Few<T>, b: &Few<T>) -> Few<T> {
    match (a, b) {
        (Few::None, few) | (few, Few::None) => few.clone(),
        _ => Few::of([a.as_slice(), b.as_slice()].concat()),
    }
}

/// A column of a query, a CTE, a function in FROM.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: Arc<str>,
    pub(crate) value: Value,
}

impl Named {
    pub(crate) fn new(name: &str, value: Value) -> Named {
        Named {
            name: name.into(),
            value,
        }
    }
}

/// Where a value goes, as bits; [`Places::NOWHERE`] for what is only named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places(u8);

impl Places {
    pub(crate) const NOWHERE: Places = Places(0);

    pub(crate) fn with(self, place: super::Place) -> Places {
        Places(self.0 | Places::from(place).0)
    }

    pub(crate) fn add(&mut self, others: Places) {
        self.0 |= others.0;
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = super::Place> {
        use super::Place as P;
        const ALL: [P; 8] = [
            P::Output,
            P::Condition,
            P::Join,
            P::Order,
            P::Group,
            P::Window,
            P::Value,
            P::Argument,
        ];
        ALL.into_iter()
            .filter(move |place| self.0 & Places::from(*place).0 != 0)
    }
}

impl From<super::Place> for Places {
    fn from(place: super::Place) -> Places {
        Places(1 << place as u8)
    }
}
