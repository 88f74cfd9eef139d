//! How deep the tree of a text can get, told from its tokens.
//!
//! Where PostgreSQL's grammar builds one node on top of another there is a parenthesis, a bracket, CASE or
//! BEGIN ATOMIC; or an operator, a set operation or a join in a row of such. So the depth is the number of
//! places open at once plus the lengths of the rows in them. It is an upper bound but for constant factors:
//! an operator is two levels of the tree, a sub-select about six.
//!
//! Safety does not hang on this count. libpg_query bounds its own stack, and never hands out a tree of more
//! than 10,000 levels; see `deep`.

use crate::SqlLimits;
use pg_query::protobuf::Token;

/// The text is too deep.
#[derive(Debug)]
pub(crate) struct TooDeep;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opener {
    Text,
    Parenthesis,
    /// CASE, or BEGIN ATOMIC: closed by END.
    Word,
}

/// A place between an opener and its closer.
struct Place {
    opener: Opener,
    /// Operators since the expression began.
    chain: usize,
    /// Deepest place in the expression.
    inner: usize,
    /// Deepest expression before.
    deepest: usize,
    /// Set operations and joins. A comma does not end them: `select 1, 2 union select 3, 4`.
    links: usize,
    /// Deepest statement before.
    statements: usize,
}

impl Place {
    fn new(opener: Opener) -> Place {
        Place {
            opener,
            chain: 0,
            inner: 0,
            deepest: 0,
            links: 0,
            statements: 0,
        }
    }

    fn next_expression(&mut self) {
        self.deepest = self.depth_of_expressions();
        self.chain = 0;
        self.inner = 0;
    }

    fn next_statement(&mut self) {
        *self = Place {
            statements: self.depth(),
            ..Place::new(self.opener)
        };
    }

    fn depth_of_expressions(&self) -> usize {
        self.deepest.max(self.chain.saturating_add(self.inner))
    }

    fn depth(&self) -> usize {
        self.depth_of_expressions()
            .saturating_add(self.links)
            .saturating_add(1)
            .max(self.statements)
    }
}

/// Counts token by token.
pub(crate) struct Depth {
    outer: Vec<Place>,
    place: Place,
    nesting: usize,
    chain: usize,
}

impl Depth {
    pub(crate) fn new(limits: &SqlLimits) -> Depth {
        Depth {
            outer: Vec::new(),
            place: Place::new(Opener::Text),
            nesting: limits.max_nesting,
            chain: limits.max_chain,
        }
    }

    pub(crate) fn token(&mut self, token: Token) -> Result<(), TooDeep> {
        use Token as T;
        match token {
            T::Ascii40 | T::Ascii91 => self.open(Opener::Parenthesis),
            T::Case | T::Atomic => self.open(Opener::Word),
            // A CASE that is still open at a closing parenthesis is a syntax error anyway.
            T::Ascii41 | T::Ascii93 => {
                while self.place.opener == Opener::Word {
                    self.close();
                }
                self.close();
            }
            T::EndP if self.place.opener == Opener::Word => self.close(),
            T::Union | T::Intersect | T::Except | T::Join => {
                self.place.next_expression();
                self.place.links = self.place.links.saturating_add(1);
            }
            T::Ascii59 => self.place.next_statement(),
            // The operands of AND and OR are kept as one list.
            T::Ascii44
            | T::And
            | T::Or
            | T::When
            | T::Then
            | T::Else
            | T::On
            | T::Where
            | T::Select
            | T::Set => self.place.next_expression(),
            other if is_operator(other) => self.place.chain = self.place.chain.saturating_add(1),
            _ => return Ok(()),
        }
        if self.outer.len() > self.nesting
            || self.place.chain > self.chain
            || self.place.links > self.chain
            || self.place.depth() > self.most()
        {
            return Err(TooDeep);
        }
        Ok(())
    }

    /// The depth of all that was counted.
    pub(crate) fn finish(mut self) -> Result<usize, TooDeep> {
        while !self.outer.is_empty() {
            self.close();
        }
        let depth = self.place.depth();
        if depth > self.most() {
            return Err(TooDeep);
        }
        Ok(depth)
    }

    /// One row of operators may be as long as allowed, with all the parentheses in it.
    fn most(&self) -> usize {
        self.chain.saturating_add(self.nesting).saturating_add(2)
    }

    fn open(&mut self, opener: Opener) {
        self.outer
            .push(std::mem::replace(&mut self.place, Place::new(opener)));
    }

    fn close(&mut self) {
        if let Some(outer) = self.outer.pop() {
            let inner = std::mem::replace(&mut self.place, outer).depth();
            self.place.inner = self.place.inner.max(inner);
        }
    }
}

fn is_operator(token: Token) -> bool {
    use Token as T;
    matches!(
        token,
        T::Ascii43
            | T::Ascii45
            | T::Ascii42
            | T::Ascii47
            | T::Ascii37
            | T::Ascii94
            | T::Ascii60
            | T::Ascii62
            | T::Ascii61
            | T::Op
            | T::Operator
            | T::LessEquals
            | T::GreaterEquals
            | T::NotEquals
            | T::Typecast
            | T::Collate
            | T::At
            | T::Not
            | T::Is
            | T::Isnull
            | T::Notnull
            | T::Like
            | T::Ilike
            | T::Similar
            | T::Between
            | T::InP
    )
}
