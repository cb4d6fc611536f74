//! The Perdure engine.
