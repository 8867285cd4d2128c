//! Results for readers: on a terminal, in the documents, as plots.

pub(crate) mod terminal;
