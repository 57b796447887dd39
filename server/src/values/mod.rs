//! PostgreSQL's values: how they are written, how they are read, and the time zones they are in.

pub(crate) mod array;
pub(crate) mod column;
pub(crate) mod decimal;
pub(crate) mod input;
pub(crate) mod moment;
pub(crate) mod text;
pub(crate) mod zone;
