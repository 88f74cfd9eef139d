//! What is known about a statement once its names are resolved. These are the types that policy reads.

use postern_catalog::{FunctionId, RelationId};

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Read. On a [`Object::Setting`]: SHOW.
    Select,
    /// INSERT, MERGE … INSERT, COPY FROM.
    Insert,
    /// UPDATE, MERGE … UPDATE, ON CONFLICT DO UPDATE.
    Update,
    /// DELETE, MERGE … DELETE.
    Delete,
    /// TRUNCATE.
    Truncate,
    /// A function is or may be called; on [`Object::Database`]: DO.
    Call,
    /// COPY. On a relation, or on [`Object::Database`] for COPY of a query and once more for COPY with a file
    /// or program of the server.
    Copy,
    /// A definition is changed: CREATE, ALTER, DROP, GRANT, VACUUM, REFRESH and their like.
    Ddl,
    /// SET, RESET, `set_config`.
    Set,
    /// LOCK TABLE, SELECT … FOR UPDATE and its weaker forms.
    Lock,
    /// LISTEN.
    Listen,
    /// NOTIFY, `pg_notify`.
    Notify,
    /// EXPLAIN, always on [`Object::Database`].
    Explain,
}

/// What something is done to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// A table, view or sequence.
    Relation(RelationId),
    /// A column by `attnum`; negative for system columns, 0 for `*` and whole rows: every column, whichever those
    /// are when the statement runs. Those that the catalogue knows are listed one by one as well.
    Column(RelationId, i16),
    /// A function, procedure or aggregate.
    Function(FunctionId),
    /// A schema by name.
    Schema(String),
    /// A setting in lower case; `*` when it is not known which.
    Setting(String),
    /// A channel of LISTEN and NOTIFY; `*` when it is not known which.
    Channel(String),
    /// The database as a whole.
    Database,
}

/// One action on one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionUse {
    /// What is done.
    pub action: Action,
    /// What it is done to.
    pub object: Object,
    /// The view, or the ancestor in an inheritance tree or a partitioned table, through which the statement
    /// gets there; `None` where the statement names the object itself.
    pub via: Option<RelationId>,
}

/// Where the value of a column goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Into the answer, as it is or as part of an expression.
    Output,
    /// WHERE, HAVING, FILTER, CASE WHEN, or a comparison with a sub-select.
    Condition,
    /// ON, USING, NATURAL.
    Join,
    /// ORDER BY, of aggregates too.
    Order,
    /// GROUP BY, DISTINCT, UNION and its like.
    Group,
    /// PARTITION BY, ORDER BY and the frame of a window.
    Window,
    /// Into a row that is written: INSERT, UPDATE, MERGE, CREATE TABLE AS.
    Value,
    /// An argument of a function or aggregate, wherever the call stands.
    Argument,
}

/// A column is used at a place. Views' own columns are listed, and the columns behind them; a column of a
/// relation that others inherit from is listed for those, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnUse {
    /// The relation.
    pub relation: RelationId,
    /// `attnum`; negative for system columns.
    pub column: i16,
    /// Where its value goes.
    pub place: Place,
}

/// Where the values of a result column come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// They are the values of one column of a base relation, unchanged.
    Direct {
        /// A table, not a view.
        relation: RelationId,
        /// `attnum`; negative for system columns.
        column: i16,
    },
    /// They are computed from these columns of base relations, or are those of one of them. Sorted.
    Derived(Vec<(RelationId, i16)>),
    /// No column goes into them.
    Constant,
}

/// A result column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// OID of its type, where that is known without PostgreSQL's whole type system.
    pub type_oid: Option<u32>,
    /// Where its values come from.
    pub origin: Origin,
    /// Table OID and column number as PostgreSQL tells them in RowDescription: a view's own for a column that
    /// is read through it.
    pub described: Option<(RelationId, i16)>,
}

/// Something that a column of a relation instance is certain to equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bound {
    /// The parameter `$n`.
    Parameter(u16),
    /// A literal, as text without quotes.
    Literal(String),
    /// A column of another instance, which is an index into [`Resolved::tenancy`]. Each row that counts equals
    /// a row of that instance that counts; if that one is an INSERT, the value inserted.
    OtherColumn {
        /// Index of the other instance.
        instance: usize,
        /// `attnum` there.
        column: i16,
    },
    /// A setting, by `current_setting('name')`.
    Setting(String),
}

/// What a statement writes into a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Inserted {
    /// Something that is known.
    Known(Bound),
    /// NULL.
    Null,
    /// The column's default.
    Default,
    /// Something computed, or more than was looked at.
    Unknown,
}

/// A column that is written, with every value that may be written into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `attnum`.
    pub column: i16,
    /// Without repeats.
    pub values: Vec<Inserted>,
}

/// What is done at a relation instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// Its rows are read.
    Read,
    /// Rows are put in. There is nothing to bound, only what is written counts.
    Insert,
    /// Its rows are changed.
    Update,
    /// Its rows are deleted.
    Delete,
}

/// One place at which a base relation is scanned or written. A relation that is named twice has two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationInstance {
    /// The relation; never a view.
    pub relation: RelationId,
    /// What is done with it.
    pub access: Access,
    /// What certainly holds for each of its rows that has any influence on what the statement does or
    /// answers. Equality in PostgreSQL's own sense, of whole values; a NULL equals nothing.
    pub bounds: Vec<(i16, Bound)>,
    /// For [`Access::Insert`] every column of the relation, for [`Access::Update`] those that are set.
    pub written: Vec<Written>,
    /// The instance of the relation that this one inherits from or is a partition of, if it is scanned only
    /// because that one is.
    pub inherited: Option<usize>,
}

/// Everything about one statement. Lists are sorted and without repeats, but for `outputs` and `tenancy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Every action on every object.
    pub actions: Vec<ActionUse>,
    /// Every use of every column.
    pub uses: Vec<ColumnUse>,
    /// The columns of the answer; `None` when there is none, or it can't be known: see `opaque`.
    pub outputs: Option<Vec<Output>>,
    /// Every place at which a base relation is scanned or written.
    pub tenancy: Vec<RelationInstance>,
    /// What it does or answers is not to be seen in it: EXECUTE and FETCH run what was said before, DO and
    /// CALL run code.
    pub opaque: bool,
    /// Every UPDATE and DELETE in it, and every SELECT anywhere in it that names a table or view in its FROM, has a
    /// WHERE clause that looks at a column. True for other statements.
    pub has_where: bool,
    /// It has parameters.
    pub parameters: bool,
    /// It has literals other than NULL, TRUE and FALSE.
    pub literals: bool,
    /// How many joins are written in it, commas between tables included.
    pub joins: u32,
}
