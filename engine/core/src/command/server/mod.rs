//! Commands on the server: figures, directives, saving and stopping, self-description, tools for
//! tests.

pub mod debug;
pub mod info;
mod info_figures;
mod info_log;
mod info_sections;
pub mod introspect;
pub mod latency;
pub mod memory;
pub mod process;
pub mod settings;
pub mod slowlog;
