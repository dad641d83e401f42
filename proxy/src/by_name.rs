//! Tables by name that requests look into: of prices ([`crate::cost`]), of series ([`crate::metrics`]).

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// A table by name. Its hash function is seeded, and takes a fifth of the instructions of the standard library's, which is
/// made for tables that those fill who may want to slow them down. So only names get in that the operator has written or
/// upstream has answered with, and not without end: clients only look.
pub type ByName<T> = HashMap<Box<str>, T, RandomState>;
