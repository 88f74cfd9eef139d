//! A place beside a definition for what was made of it.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Holds what a reader of a definition made of it, so that it is made once for each loaded catalogue. It is
/// no part of the catalogue: it is not written, and two relations are equal whatever it holds.
#[derive(Clone, Default)]
pub struct Memo(OnceLock<Arc<dyn Any + Send + Sync>>);

impl Memo {
    /// What was kept, if it is of this type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.0.get()?).downcast().ok()
    }

    /// Keeps a value, unless there is one already.
    pub fn keep<T: Any + Send + Sync>(&self, value: Arc<T>) {
        let _ = self.0.set(value);
    }
}

impl PartialEq for Memo {
    fn eq(&self, _: &Memo) -> bool {
        true
    }
}

impl Eq for Memo {}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo")
    }
}
